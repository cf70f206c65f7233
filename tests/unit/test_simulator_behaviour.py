"""Quotas, faults and lots: counted by Pacific day, chosen by number, and the same every time."""

from datetime import UTC, datetime, timedelta

import pytest

from thumbrank_core.simulator.behaviour import FAULTS, Behaviour
from thumbrank_core.simulator.faults import BURST, Faults
from thumbrank_core.simulator.ids import digest, video_id, video_ids
from thumbrank_core.simulator.lots import Lots
from thumbrank_core.simulator.quota import Quota

NOON = datetime(2026, 8, 1, 19, tzinfo=UTC)


def test_a_bucket_is_spent_after_its_quota_and_goes_on_counting():
    quota = Quota(Behaviour(quota_search=2))
    assert [quota.charge("search", NOON) for _ in range(4)] == [True, True, False, False]
    assert quota.charge("default", NOON)
    assert quota.total() == {"search": 4, "stats_batch": 0, "default": 1}


@pytest.mark.parametrize(
    ("midnight", "before", "after"),
    [
        (datetime(2026, 8, 2, 7, tzinfo=UTC), "2026-08-01", "2026-08-02"),
        (datetime(2026, 1, 2, 8, tzinfo=UTC), "2026-01-01", "2026-01-02"),
        (datetime(2026, 11, 2, 8, tzinfo=UTC), "2026-11-01", "2026-11-02"),
    ],
    ids=["summer", "winter", "after a day of 25 hours"],
)
def test_the_day_ends_at_midnight_pacific_time_in_summer_and_winter(midnight: datetime, before: str, after: str):
    quota = Quota(Behaviour(quota_default=1))
    assert quota.charge("default", midnight - timedelta(hours=24))
    assert not quota.charge("default", midnight - timedelta(seconds=1))
    assert quota.charge("default", midnight)
    assert {day: counts["default"] for day, counts in quota.by_day().items()} == {before: 2, after: 1}


def test_faults_strike_at_their_rate_and_always_the_same_requests():
    rates = {"http_500": 0.1, "dropped": 0.2}
    struck = [Faults(rates, seed=1).of_request(number) for number in range(4000)]
    assert struck == [Faults(rates, seed=1).of_request(number) for number in range(4000)]
    assert struck != [Faults(rates, seed=2).of_request(number) for number in range(4000)]
    assert struck.count("http_500") / 4000 == pytest.approx(0.1, abs=0.02)
    assert struck.count("dropped") / 4000 == pytest.approx(0.2, abs=0.02)
    pictures = {Faults(rates, seed=1).of_picture(number) for number in range(100)}
    assert pictures == {"dropped", None}, "only what can befall a picture"


def test_a_429_comes_in_bursts():
    faults = Faults({"burst_429": 0.02}, seed=3)
    struck = [faults.of_request(number) for number in range(2000)]
    first = struck.index("burst_429")
    assert struck[first : first + BURST] == ["burst_429"] * BURST
    assert struck[first + BURST] is None
    faults.set({})
    assert faults.of_request(2000) is None


@pytest.mark.parametrize(
    ("faults", "sentence"),
    [
        ({"earthquake": 0.1}, "There is no fault 'earthquake'"),
        ({"http_500": 1.5}, "between 0 and 1"),
        ({"http_500": 0.6, "http_503": 0.6}, "add up"),
    ],
)
def test_impossible_faults_are_refused(faults: dict[str, float], sentence: str):
    with pytest.raises(ValueError, match=sentence):
        Behaviour(faults=faults)


def test_a_behaviour_travels_as_one_line_of_json():
    behaviour = Behaviour(quota_search=3, search_varies=True, suspended=0.25, faults=dict.fromkeys(FAULTS, 0.05))
    assert "\n" not in behaviour.as_json()
    assert Behaviour.from_json(behaviour.as_json()) == behaviour


def test_lots_are_the_digests_they_stand_for():
    assert Lots("caption", 1).number("abc") == digest(1, "caption", "abc")[0]
    assert 0 <= Lots("x").share("abc") < 1
    assert video_ids(3, "tech", 7, 25) == [video_id(3, "tech", 7, number) for number in range(25)]
