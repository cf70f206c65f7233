"""What owners brought since a model was last evaluated or trained."""

from datetime import UTC, date, datetime, timedelta

import pytest

from tests.integration.test_owner_rates import add_reach
from thumbrank_core.automation.months import claim, skip
from thumbrank_core.automation.news import ab_news, owner_rates_news
from thumbrank_core.imports.studio import Export, Period, Reach
from thumbrank_core.imports.studio_store import store_export

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINE, THEIRS = "UC" + "m" * 22, "UC" + "t" * 22
DAY = timedelta(days=1)


def told(db, news):
    with db.connection() as connection:
        return news(connection)


def evaluated(db, at, scorer="model", version: int | None = 1):
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.model_evaluations (model_sha256, model_version, evaluated_at, scorer, is_reference, niche, split, "
            "label, metric, value, n_pairs, n_channels) values (%s, %s, %s, %s, false, 'all', 'test', 'l', 'm', 0.5, 1, 1)",
            (f"model {version}", version, at, scorer),
        )


def add_test(db, test_id, imported_at, outcome="winner", owner=MINE):
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.ab_outcomes values (%s, %s, 'v', 'ctr', %s, '2026-01-01', '2026-01-02', 'import', %s)",
            (owner, test_id, outcome, imported_at),
        )


def came(db, news):
    found = told(db, news)
    assert found is not None
    return found


def asked(db, month, at):
    with db.connection() as connection:
        assert claim(connection, month, "by_hand", "a reason", ["tech"], at) is not None


def stored(db, at):
    """Let every row of rates have been stored at that time."""
    with db.connection() as connection:
        connection.execute("alter table thumbrank.reach_daily disable trigger user")
        connection.execute("update thumbrank.reach_daily set stored_at = %s", (at,))
        connection.execute("alter table thumbrank.reach_daily enable trigger user")


def test_where_nothing_was_brought_there_is_no_news(db):
    assert told(db, ab_news) is None
    assert told(db, owner_rates_news) is None
    evaluated(db, NOW)
    assert told(db, ab_news) is None
    assert told(db, owner_rates_news) is None


# A/B tests


def test_before_the_first_evaluation_every_test_is_new(db):
    add_test(db, "one", NOW)
    found = came(db, ab_news)
    assert (found.since, found.newest, found.count) == (None, NOW, 1)
    assert found.says == (
        "1 A/B test of 1 channel, 1 with a winner, came since the last evaluation, which there was none of yet."
    )


def test_tests_are_new_until_an_evaluation_that_began_after_them(db):
    evaluated(db, NOW - 10 * DAY, "older")
    evaluated(db, NOW)
    add_test(db, "before", NOW - DAY)
    add_test(db, "at that moment", NOW)
    assert told(db, ab_news) is None
    add_test(db, "after", NOW + DAY)
    add_test(db, "later", NOW + 2 * DAY, "performed_same", owner=THEIRS)
    found = came(db, ab_news)
    assert (found.since, found.newest, found.count) == (NOW, NOW + 2 * DAY, 2)
    assert found.says == (
        "2 A/B tests of 2 channels, 1 with a winner, came since the last evaluation (2026-11-20 12:00 UTC)."
    )
    evaluated(db, NOW + 3 * DAY, "again")
    assert told(db, ab_news) is None


def test_measuring_another_model_by_hand_leaves_the_newest_one_s_tests_new(db):
    evaluated(db, NOW, version=2)
    add_test(db, "after", NOW + DAY)
    evaluated(db, NOW + 2 * DAY, version=1)
    evaluated(db, NOW + 2 * DAY, version=None)  # a bundle that was never registered
    found = came(db, ab_news)
    assert (found.since, found.count) == (NOW, 1)
    evaluated(db, NOW + 3 * DAY, "again", version=2)
    assert told(db, ab_news) is None


# Click-through rates


def test_rates_are_new_since_the_last_training_that_was_asked_for(db):
    add_reach(db, MINE, "reporting_api", "v", 0.05)
    stored(db, NOW)
    found = came(db, owner_rates_news)
    assert (found.since, found.newest, found.count) == (None, NOW, 1)
    evaluated(db, NOW - DAY)
    evaluated(db, NOW + DAY, "later")
    assert came(db, owner_rates_news).since == NOW - DAY, "the first evaluation, where no month asked for a training"
    asked(db, "2026-10", NOW - DAY)
    assert came(db, owner_rates_news).count == 1
    asked(db, "2026-11", NOW + DAY)
    assert told(db, owner_rates_news) is None
    with db.connection() as connection:
        assert skip(connection, "2026-12", "too few", NOW + 2 * DAY)
    add_reach(db, MINE, "reporting_api", "w", 0.05)
    stored(db, NOW + 1.5 * DAY)
    found = came(db, owner_rates_news)
    assert (found.since, found.count) == (NOW + DAY, 2), "a month that was skipped asked for no training"


def test_rates_are_counted_and_never_added_up_across_owners(db):
    evaluated(db, NOW)
    for owner, video, day in ((MINE, "v", "2026-07-01"), (MINE, "v", "2026-07-02"), (THEIRS, "w", "2026-07-01")):
        add_reach(db, owner, "reporting_api", video, 0.05, impressions=987_654, day=day)
    add_reach(db, THEIRS, "reporting_api", "shown to nobody", None, impressions=0)
    found = came(db, owner_rates_news)
    assert found.count == 3
    assert found.says == (
        "3 rows of real click-through rates, of 2 videos of 2 channels, came since the last training was asked for "
        "(2026-11-20 12:00 UTC)."
    )


@pytest.mark.parametrize("news", [ab_news, owner_rates_news])
def test_a_sentence_names_nobody(db, news):
    add_test(db, "secret-test", NOW)
    add_reach(db, MINE, "studio", "secret-video", 0.05)
    assert not [word for word in (MINE, "secret", "1,000") if word in came(db, news).says]


def test_a_report_that_is_read_late_is_new_all_the_same(db):
    """YouTube made it before the training was asked for, and it was read after."""
    asked(db, "2026-11", NOW)
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.reach_daily (owner_id, source, video_id, first_day, last_day, impressions, click_rate, "
            "issued_at) values (%s, 'reporting_api', 'v', '2026-07-01', '2026-07-01', 10, 0.1, %s)",
            (MINE, NOW - 20 * DAY),
        )
    assert came(db, owner_rates_news).count == 1


def test_a_studio_row_that_changes_is_new_again(db):
    def export(rate, issued_at):
        with db.connection() as connection:
            row = Reach(1, "v", Period(date(2026, 1, 1), date(2026, 1, 31)), 100, rate)
            store_export(connection, Export("export.csv", [row], [], 1, 0, 0, {}), MINE, issued_at)

    export(0.05, NOW - 300 * DAY)
    stored(db, NOW - 250 * DAY)
    asked(db, "2026-11", NOW)
    assert told(db, owner_rates_news) is None
    export(0.06, NOW - 200 * DAY)  # exported long before the training, and imported after it
    assert came(db, owner_rates_news).count == 1
