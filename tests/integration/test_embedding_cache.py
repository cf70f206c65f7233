"""Vectors and readings in and out of Postgres: exact in float16, in the order asked for, each stored once."""

import hashlib
import threading

import numpy as np
import pytest

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features import cache, drift, signal_store
from thumbrank_core.features.specs import load_set
from thumbrank_core.store import arrays
from thumbrank_core.store.errors import CopyError

ENCODERS = load_set("tiny")
WIDTH = ENCODERS.image.dimension


def digest(number):
    return hashlib.sha256(str(number).encode()).digest()


def vectors_of(number, width=WIDTH, seed=0):
    return np.random.default_rng(seed).normal(size=(number, width)).astype(np.float32)


@pytest.fixture
def connection(db):
    with db.connection() as connection:
        yield connection


@pytest.fixture
def key(connection):
    return cache.encoder_key(connection, ENCODERS.image)


def test_what_was_written_comes_back_exactly_as_float16(connection, key):
    digests, vectors = [digest(i) for i in range(300)], vectors_of(300)
    assert cache.write(connection, key, digests, vectors) == 300
    found, there = cache.load(connection, key, WIDTH, digests)
    assert found.dtype == np.dtype("<f2") and there.all()
    assert found.tobytes() == vectors.astype("<f2").tobytes()


def test_chunks_and_batches_lose_nothing_at_their_borders(connection, key, monkeypatch):
    monkeypatch.setattr(cache, "WRITE_ROWS", 64)
    monkeypatch.setattr(arrays, "CHUNK_BYTES", 10_000)
    digests, vectors = [digest(i) for i in range(1000)], vectors_of(1000)
    assert cache.write(connection, key, digests, vectors) == 1000
    found, there = cache.load(connection, key, WIDTH, digests)
    assert there.all() and found.tobytes() == vectors.astype("<f2").tobytes()


def test_digests_and_vectors_that_begin_or_end_with_zeros_stay_whole(connection, key):
    digests = [bytes(32), b"\1" + bytes(31), bytes(31) + b"\1", digest(1)]
    vectors = vectors_of(4)
    vectors[0] = 0
    vectors[1, -50:] = 0
    vectors[2, :50] = 0
    cache.write(connection, key, digests, vectors)
    found, there = cache.load(connection, key, WIDTH, digests)
    assert there.all() and found.tobytes() == vectors.astype("<f2").tobytes()
    assert cache.missing(connection, key, [*digests, bytes(30) + b"\1\0"]) == {bytes(30) + b"\1\0"}


def test_the_order_is_the_caller_s_a_digest_may_come_twice_and_what_is_not_there_is_no_number(connection, key):
    vectors = vectors_of(3)
    cache.write(connection, key, [digest(0), digest(1), digest(2)], vectors)
    found, there = cache.load(connection, key, WIDTH, [digest(2), digest(9), digest(0), digest(2)])
    assert there.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(found[there], vectors[[2, 0, 2]].astype(np.float16))
    assert np.isnan(found[1]).all()


def test_nothing_asked_is_nothing_found(connection, key):
    found, there = cache.load(connection, key, WIDTH, [])
    assert found.shape == (0, WIDTH) and there.shape == (0,)
    assert cache.missing(connection, key, []) == set()
    assert cache.write(connection, key, [], vectors_of(0)) == 0


def test_a_second_write_adds_nothing_and_changes_nothing(connection, key):
    digests, first = [digest(0), digest(1)], vectors_of(2)
    cache.write(connection, key, digests, first)
    assert cache.missing(connection, key, [digest(1), digest(2), digest(2)]) == {digest(2)}
    assert cache.write(connection, key, [*digests, digest(2)], vectors_of(3, seed=1)) == 1
    found, _ = cache.load(connection, key, WIDTH, digests)
    np.testing.assert_array_equal(found, first.astype(np.float16))


def test_one_digest_twice_in_a_batch_is_stored_once(connection, key):
    assert cache.write(connection, key, [digest(0), digest(0)], vectors_of(2)) == 1


def test_two_encoders_live_side_by_side(connection, key):
    other = cache.encoder_key(connection, ENCODERS.title)
    assert other != key
    cache.write(connection, key, [digest(0)], vectors_of(1))
    assert cache.missing(connection, other, [digest(0)]) == {digest(0)}
    cache.write(connection, other, [digest(0)], vectors_of(1, ENCODERS.title.dimension))
    assert cache.load(connection, key, WIDTH, [digest(0)])[0].shape == (1, WIDTH)
    assert cache.load(connection, other, ENCODERS.title.dimension, [digest(0)])[1].all()


