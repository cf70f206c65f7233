"""When a month begins: time zones, summer time, the turn of the year, and a file that says it wrongly."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from thumbrank_core.automation.calendar import AutomationError, Beginning, load_automation, month_of

LOS_ANGELES = ZoneInfo("America/Los_Angeles")


def beginning(day=1, hour=3, timezone="America/Los_Angeles"):
    return Beginning(day=day, hour=hour, timezone=timezone)


@pytest.mark.parametrize(
    ("now", "key"),
    [
        (datetime(2026, 7, 1, 9, 59, tzinfo=UTC), "2026-06"),
        (datetime(2026, 7, 1, 10, 0, tzinfo=UTC), "2026-07"),
        (datetime(2026, 7, 31, 23, tzinfo=UTC), "2026-07"),
        (datetime(2026, 1, 1, 10, 59, tzinfo=UTC), "2025-12"),
        (datetime(2026, 1, 1, 11, 0, tzinfo=UTC), "2026-01"),
    ],
)
def test_a_month_begins_at_its_hour_in_its_time_zone(now, key):
    found = month_of(now, beginning())
    assert found.key == key
    assert found.begins_at <= now
    assert found.begins_at.astimezone(LOS_ANGELES).hour == 3


def test_an_hour_that_exists_twice_begins_the_month_once():
    twice = beginning(hour=1)
    first, second = (datetime(2026, 11, 1, 1, 30, tzinfo=LOS_ANGELES, fold=fold).astimezone(UTC) for fold in (0, 1))
    assert second - first == timedelta(hours=1)
    assert month_of(first, twice) == month_of(second, twice)
    assert month_of(first - timedelta(minutes=31), twice).key == "2026-10"


def test_an_hour_that_does_not_exist_begins_the_month_all_the_same():
    missing = beginning(day=8, hour=2)  # on 2026-03-08 clocks go from 2 to 3
    found = month_of(datetime(2026, 3, 8, 20, tzinfo=UTC), missing)
    assert found.key == "2026-03"
    assert found.begins_at == datetime(2026, 3, 8, 10, tzinfo=UTC)


def test_every_hour_of_two_years_lies_in_the_month_that_began_last():
    now, last = datetime(2026, 1, 1, 12, tzinfo=UTC), None
    while now < datetime(2028, 1, 1, tzinfo=UTC):
        found = month_of(now, beginning(day=28, hour=23))
        assert found.begins_at <= now < found.begins_at + timedelta(days=31, hours=1)
        assert last is None or found.begins_at >= last.begins_at
        last, now = found, now + timedelta(hours=1)


def test_the_file_that_is_shipped_can_be_read():
    rules = load_automation()
    assert rules.month.cron == "0 3 1 * *"
    assert rules.training.wait_for == "all"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("hour: 3", "month.hour"),
        ("timezone: America/Los_Angeles", "no time zone"),
        ("wait_for: all", "wait_for"),
        ("patience_days: 7", "patience_days"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_field(tmp_path, line, says):
    from thumbrank_core.paths import config_file

    text = config_file("automation.yaml").read_text()
    wrong = {"hour: 3": "hour: 24", "timezone: America/Los_Angeles": "timezone: Mars/Olympus"}.get(
        line, line.split(":")[0] + ": 0"
    )
    assert line in text
    broken = tmp_path / "automation.yaml"
    broken.write_text(text.replace(f"  {line}\n", f"  {wrong}\n"))
    with pytest.raises(AutomationError, match=says):
        load_automation(broken)
