"""Drift of a niche's vectors, and whether vectors are what an encoder makes."""

from typing import Any

import numpy as np
import pytest

from thumbrank_core.features import drift
from thumbrank_core.features.drift import Sketch, compare, sketch
from thumbrank_core.features.quality import broken_rows, duplicates, norms

WIDTH = 64
EXPECTED_SIGNS = [
    [False, False, False, True, False, True, False, False],
    [True, False, True, True, False, True, False, True],
]


def pictures(number, seed, shift=0.0):
    """Unit vectors around one direction, as CLIP's are; `shift` moves them along another."""
    drawn = np.random.default_rng(seed).normal(size=(number, WIDTH))
    drawn[:, 0] += 4
    drawn[:, 1] += shift
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)


def test_samples_of_one_distribution_do_not_drift():
    found = [compare(sketch(pictures(600, seed)), sketch(pictures(400, 100 + seed))) for seed in range(20)]
    assert {(one.n_old, one.n_new) for one in found} == {(600, 400)}
    assert min(one.p_value for one in found) > 0.001
    assert np.mean([one.p_value < 0.05 for one in found]) <= 0.1
    assert max(one.ks for one in found) < 0.15


def test_a_planted_shift_is_found_and_grows_with_the_shift():
    old = sketch(pictures(600, 0))
    small, large = (compare(old, sketch(pictures(600, 1, shift))) for shift in (1.5, 6.0))
    assert small.p_value < 0.001 and small.ks > 0.1
    assert (large.ks, large.mean_shift) > (small.ks, small.mean_shift)
    assert large.mean_shift > 0.3


def test_a_sample_against_itself_is_no_drift_at_all():
    same = sketch(pictures(200, 0))
    assert compare(same, same) == drift.Drift(200, 200, 0.0, 0.0, 1.0)


def test_samples_that_share_most_pictures_are_judged_with_care():
    whole = pictures(600, 0)
    assert compare(sketch(whole[:500]), sketch(whole[100:])).p_value == 1.0


def test_the_statistic_is_that_of_the_samples_within_the_sketch_s_hundredth():
    from scipy.stats import ks_2samp

    def statistic(*samples):
        found: Any = ks_2samp(*samples)
        return found.statistic

    old, new = pictures(700, 0), pictures(300, 1, 2.0)
    exact = max(
        statistic(old.astype(np.float32) @ direction, new.astype(np.float32) @ direction)
        for direction in drift._directions(WIDTH).T
    )
    assert compare(sketch(old), sketch(new)).ks == pytest.approx(exact, abs=0.02)


def test_an_encoder_that_gives_one_vector_for_everything_has_drifted():
    one = np.repeat(pictures(1, 3), 100, axis=0)
    assert compare(sketch(pictures(400, 0)), sketch(one)).ks > 0.5
    assert compare(sketch(one), sketch(one)).ks == 0


def test_blocks_do_not_change_the_sketch(monkeypatch):
    vectors = pictures(500, 0)
    whole = sketch(vectors)
    monkeypatch.setattr(drift, "_BLOCK", 37)
    parts = sketch(vectors)
    np.testing.assert_allclose(parts.mean, whole.mean, atol=1e-6)
    np.testing.assert_allclose(parts.quantiles, whole.quantiles, atol=1e-6)


def test_lengths_do_not_matter_and_rows_that_are_no_vectors_are_left_out():
    vectors = pictures(100, 0).astype(np.float32)
    broken = np.concatenate([3 * vectors, np.zeros((1, WIDTH)), np.full((2, WIDTH), np.nan)])
    found = sketch(broken)
    assert found.n == 100
    np.testing.assert_allclose(found.quantiles, sketch(vectors).quantiles, atol=1e-6)


def test_an_empty_sample_is_compared_with_nothing():
    nothing = sketch(pictures(0, 0))
    assert nothing.n == 0
    found = compare(sketch(pictures(100, 0)), nothing)
    assert (found.n_old, found.n_new) == (100, 0)
    assert np.isnan([found.ks, found.p_value, found.mean_shift]).all()


def test_a_sketch_survives_its_bytes():
    made = sketch(pictures(100, 0))
    back = Sketch.from_bytes(made.n, *made.to_bytes())
    np.testing.assert_array_equal(back.mean, made.mean)
    np.testing.assert_array_equal(back.quantiles, made.quantiles)
    assert back.quantiles.shape == (32, 101)


def test_directions_are_unit_vectors_and_the_same_for_ever():
    directions = drift._directions(768)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=0), 1, rtol=1e-5)
    assert np.abs(directions.T @ directions - np.eye(32)).max() < 0.2
    assert (directions[:2, :8] > 0).tolist() == EXPECTED_SIGNS


def test_norms_of_unit_vectors_hold_in_float16_and_broken_ones_are_counted():
    vectors = pictures(300, 0)
    assert norms(vectors).bad == 0
    assert norms(vectors).smallest == pytest.approx(1, abs=1e-3)
    vectors[0], vectors[1], vectors[2] = 0, np.nan, vectors[2] * 1.5
    found = norms(vectors)
    assert (found.smallest, found.largest, found.bad) == (0, pytest.approx(1.5, abs=1e-2), 3)
    assert norms(vectors[:0]).bad == 0
    assert np.isnan(norms(vectors[1:2]).largest)


def test_rows_that_equal_an_earlier_one_are_counted():
    vectors = pictures(50, 0)
    assert duplicates(vectors) == 0
    vectors[10] = vectors[11] = vectors[12]
    vectors[20] = vectors[21]
    assert duplicates(vectors) == 3
    assert duplicates(vectors[:0]) == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rows_that_are_no_vectors_are_found_wherever_they_lie_in_a_memory_map(tmp_path, dtype):
    vectors = np.lib.format.open_memmap(tmp_path / "vectors.npy", "w+", dtype, (20_000, 3))
    vectors[:] = 7
    vectors[0], vectors[8_192, 1], vectors[19_999, 2], vectors[5] = 0, np.nan, -np.inf, (0, 0, 1e-3)
    assert broken_rows(vectors).tolist() == [0, 8_192, 19_999]
    assert broken_rows(vectors[1:8_192]).tolist() == broken_rows(np.empty((0, 3), dtype)).tolist() == []
