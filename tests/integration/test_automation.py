"""A month by itself, in every way it can go wrong: exactly one training each."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.time_travel import months, restarted
from thumbrank_core.automation.calendar import Automation
from thumbrank_core.automation.months import claim
from thumbrank_core.niches import NICHES

STRICT = Automation.model_validate(
    {
        "month": {"day": 1, "hour": 3, "timezone": "America/Los_Angeles"},
        "training": {"wait_for": "all", "fresh_at_least": 4, "patience_days": 7},
        "champion_oldest_days": 31,
    }
)
SETTLED = STRICT.model_copy(update={"training": STRICT.training.model_copy(update={"wait_for": "settled"})})


slow = pytest.mark.slow
"""The rules themselves are test_decisions.py's, in milliseconds; these take seconds each."""


def at(month, day, hour=0):
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.fixture
def server(tmp_path, db, database_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path))
    monkeypatch.setenv("THUMBRANK_ENCODERS", "tiny")

    def open_at(start, rules=STRICT):
        return months(tmp_path / "dagster", db, rules, start)

    return open_at


BEGINS = at(7, 1, 10) + timedelta(seconds=20)
"""Three o'clock in Los Angeles, and what daemons need to notice."""


def lands(machine, *, requested_at=BEGINS):
    """The month begins, its niches land, and whatever follows has time to."""
    machine.go(requested_at)
    machine.look()


def test_a_normal_month_requests_six_niches_and_trains_once(server):
    with server(at(6, 30)) as machine:
        machine.go(BEGINS - timedelta(minutes=1))
        assert machine.refreshed == []
        lands(machine)
        assert sorted(niche for _, niche in machine.refreshed) == sorted(NICHES)
        [(when, niches)] = machine.trained
        assert niches == NICHES
        assert when > max(done for done, _ in machine.refreshed)
        machine.go(at(7, 8), at(7, 20), at(7, 31))
        assert len(machine.trained) == 1
        assert machine.row("2026-07") == ("trained", 1, "monthly")
        lands(machine, requested_at=at(8, 1, 10) + timedelta(seconds=20))
        assert len(machine.trained) == 2
        assert machine.row("2026-08") == ("trained", 1, "monthly")


@slow
def test_one_slow_niche_is_waited_for(server):
    with server(at(6, 30)) as machine:
        machine.outcome = lambda niche: None if niche == "beauty" else True
        lands(machine)
        machine.go(at(7, 3), at(7, 6))
        assert len(machine.refreshed) == 5
        assert machine.trained == []
        machine.outcome = lambda _niche: True
        machine.look()
        assert [niches for _, niches in machine.trained] == [NICHES]


@slow
def test_a_failed_niche_holds_a_strict_month_up_until_it_is_mended(server):
    with server(at(6, 30)) as machine:
        machine.outcome = lambda niche: niche != "beauty"
        lands(machine)
        machine.go(at(7, 3), at(7, 12))
        assert machine.trained == []
        machine.refresh_by_hand("beauty")
        machine.outcome = lambda _niche: True
        machine.look()
        machine.go(at(7, 25))
        assert [niches for _, niches in machine.trained] == [NICHES]


def test_a_failed_niche_does_not_cost_a_settled_month_and_mending_it_does_not_train_again(server):
    with server(at(6, 30), SETTLED) as machine:
        machine.outcome = lambda niche: niche != "beauty"
        lands(machine)
        [(_, niches)] = machine.trained
        assert niches == tuple(niche for niche in NICHES if niche != "beauty"), "of which there is no pair"
        machine.refresh_by_hand("beauty")
        machine.go(at(7, 10), at(7, 20))
        assert len(machine.trained) == 1


@slow
def test_a_settled_month_with_too_few_niches_is_skipped_and_trained_once_mended(server):
    with server(at(6, 30), SETTLED) as machine:
        machine.outcome = lambda niche: niche in (None, "tech", "gaming", "news")
        lands(machine)
        machine.go(at(7, 9), at(7, 10))
        assert machine.trained == []
        assert machine.row("2026-07") == ("skipped", 1, "monthly")
        machine.refresh_by_hand("beauty")
        machine.look()
        machine.go(at(7, 20))
        assert len(machine.trained) == 1
        assert machine.row("2026-07") == ("trained", 1, "monthly")


@slow
def test_a_backfill_in_the_middle_of_a_month_trains_nothing(server):
    with server(at(6, 30)) as machine:
        lands(machine)
        assert len(machine.trained) == 1
        machine.go(at(7, 15))
        for niche in ("tech", "news"):
            machine.refresh_by_hand(niche)
        machine.look()
        machine.go(at(7, 28))
        assert len(machine.trained) == 1


@slow
def test_who_trained_before_the_last_niche_was_there_has_not_trained_the_month(server):
    with server(at(6, 30)) as machine:
        machine.outcome = lambda niche: None if niche == "beauty" else True
        lands(machine)
        machine.train_by_hand()
        machine.outcome = lambda _niche: True
        machine.look(6)
        assert len(machine.trained) == 2, "beauty ended after the person began to train: what is new is trained"
        assert machine.row("2026-07") == ("trained", 1, "monthly")


