"""Vectors and texts as Postgres keeps them."""

import numpy as np
import pytest

from thumbrank_core.store.copy import pack_float16, storable_text, unpack_float16
from thumbrank_core.store.errors import StoreError


def test_vectors_come_back_as_float16_kept_them() -> None:
    vectors = np.random.default_rng(7).normal(size=(5, 8)).astype(np.float32)
    packed = pack_float16(vectors)
    assert [len(value) for value in packed] == [16] * 5
    back = unpack_float16(packed, 8)
    assert back.dtype == np.float32 and back.shape == (5, 8)
    np.testing.assert_array_equal(back, vectors.astype(np.float16).astype(np.float32))


def test_bytes_are_little_endian_on_every_machine() -> None:
    assert pack_float16(np.array([[1.0, -2.0]])) == [b"\x00\x3c\x00\xc0"]


def test_a_column_slice_and_a_transposed_array_are_packed_by_row() -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3).T
    np.testing.assert_array_equal(unpack_float16(pack_float16(vectors), 2), vectors)


def test_nothing_packs_to_nothing() -> None:
    assert pack_float16(np.empty((0, 4), dtype=np.float32)) == []
    assert unpack_float16([], 4).shape == (0, 4)


@pytest.mark.parametrize("value", [np.nan, np.inf, 70000.0])
def test_a_value_float16_cannot_hold_is_refused_not_rounded_to_infinity(value: float) -> None:
    with pytest.raises(StoreError, match="Vector 1 "):
        pack_float16(np.array([[0.0, 1.0], [value, 1.0]]))


def test_a_single_vector_is_refused() -> None:
    with pytest.raises(StoreError, match=r"\[n, d\]"):
        pack_float16(np.zeros(4))


def test_a_vector_of_another_dimension_is_refused() -> None:
    with pytest.raises(StoreError, match="Vector 1 has 6 bytes"):
        unpack_float16([bytes(8), bytes(6)], 4)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\x00b", "ab"),
        ("a\ud83db", "a\ufffdb"),
        ("\ud83d\ude00", "\U0001f600"),
        ("=1+1 \u00e9 \u65e5", "=1+1 \u00e9 \u65e5"),
    ],
)
def test_storable_text_changes_only_what_cannot_be_stored(text: str, kept: str) -> None:
    assert storable_text(text) == kept
