"""The growth curve: recovered where it is known, never falling, and no memory of how many videos it saw."""

import numpy as np
import pytest

from thumbrank_core.labels.growth import KNOTS_DAYS, PRIOR_SLOPE, GrowthFit

AGES = np.array([7.0, 14.0, 28.0, 56.0, 87.0])


def saturating(age):
    return np.log(-np.expm1(-((age / 30) ** 0.6)))


def videos(n_channels, per_channel=20, seed=0, noise=0.9, growth=saturating):
    generator = np.random.default_rng(seed)
    channel = np.repeat(np.arange(n_channels, dtype=np.int32), per_channel)
    age = generator.uniform(7, 87, len(channel))
    level = generator.normal(10, 1.8, n_channels)[channel]
    views = np.exp(level + growth(age) + noise * generator.normal(size=len(channel)))
    return views.astype(np.int64), age, channel


def fitted(*made):
    fit = GrowthFit()
    fit.add(*made)
    return fit.curve()


def test_the_curve_is_recovered_from_one_snapshot_of_many_channels():
    curve = fitted(*videos(600))
    found = curve.at(AGES) - curve.at(AGES)[2]
    assert found == pytest.approx(saturating(AGES) - saturating(AGES)[2], abs=0.06)
    assert curve.residual_sd == pytest.approx(0.9, rel=0.05)
    assert (curve.n_videos, curve.n_channels) == (12_000, 600)


def test_without_noise_the_curve_is_exact_between_its_knots():
    """A power law is straight in the logarithm, so that the knots lose nothing of it."""
    curve = fitted(*videos(300, noise=0.0, growth=lambda age: 0.6 * np.log(age)))
    assert curve.at(AGES) - curve.at(AGES)[0] == pytest.approx(0.6 * np.log(AGES / 7), abs=0.02)


def test_channels_of_any_level_and_size_do_not_bend_the_curve():
    """Newer videos on larger channels: a fit across channels would see views fall with age."""
    generator = np.random.default_rng(1)
    channel = np.repeat(np.arange(200, dtype=np.int32), 10)
    centre = np.linspace(15, 80, 200)[channel]
    age = np.clip(centre + generator.uniform(-8, 8, len(channel)), 7, 90)
    views = np.exp(14 - 0.05 * centre + 0.5 * np.log(age)).astype(np.int64)
    curve = fitted(views, age, channel)
    assert curve.at(AGES)[4] - curve.at(AGES)[0] == pytest.approx(0.5 * np.log(87 / 7), rel=0.1)


def test_it_never_falls_even_where_the_data_do():
    curve = fitted(*videos(100, growth=lambda age: -0.5 * np.log(age)))
    assert (np.diff(curve.log_growth) >= 0).all()
    assert curve.at(AGES)[4] - curve.at(AGES)[0] == pytest.approx(0, abs=0.05)


def test_without_data_it_is_the_prior():
    curve = GrowthFit().curve()
    assert (curve.n_videos, curve.n_channels, curve.level) == (0, 0, 0.0)
    assert curve.at(AGES) - curve.at(AGES)[0] == pytest.approx(PRIOR_SLOPE * np.log(AGES / 7))


def test_a_channel_of_one_video_tells_nothing():
    views, age, channel = videos(30, per_channel=1)
    assert fitted(views, age, channel).n_videos == 0
    assert fitted(np.array([5]), np.array([10.0]), np.array([1], dtype=np.int32)).n_videos == 0


def test_channels_may_come_in_any_portions():
    views, age, channel = videos(40)
    whole = fitted(views, age, channel)
    fit = GrowthFit()
    for first in range(0, 40, 7):
        part = (channel >= first) & (channel < first + 7)
        fit.add(views[part], age[part], channel[part])
    assert fit.curve().log_growth == pytest.approx(whole.log_growth)
    assert fit.curve().level == pytest.approx(whole.level)


def test_beyond_the_first_and_last_knot_it_stays():
    curve = fitted(*videos(40))
    assert curve.at(np.array([0.0, KNOTS_DAYS[0]])).tolist() == [0.0, 0.0]
    assert curve.at(np.array([1e6]))[0] == curve.log_growth[-1]