@slow
def test_a_try_with_other_settings_or_one_that_was_never_evaluated_is_not_the_month_s_training(server):
    with server(at(7, 2)) as machine:
        machine.online = False
        for niche in NICHES:
            machine.refresh_by_hand(niche)
        machine.train_by_hand({"overrides": {"epochs": 1}})
        machine.train_by_hand({"recipe": "guide"})
        machine.train_by_hand(outcome="trained_model")
        machine.train_by_hand({"niches": ["tech"]})
        machine.online = True
        machine.look()
        assert len(machine.trained) == 5
        assert machine.row("2026-07") == ("trained", 1, "monthly")


def test_a_failed_evaluation_that_somebody_ran_again_ends_the_month_and_nothing_trains_twice(server):
    with server(at(6, 30)) as machine:
        machine.outcome = lambda niche: True if niche else "trained_model"
        lands(machine)
        machine.look()
        assert machine.row("2026-07") == ("failed", 1, "monthly")
        [run] = machine.runs("train_and_deploy")
        machine.run_again(run)
        machine.look()
        assert machine.row("2026-07") == ("trained", 1, "monthly")
        machine.refresh_by_hand("tech")
        machine.look()
        machine.go(at(7, 20))
        assert len(machine.trained) == 1


@slow
def test_a_training_that_ends_in_the_next_month_is_its_own_month_s_and_the_next_has_its_own(server):
    with server(at(6, 30)) as machine:
        machine.outcome = lambda niche: True if niche else None
        lands(machine)
        lands(machine, requested_at=at(8, 1, 10) + timedelta(seconds=20))
        assert len(machine.refreshed) == 12
        assert machine.trained == []
        machine.outcome = lambda _niche: True
        machine.look(6)
        assert len(machine.trained) == 2
        assert machine.row("2026-07") == ("trained", 1, "monthly")
        assert machine.row("2026-08") == ("trained", 1, "monthly")


@slow
def test_an_old_champion_does_not_close_a_month_of_which_nothing_was_refreshed(server, db):
    champion_since(db, at(4, 20))
    with server(at(7, 1)) as machine:
        machine.outcome = lambda niche: niche is None
        lands(machine)
        machine.go(at(7, 9), at(7, 10))
        assert machine.trained == []
        machine.online = False
        for niche in NICHES:
            machine.refresh_by_hand(niche)
        machine.online = True
        machine.look()
        assert len(machine.trained) == 1
        assert machine.row("2026-07") == ("trained", 1, "monthly")


@slow
def test_a_training_by_hand_after_the_last_niche_is_the_month_s(server):
    with server(at(7, 2)) as machine:
        machine.online = False
        for niche in NICHES:
            machine.refresh_by_hand(niche)
        machine.train_by_hand()
        machine.online = True
        machine.look()
        machine.go(at(7, 20))
        assert len(machine.trained) == 1
        assert machine.row("2026-07") == ("trained", 1, "by_hand")


def test_a_missed_tick_is_caught_up(server):
    with server(at(6, 30)) as machine:
        machine.online = False
        machine.go(BEGINS, at(7, 2))
        assert machine.refreshed == []
        machine.online = True
        machine.go(at(7, 4))
        machine.look()
        assert sorted(niche for _, niche in machine.refreshed) == sorted(NICHES)
        assert len(machine.trained) == 1
        assert machine.row("2026-07") == ("trained", 1, "monthly")


@slow
def test_two_months_offline_cost_two_months_and_not_three_trainings(server):
    with server(at(6, 30)) as machine:
        machine.online = False
        machine.go(at(7, 15), at(8, 15))
        machine.online = True
        machine.go(at(9, 10))
        machine.look()
        machine.go(at(9, 20))
        assert len(machine.refreshed) == 6
        assert len(machine.trained) == 1
        assert (machine.row("2026-07"), machine.row("2026-08")) == (None, None)
        assert machine.row("2026-09") == ("trained", 1, "monthly")


@slow
def test_a_daemon_restarted_in_the_middle_trains_once(server, tmp_path, db):
    with server(at(6, 30)) as machine:
        machine.outcome = lambda niche: True if niche in ("tech", "gaming", "news") else None
        machine.go(BEGINS, BEGINS + timedelta(minutes=1))
        assert len(machine.refreshed) == 3
    with restarted(tmp_path / "dagster", db, BEGINS + timedelta(minutes=2)) as machine:
        machine.look()
        assert len(machine.refreshed) == 3, "those that were queued, and none twice"
        assert [niches for _, niches in machine.trained] == [NICHES]
        assert len(machine.runs("refresh_niche")) == 6