@pytest.mark.parametrize("width", [WIDTH - 1, WIDTH + 1, 2 * WIDTH])
def test_a_stored_vector_of_another_width_is_one_sentence(db, width):
    with db.connection() as connection:
        key = cache.encoder_key(connection, ENCODERS.image)
        cache.write(connection, key, [digest(i) for i in range(4)], vectors_of(4))
        cache.write(connection, key, [digest(i) for i in range(4, 6)], vectors_of(2, width))
    with pytest.raises(cache.VectorError, match=f"does not have {WIDTH} numbers"), db.connection() as connection:
        cache.load(connection, key, WIDTH, [digest(i) for i in range(6)])


@pytest.mark.parametrize("value", [np.nan, np.inf, 70_000.0])
def test_a_value_that_float16_cannot_hold_is_refused_and_nothing_of_its_batch_is_kept(connection, key, value):
    vectors = vectors_of(3)
    vectors[1, 5] = value
    with pytest.raises(ThumbrankError, match="Vector 1 has a value that float16 cannot hold"):
        cache.write(connection, key, [digest(i) for i in range(3)], vectors)
    assert len(cache.missing(connection, key, [digest(i) for i in range(3)])) == 3


def test_two_connections_that_write_the_same_digests_at_once_store_each_once(db):
    digests, vectors = [digest(i) for i in range(2000)], vectors_of(2000)
    with db.connection() as connection:
        key = cache.encoder_key(connection, ENCODERS.image)
    barrier, new, errors = threading.Barrier(2), [], []

    def work(order):
        try:
            with db.connection() as connection:
                barrier.wait()
                for start in range(0, 2000, 500):
                    taken = order[start : start + 500]
                    new.append(cache.write(connection, key, [digests[i] for i in taken], vectors[taken]))
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    by_digest = np.array(sorted(range(2000), key=lambda i: digests[i]))
    shuffled = by_digest.reshape(-1, 500)
    orders = [by_digest, np.concatenate([np.random.default_rng(0).permutation(part) for part in shuffled])]
    threads = [threading.Thread(target=work, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert sum(new) == 2000
    with db.connection() as connection:
        found, there = cache.load(connection, key, WIDTH, digests)
    assert there.all() and found.tobytes() == vectors.astype("<f2").tobytes()


def test_readings_come_back_in_order_and_a_reason_is_no_number(connection):
    keys = signal_store.measure_keys(connection, {"sharpness-1": "clarity", "faces-1": "emotion"})
    assert signal_store.measure_keys(connection, {"faces-1": "emotion"}) == {"faces-1": keys["faces-1"]}
    rows = [
        (keys["sharpness-1"], digest(0), 0.25, None),
        (keys["sharpness-1"], digest(1), 0.0, None),
        (keys["faces-1"], digest(0), None, "no face"),
    ]
    assert signal_store.write_readings(connection, rows) == 3
    assert signal_store.write_readings(connection, rows) == 0
    asked = [digest(2), digest(1), digest(0), digest(1)]
    assert signal_store.load_readings(connection, keys["sharpness-1"], asked).tolist()[1:] == [0.0, 0.25, 0.0]
    assert np.isnan(signal_store.load_readings(connection, keys["sharpness-1"], asked)[0])
    assert np.isnan(signal_store.load_readings(connection, keys["faces-1"], [digest(0)])).all()
    assert signal_store.unmeasured(connection, keys.values(), asked) == {digest(1), digest(2)}
    assert signal_store.unmeasured(connection, [keys["sharpness-1"]], asked) == {digest(2)}


@pytest.mark.parametrize(
    ("value", "reason"), [(None, None), (0.5, "why"), (float("nan"), None), (float("inf"), None), (None, "")]
)
def test_a_reading_is_a_finite_number_or_a_reason(db, value, reason):
    with pytest.raises(CopyError, match="break a rule of it"), db.connection() as connection:
        keys = signal_store.measure_keys(connection, {"sharpness-1": "clarity"})
        signal_store.write_readings(connection, [(keys["sharpness-1"], digest(0), value, reason)])


def test_a_sketch_comes_back_and_of_fewer_than_fifty_none_is_kept(connection, key):
    assert drift.last_sketch(connection, "tech", key) is None
    few, first, second = (drift.sketch(vectors_of(n)) for n in (49, 50, 80))
    assert not drift.save_sketch(connection, "tech", key, few)
    assert drift.save_sketch(connection, "tech", key, first)
    assert drift.save_sketch(connection, "tech", key, second)
    found = drift.last_sketch(connection, "tech", key)
    assert found is not None and found.n == 80
    np.testing.assert_array_equal(found.mean, second.mean)
    np.testing.assert_array_equal(found.quantiles, second.quantiles)
    assert drift.last_sketch(connection, "news", key) is None
