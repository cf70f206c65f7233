"""Plans are arithmetic: known sizes give known units, and bigger targets cost more."""

import pytest

from thumbrank_core.planning import Target, pairs_expected, plan
from thumbrank_core.policy import load_policy

POLICY = load_policy()


def units(found, job):
    return next(row for row in found.units if row.job.startswith(job))


def test_two_hundred_thousand_videos_of_1500_channels_fit_one_day_of_the_default_bucket():
    first = units(plan(Target(1500, 133), POLICY), "first collection")
    assert first.bucket == "default"
    assert first.units == 1500 * 3 + 3990 + 60
    assert first.days == 1


def test_a_target_beyond_a_day_s_units_takes_more_days_and_an_empty_bucket_never_ends():
    assert units(plan(Target(3000, 150), POLICY), "first collection").days == 2
    none = POLICY.model_copy(update={"quota": POLICY.quota.model_copy(update={"search": 0})})
    assert units(plan(Target(100, 10), none), "discover").days is None


def test_pairs_are_bounded_by_all_pairs_of_a_channel():
    assert pairs_expected(Target(10, 2), POLICY) <= 10
    assert pairs_expected(Target(1, 133), POLICY) == pytest.approx(133 * 133 * 30 / 365, rel=0.01)


def test_larger_pictures_take_more_room_and_slower_machines_more_time():
    small = POLICY.model_copy(update={"collection": POLICY.collection.model_copy(update={"largest_picture": 180})})
    large = plan(Target(100, 100), POLICY)
    assert sum(plan(Target(100, 100), small).gigabytes.values()) < sum(large.gigabytes.values())
    assert large.hours["CPU, 2 cores"]["pictures"] > large.hours["T4"]["pictures"]