def test_a_daemon_killed_between_the_key_and_the_request_asks_for_the_same_run_once(server, tmp_path, db):
    with server(at(6, 30)) as machine:
        machine.outcome = lambda niche: True if niche else None
        machine.go(BEGINS)
    with db.connection() as connection:
        assert claim(connection, "2026-07", "monthly", "six of six", NICHES, BEGINS) is not None
    with restarted(tmp_path / "dagster", db, BEGINS + timedelta(minutes=2)) as machine:
        machine.look()
        assert len(machine.trained) == 1
        assert machine.row("2026-07") == ("trained", 1, "monthly")


@pytest.mark.parametrize(
    ("month", "day", "hour", "start", "key"),
    [
        (11, 1, 1, at(10, 31), "2026-11"),  # on 2026-11-01 one o'clock exists twice
        (3, 8, 2, at(3, 7), "2026-03"),  # on 2026-03-08 two o'clock does not exist
    ],
)
@slow
def test_summer_time_begins_and_ends_with_one_refresh_and_one_training(server, month, day, hour, start, key):
    begins = STRICT.month.model_copy(update={"day": day, "hour": hour})
    with server(start, STRICT.model_copy(update={"month": begins})) as machine:
        for half_hour in range(16, 24):
            machine.go(at(month, day) + timedelta(minutes=30 * half_hour))
        machine.look()
        assert len(machine.refreshed) == 6
        assert len(machine.trained) == 1
        assert machine.row(key) == ("trained", 1, "monthly")


@slow
def test_a_training_that_failed_is_tried_again_after_a_niche_was_mended_and_not_before(server):
    with server(at(6, 30)) as machine:
        machine.outcome = lambda niche: niche is not None
        lands(machine)
        machine.look()
        machine.go(at(7, 9), at(7, 10))
        assert len(machine.runs("train_and_deploy")) == 1
        assert machine.row("2026-07") == ("failed", 1, "monthly")
        machine.refresh_by_hand("tech")
        machine.outcome = lambda _niche: True
        machine.look()
        machine.go(at(7, 20))
        assert len(machine.trained) == 1
        assert machine.row("2026-07") == ("trained", 2, "monthly")


@slow
def test_a_collection_that_waits_for_units_is_continued_when_they_are_back_and_the_training_waits(server, db):
    def pause(niche, until):
        with db.connection() as connection:
            connection.execute(
                "insert into thumbrank.collection_runs (niche, crawl_id, started_at, last_run_at, state, reason, resumes_at) "
                "values (%s, gen_random_uuid(), %s, %s, %s, 'units are spent', %s) on conflict (niche) do update set "
                "state = excluded.state, resumes_at = excluded.resumes_at",
                (niche, BEGINS, BEGINS, "partial" if until else "complete", until),
            )

    with server(at(6, 30)) as machine:
        pause("news", at(7, 2, 7))
        lands(machine)
        machine.go(at(7, 2, 6))
        assert machine.trained == []
        assert len(machine.runs("refresh_niche")) == 6
        machine.go(at(7, 2, 7) + timedelta(minutes=1))
        assert len(machine.runs("refresh_niche")) == 6, "YouTube may reset a little late"
        machine.go(at(7, 2, 8))
        assert len(machine.runs("refresh_niche")) == 7
        pause("news", None)
        machine.look()
        assert [niches for _, niches in machine.trained] == [NICHES]
        assert len(machine.runs("refresh_niche")) == 7


def champion_since(db, when):
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.promotions (happened_at, kind, version, fingerprint, verdict, why, who) "
            "values (%s, 'promoted', 1, 'f', '{}', 'better', 'test')",
            (when,),
        )


@slow
def test_an_old_champion_is_trained_anew_once_the_month_s_own_training_had_its_time(server, db):
    champion_since(db, at(4, 20))
    with db.connection() as connection:
        claim(connection, "2026-06", "monthly", "June had its own", NICHES, at(6, 1), state="trained")
    with server(at(6, 30)) as machine:
        machine.outcome = lambda niche: niche != "beauty"  # strict, and so the month's own never comes
        lands(machine)
        machine.go(at(7, 5))
        assert machine.trained == []
        machine.go(at(7, 9))
        machine.look()
        machine.go(at(7, 20))
        assert len(machine.trained) == 1
        assert machine.row("2026-07") == ("trained", 1, "champion_age")


@slow
def test_drift_and_an_old_champion_share_one_training(server, db):
    champion_since(db, at(4, 20))
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.encoders (encoder_id, modality, dimension) values ('e', 'image', 8) on conflict do nothing"
        )
        connection.execute(
            "insert into thumbrank.drift_readings select 'tech', encoder_key, %s, 500, 500, 0.3, 0.4, 0, true "
            "from thumbrank.encoders where encoder_id = 'e'",
            (at(7, 8),),
        )
    with server(at(7, 2)) as machine:
        machine.online = False
        for niche in NICHES[:5]:  # strict, and so the month's own never comes
            machine.refresh_by_hand(niche)
        machine.online = True
        machine.go(at(7, 9))
        machine.look()
        machine.go(at(7, 10), at(7, 20))
        assert len(machine.trained) == 1
        assert len(machine.runs("train_and_deploy")) == 1
