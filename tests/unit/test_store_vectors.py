"""Vectors and texts as Postgres keeps them."""

import numpy as np
import pytest

from thumbrank_core.features.cache import VectorError, as_float16
from thumbrank_core.store.copy import storable_text


def test_bytes_are_little_endian_on_every_machine() -> None:
    assert as_float16(np.array([[1.0, -2.0]])).tobytes() == b"\x00\x3c\x00\xc0"


def test_a_column_slice_and_a_transposed_array_are_packed_by_row() -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3).T
    packed = as_float16(vectors)
    assert packed.flags.c_contiguous
    np.testing.assert_array_equal(packed, vectors)


def test_nothing_packs_to_nothing() -> None:
    assert as_float16(np.empty((0, 4), dtype=np.float32)).shape == (0, 4)


@pytest.mark.parametrize("value", [np.nan, np.inf, 70000.0])
def test_a_value_float16_cannot_hold_is_refused_not_rounded_to_infinity(value: float) -> None:
    with pytest.raises(VectorError, match="Vector 1 "):
        as_float16(np.array([[0.0, 1.0], [value, 1.0]]))


def test_a_single_vector_is_refused() -> None:
    with pytest.raises(VectorError, match=r"\[n, d\]"):
        as_float16(np.zeros(4))


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
