"""The monthly digest on a real Postgres and a real registry: its facts are the stored ones, it is told once, and it names nobody; and
its sensor, which asks until it was written and taken.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import dagster as dg
import numpy as np
import pytest
from dagster._core.events import DagsterEvent
from pydantic import SecretStr

from tests.integration.conftest import store_videos
from tests.integration.promoting import Shop, empty_mlflow, verdict
from tests.webhooks import SECRET, Receiver
from thumbrank_core.automation.calendar import load_automation, month_of
from thumbrank_core.automation.digest import DigestError, digests_due, facts_of, month_named, write_digest
from thumbrank_core.automation.month_facts import DeploymentDecision
from thumbrank_core.automation.months import claim, settle, skip
from thumbrank_core.features.drift import compare, record_reading, sketch
from thumbrank_core.features.embed import Embedded
from thumbrank_core.features.stored import StoredNiche
from thumbrank_core.niches import NICHES
from thumbrank_core.settings import Settings
from thumbrank_core.store.catalog import Miss, record_misses
from thumbrank_dagster.defs.embed.checks import check_embeddings
from thumbrank_dagster.defs.operations.digest import DIGEST_TAG, digest_due_sensor, monthly_digest
from thumbrank_dagster.defs.operations.digest import write_digest as write_digest_job
from thumbrank_dagster.resources.alerts import NOT_SET, AlertsResource
from thumbrank_dagster.resources.clock import ClockResource
from thumbrank_dagster.resources.mlflow import MlflowResource
from thumbrank_dagster.resources.state import StateResource

RULES = load_automation()
NOVEMBER = month_named("2026-11", RULES)
NOW = NOVEMBER.begins_at + timedelta(days=2)
A, B, C = ("UC" + letter * 22 for letter in "abc")


class At(ClockResource):
    """The 3rd of November."""

    def now(self) -> datetime:
        return NOW


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    return empty_mlflow(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def shop(db, tmp_path, mlflow):
    return Shop.opened(db, tmp_path, mlflow)


def facts(db, registry=None, month=NOVEMBER, now=NOW):
    with db.connection() as connection:
        return facts_of(connection, registry, month, RULES, now)


def niche(db, name, **more):
    return next(each for each in facts(db, **more).niches if each.niche == name)


def seen_at(db, when, like):
    """Move what was seen of these channels to another time."""
    with db.connection() as connection:
        connection.execute(
            "update thumbrank.view_snapshots s set observed_at = %s from thumbrank.thumbnails t "
            "join thumbrank.channels c using (channel_key) where t.video_key = s.video_key and c.channel_id = any(%s)",
            (when, like),
        )


@pytest.mark.parametrize("key", ["2026-11", "2026-02", "2027-01", "2024-02"])
def test_a_month_is_found_by_its_key(key):
    month = month_named(key, RULES)
    assert month.key == key
    assert month_of(month.begins_at, RULES.month) == month
    assert month_of(month.begins_at - timedelta(seconds=1), RULES.month).key < key


@pytest.mark.parametrize("key", ["November", "2026-13", "2026", "", "2026-11-01", "99999-01"])
def test_what_is_no_month_is_said(key):
    with pytest.raises(DigestError, match="is no month: write it as 2026-11"):
        month_named(key, RULES)


def test_a_month_that_has_not_begun_has_no_digest(db):
    with pytest.raises(DigestError, match="2026-12 has not begun: it begins on 2026-12-01"):
        write_digest(db, Settings(), None, month_named("2026-12", RULES), RULES, NOW)


def test_what_came_is_told_from_what_was_there(db, images, world):
    store_videos(db, images, world, {A: [(90, 1000), (80, 1000)]}, source="simulator")
    seen_at(db, NOVEMBER.begins_at - timedelta(days=30), [A])
    store_videos(db, images, world, {B: [(20, 1000)], C: [(20, 5), (10, 5)]}, source="simulator")
    seen_at(db, NOVEMBER.begins_at + timedelta(days=1), [B, C])
    found = niche(db, "tech")
    assert (found.new_channels, found.new_videos) == (2, 3)
    assert niche(db, "news").new_channels == 0
    assert facts(db).simulated

    # Once the old counts of most have expired, the old ones are still not taken for new.
    with db.connection() as connection:
        connection.execute(
            "delete from thumbrank.view_snapshots s using thumbrank.thumbnails t where t.video_key = s.video_key and t.video_key = "
            "(select min(video_key) from thumbrank.thumbnails)"
        )
    assert niche(db, "tech").new_videos == 3
    october = facts(db, month=month_named("2026-10", RULES), now=NOW).niches
    assert next(each.new_videos for each in october if each.niche == "tech") == 1


def test_what_a_team_imported_is_no_news_of_youtube(db, images, world):
    store_videos(db, images, world, {A: [(90, 1000)]}, source="import")
    seen_at(db, NOVEMBER.begins_at + timedelta(days=1), [A])
    assert niche(db, "tech").new_videos == 0
    assert not facts(db).simulated


def test_what_was_lost_changed_and_removed_is_counted_in_its_month(db, images, world):
    store_videos(db, images, world, {A: [(90, 1000), (80, 1000)]}, source="youtube_api")
    before, inside = NOVEMBER.begins_at - timedelta(hours=1), NOVEMBER.begins_at + timedelta(hours=1)
    with db.connection() as connection:
        record_misses(
            connection,
            "tech",
            [
                Miss("video", "v1", "private_or_deleted", "x", inside),
                Miss("video", "v2", "private_or_deleted", "x", inside),
                Miss("video", "v3", "unreadable", "x", inside),
                Miss("video", "v4", "unreadable", "x", before),
                Miss("channel", "c1", "gone", "x", inside),
                Miss("embedding", "v5", "unreadable", "x", inside),
            ],
        )
        connection.execute("update thumbrank.thumbnails set picture_changed_at = %s", (inside,))
        connection.execute(
            "insert into thumbrank.retention_audit (done_at, action, policy_mode, subject, counts) values "
            "(%(in)s, 'expire', 'unaudited', 'all niches', '{\"thumbnails\": 7, \"channels\": 1, \"misses\": 3}'), "
            "(%(in)s, 'forget', 'unaudited', 'video abc', '{\"thumbnails\": 1, \"channels\": 0}'), "
            "(%(in)s, 'logout', 'unaudited', 'owner', '{\"reach_daily\": 9}'), "
            "(%(out)s, 'expire', 'unaudited', 'all niches', '{\"thumbnails\": 100}')",
            {"in": inside, "out": before},
        )
    found = niche(db, "tech")
    assert found.lost_videos == {"private_or_deleted": 2, "unreadable": 1}
    assert found.lost_channels == {"gone": 1}
    assert found.lost_pictures == {}
    assert found.pictures_changed == 2
    assert facts(db).removed == {"expire": (7, 1), "forget": (1, 0)}


def test_units_are_those_of_the_month_s_pacific_days(db):
    with db.connection() as connection:
        for day, bucket, name, spent in (
            ("2026-10-31", "default", "tech", 999),
            ("2026-11-01", "default", "tech", 100),
            ("2026-11-02", "default", "news", 23),
            ("2026-11-02", "search", "news", 0),
            ("2026-11-09", "default", "news", 999),
        ):
            connection.execute(
                "insert into thumbrank.quota_ledger (pacific_date, bucket, niche, spent) values (%s, %s, %s, %s)",
                (day, bucket, name, spent),
            )
    assert facts(db).units == {"default": 123}


def encoder(connection):
    row = connection.execute(
        "insert into thumbrank.encoders (encoder_id, modality, dimension) values ('e', 'image', 8) returning encoder_key"
    ).fetchone()
    return row[0]


def vectors(shift, seed=0):
    return np.random.default_rng(seed).normal(size=(400, 8)) + shift


def test_a_drift_is_told_though_a_later_run_found_everything_as_before_it(db):
    first, second = sketch(vectors(0)), sketch(vectors(0.8))
    with db.connection() as connection:
        key = encoder(connection)
        record_reading(connection, "tech", key, compare(first, second))
        record_reading(connection, "tech", key, compare(second, second))
        record_reading(connection, "news", key, compare(first, first))
        connection.execute(
            "update thumbrank.drift_readings set read_at = read_at - now() + %s::timestamptz", (NOW - timedelta(1),)
        )
    assert compare(first, second).drifted and not compare(first, first).drifted
    drift = niche(db, "tech").drift
    assert drift is not None
    assert drift.drifted and drift.ks > 0.1 and (drift.pictures_then, drift.pictures_now) == (400, 400)
    news = niche(db, "news").drift
    assert news is not None and not news.drifted
    assert niche(db, "beauty").drift is None


def test_the_embedding_checks_keep_what_they_compared(db):
    def stored(shift, length=1.0):
        image = vectors(shift).astype(np.float32)
        image *= length / np.linalg.norm(image, axis=1, keepdims=True)
        signals: Any = None  # nobody asks for them here
        return StoredNiche(image, image, image, len(image), len(image), key, signals, "1")

    with db.connection() as connection:
        key = encoder(connection)
        check_embeddings(connection, "tech", Embedded(), stored(0))
        checks = check_embeddings(connection, "tech", Embedded(), stored(0.8))
        assert [check.check_name for check in checks if not check.passed] == ["drift"]
        # Of vectors that something broke, nothing is kept: it would be no news of pictures.
        check_embeddings(connection, "tech", Embedded(), stored(0, length=3.0))
        readings = connection.execute(
            "select niche::text, drifted, pictures_then, pictures_now from thumbrank.drift_readings"
        ).fetchall()
    assert readings == [("tech", True, 400, 400)]


def evaluated(db, version, scorer, value, metric="pair_accuracy_micro", n=6537):
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.model_evaluations (model_sha256, model_version, evaluated_at, scorer, is_reference, niche, split, "
            "label, metric, value, ci_low, ci_high, n_pairs, n_channels) "
            "values (%s, %s, %s, %s, false, 'all', 'test', 'age_adjusted', %s, %s, %s, %s, %s, 97)",
            (f"{version}", version, NOW, scorer, metric, value, value - 0.01, value + 0.01, n),
        )


def promoted_in_november(shop):
    """Version 1 in October, version 2 in November."""
    shop.line(1, 2)
    with shop.db.connection() as connection:
        for version, at in ((1, NOVEMBER.begins_at - timedelta(days=20)), (2, NOW - timedelta(hours=1))):
            connection.execute("update thumbrank.promotions set happened_at = %s where version = %s", (at, version))


def trained(db, state: Literal["trained", "failed"] = "trained", why=None):
    with db.connection() as connection:
        row = claim(connection, "2026-11", "monthly", "6 of 6 niches were refreshed.", ["tech"], NOW)
        assert row is not None
        settle(connection, "2026-11", row.attempt, state, NOW, why)


def test_a_model_that_serves_now_is_told_with_its_figures_beside_the_one_before(shop, db):
    promoted_in_november(shop)
    trained(db)
    evaluated(db, 1, "model", 0.60, n=100)
    evaluated(db, 2, "model", 0.67)
    evaluated(db, 2, "champion", 0.66)
    evaluated(db, 2, "model", 0.72, "pair_auc_pooled")
    found = facts(db, shop.registry)
    assert (found.serving, found.challenger) == (2, 2)
    assert [(each.kind, each.version, each.before) for each in found.decisions] == [("promoted", 2, 1)]
    assert found.verdict == shop.registry.verdict(2)
    accuracy, auc = found.figures
    assert accuracy.then is not None and accuracy.now is not None
    assert (accuracy.then[0].value, accuracy.now[0].value, accuracy.same_pairs) == (0.66, 0.67, True)
    assert (auc.then, auc.now[1:]) == (None, (6537, 97))
    # Without the champion's figures on the same pairs its own are told, and that they are its own.
    with db.connection() as connection:
        connection.execute("delete from thumbrank.model_evaluations where scorer = 'champion'")
    [accuracy, _] = facts(db, shop.registry).figures
    assert accuracy.then is not None
    assert (accuracy.then[0].value, accuracy.then[1], accuracy.same_pairs) == (0.60, 100, False)

    digest = write_digest(db, shop.settings, shop.registry, NOVEMBER, RULES, NOW)
    assert digest.body.startswith("Thumbrank 2026-11: version 2 serves now in place of version 1.")
    october = facts(db, shop.registry, month=month_named("2026-10", RULES))
    assert (october.serving, october.decisions) == (1, (DeploymentDecision("promoted", 1, None, verdict().sentence),))


def test_a_verdict_that_nothing_was_decided_on_yet_is_told_too(shop, db):
    shop.line(1)
    with db.connection() as connection:
        connection.execute(
            "update thumbrank.promotions set happened_at = %s", (NOVEMBER.begins_at - timedelta(days=1),)
        )
    shop.make(2, said=verdict(1, status="refused"))
    assert facts(db, shop.registry).verdict is None  # it may be of any month
    trained(db, "failed", "The deployment failed.")
    found = facts(db, shop.registry)
    assert found.verdict is not None
    assert (found.serving, found.challenger, found.verdict.status) == (1, 2, "refused")
    without = facts(db)
    assert (without.serving, without.verdict) == (1, None)


def test_the_same_facts_keep_their_delivery_and_others_are_to_be_told(db):
    def written(now=NOW):
        return write_digest(db, Settings(), None, NOVEMBER, RULES, now)

    first = written()
    assert first.delivered_at is None
    with db.connection() as connection:
        connection.execute("update thumbrank.monthly_digests set delivered_at = %s", (NOW,))
    again = written(NOW + timedelta(hours=1))
    assert (again.body, again.delivered_at) == (first.body, NOW)
    trained(db, "failed", "It broke.")
    assert written().delivered_at is None


def test_no_secret_that_somebody_quoted_gets_into_it(db):
    trained(db, "failed", "could not open postgresql://me:hunter22@host/db")
    settings = Settings(DATABASE_URL=SecretStr("postgresql://me:hunter22@host/db"))
    assert "could not open ***" in write_digest(db, settings, None, NOVEMBER, RULES, NOW).body


def test_a_training_that_ends_after_the_month_is_told_with_what_was_decided_on_it(shop, db):
    shop.line(1, 2)
    december = month_named("2026-12", RULES).begins_at
    with db.connection() as connection:
        for version, at in ((1, NOVEMBER.begins_at - timedelta(days=20)), (2, december + timedelta(hours=5))):
            connection.execute("update thumbrank.promotions set happened_at = %s where version = %s", (at, version))
        row = claim(connection, "2026-11", "monthly", "6 of 6 niches were refreshed.", ["tech"], NOW)
        assert row is not None
        settle(connection, "2026-11", row.attempt, "trained", december + timedelta(hours=6))
    found = facts(db, shop.registry, now=december + timedelta(hours=7))
    assert (found.serving, found.challenger, [each.version for each in found.decisions]) == (2, 2, [2])
    with db.connection() as connection:  # had December's begun before, it would be December's
        claim(
            connection, "2026-12", "monthly", "6 of 6 niches were refreshed.", ["tech"], december + timedelta(hours=4)
        )
    assert facts(db, shop.registry, now=december + timedelta(hours=7)).decisions == ()


@pytest.fixture
def graph(shop, database_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(shop.home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shop.settings.tracking_uri)
    definitions = dg.Definitions(
        assets=[monthly_digest],
        jobs=[write_digest_job],
        resources={"state": StateResource(), "mlflow": MlflowResource(), "alerts": AlertsResource(), "clock": At()},
        executor=dg.in_process_executor,
    )
    with dg.DagsterInstance.ephemeral() as instance:

        def run(month=None):
            config = {"ops": {"monthly_digest": {"config": {} if month is None else {"month": month}}}}
            done = definitions.resolve_job_def("write_digest").execute_in_process(
                run_config=config, instance=instance, raise_on_error=False
            )
            if not done.success:
                [failure] = done.get_step_failure_events()
                said = failure.step_failure_data.user_failure_data
                assert said is not None
                return said.description
            [event] = done.get_asset_materialization_events()
            [check] = done.get_asset_check_evaluations()
            values = event.step_materialization_data.materialization.metadata
            events = json.dumps([str(entry) for entry in instance.all_logs(done.run_id)])
            assert SECRET not in events
            return values["digest"].value, values["delivery"].value, check.passed

        yield run


@pytest.fixture
def receiver(monkeypatch):
    with Receiver() as found:
        monkeypatch.setenv("THUMBRANK_ALERT_WEBHOOK", found.url)
        monkeypatch.setattr("thumbrank_core.automation.alerts.Webhook.pause_s", 0.001)
        yield found


def test_the_digest_is_posted_once_and_names_nobody(graph, receiver, shop, db, images, world):
    promoted_in_november(shop)
    store_videos(db, images, world, {A: [(90, 1000)]}, source="youtube_api")
    body, delivery, passed = graph()
    assert (delivery, passed) == ("It was posted.", True)
    assert receiver.texts == [body]
    assert A not in body and "title" not in body and "-0000" not in body
    assert "version 2 serves now in place of version 1" in body.splitlines()[0]
    assert graph() == (body, "It was posted on 2026-11-03 11:00 UTC.", True)
    assert len(receiver.texts) == 1


def test_a_webhook_that_is_down_leaves_the_digest_to_be_told_later(graph, receiver, db):
    receiver.answers = [404]
    body, delivery, passed = graph()
    assert delivery.startswith("The webhook on 127.0.0.1 refuses the message (HTTP 404)")
    assert not passed
    with db.connection() as connection:
        assert connection.execute("select month, body, delivered_at from thumbrank.monthly_digests").fetchall() == [
            ("2026-11", body, None)
        ]
    assert graph()[1:] == ("It was posted.", True)
    assert receiver.texts == [body]


def test_without_a_webhook_it_is_written_all_the_same(graph):
    body, delivery, passed = graph("2026-10")
    assert body.startswith("Thumbrank 2026-10: nothing was trained; no model serves.")
    assert (delivery, passed) == (NOT_SET, True)


def test_a_month_that_is_none_fails_with_its_sentence(graph):
    assert graph("soon") == "soon is no month: write it as 2026-11."


JULY = datetime(2026, 7, 9, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Then(ClockResource):
    """A clock that stands."""

    time: str

    def now(self) -> datetime:
        return datetime.fromisoformat(self.time)


@pytest.fixture
def look(tmp_path, database_url, monkeypatch):
    """Evaluates the sensor at a time that is given."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path))
    sensor = digest_due_sensor(dg.DefaultSensorStatus.RUNNING, RULES)

    with dg.DagsterInstance.ephemeral() as instance:

        def at(when=JULY):
            resources = {"state": StateResource(), "clock": Then(time=when.isoformat()), "alerts": AlertsResource()}
            definitions = dg.Definitions(
                assets=[monthly_digest],
                jobs=[write_digest_job],
                sensors=[sensor],
                resources=resources | {"mlflow": MlflowResource()},
            )
            with dg.build_sensor_context(instance=instance, resources=resources, definitions=definitions) as context:
                return sensor.evaluate_tick(context)

        at.instance = instance
        yield at


def test_a_month_is_told_of_when_it_ended_and_again_when_it_is_trained_after_all(look, db):
    assert "No month has anything to tell" in look(JULY - timedelta(days=2)).skip_message
    [nobody] = look().run_requests  # the patience is over and nobody trained
    with db.connection() as connection:
        assert skip(connection, "2026-07", "two of six", JULY)
    [skipped] = look().run_requests
    with db.connection() as connection:
        connection.execute("insert into thumbrank.monthly_digests values ('2026-07', %s, 'two of six', null)", (JULY,))
    assert look().run_requests == []
    with db.connection() as connection:
        taken = claim(connection, "2026-07", "monthly", "mended", NICHES, JULY)
    assert look().run_requests == [], "it is on its way"
    assert taken is not None
    with db.connection() as connection:
        settle(connection, "2026-07", taken.attempt, "trained", JULY + timedelta(hours=1))
    [trained] = look(JULY + timedelta(hours=2)).run_requests
    assert len({nobody.run_key, skipped.run_key, trained.run_key}) == 3
    assert trained.run_config["ops"]["monthly_digest"]["config"]["month"] == "2026-07"


def due(db, when, webhook=True):
    with db.connection() as connection:
        return [(each.month, each.about) for each in digests_due(connection, RULES, when, webhook=webhook)]


def test_a_training_that_ends_in_the_next_month_is_still_told_of(db):
    december = month_named("2026-12", RULES).begins_at
    with db.connection() as connection:
        row = claim(connection, "2026-11", "monthly", "mended", NICHES, december - 3 * DAY)
        assert row is not None
        settle(connection, "2026-11", row.attempt, "trained", december + HOUR)
    assert due(db, december + 2 * HOUR) == [("2026-11", "trained-1")]
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.monthly_digests values ('2026-11', %s, 'x', null)", (december + 3 * HOUR,)
        )
    assert due(db, december + 4 * HOUR, webhook=False) == []


def test_a_month_before_the_first_one_is_not_told_of(db):
    december = month_named("2026-12", RULES)
    assert due(db, december.patience_ends(RULES)) == [("2026-12", "untrained")]


def test_a_digest_that_the_webhook_did_not_take_is_due_again_for_a_day(db):
    with db.connection() as connection:
        skip(connection, "2026-11", "two of six", NOW)
        connection.execute("insert into thumbrank.monthly_digests values ('2026-11', %s, 'x', null)", (NOW,))
    assert due(db, NOW + HOUR) == [("2026-11", "skipped-1")]
    assert due(db, NOW + HOUR, webhook=False) == [], "nobody is to be told"
    assert due(db, NOW + DAY + HOUR) == [], "it is in Dagster, and no news any more"
    with db.connection() as connection:
        connection.execute("update thumbrank.monthly_digests set delivered_at = %s", (NOW,))
    assert due(db, NOW + HOUR) == []


def asked(look, request, event: str | None = "PIPELINE_SUCCESS"):
    """The run that was asked for, ended so; None: not yet."""
    job = dg.Definitions(
        assets=[monthly_digest],
        jobs=[write_digest_job],
        resources={
            "state": StateResource(),
            "mlflow": MlflowResource(),
            "alerts": AlertsResource(),
            "clock": ClockResource(),
        },
    ).resolve_job_def("write_digest")
    run = look.instance.create_run_for_job(job, tags={**request.tags, "dagster/run_key": request.run_key})
    end(look, run.run_id, "PIPELINE_START", event)
    return run.run_id


def end(look, run_id, *events):
    for kind in filter(None, events):
        look.instance.report_dagster_event(DagsterEvent(kind, job_name="write_digest"), run_id)


@pytest.fixture
def today(db):
    """A month that was skipped just now, by the clock that Dagster's runs are created by."""
    now = datetime.now(UTC)
    with db.connection() as connection:
        skip(connection, month_of(now, RULES.month).key, "two of six", now)
    return now


def test_a_digest_whose_run_failed_is_asked_for_again_under_another_key_and_less_and_less_often(look, today):
    [first] = look(today).run_requests
    run_id = asked(look, first, event=None)
    assert first.tags[DIGEST_TAG] == first.run_key.removeprefix("digest:").rpartition(":")[0]
    assert "is being written" in look(today + 2 * HOUR).skip_message
    end(look, run_id, "PIPELINE_FAILURE")
    assert "is being written" in look(today + 0.9 * HOUR).skip_message
    [second] = look(today + 1.1 * HOUR).run_requests
    assert second.run_key != first.run_key
    assert second.run_config == first.run_config
    for _ in range(6):
        asked(look, second, "PIPELINE_FAILURE")
    assert look(today + 23 * HOUR).run_requests == []
    assert len(look(today + 25 * HOUR).run_requests) == 1, "a month that fails is not given up"


def test_a_digest_that_was_not_taken_is_asked_for_every_hour_for_a_day(look, today, db, receiver):
    [first] = look(today).run_requests
    asked(look, first)

    def written(when):
        with db.connection() as connection:
            connection.execute(
                "insert into thumbrank.monthly_digests values (%s, %s, 'x', null) "
                "on conflict (month) do update set written_at = excluded.written_at",
                (month_of(today, RULES.month).key, when),
            )

    written(today)
    assert look(today + 0.9 * HOUR).run_requests == []
    [second] = look(today + 1.1 * HOUR).run_requests
    assert second.run_key != first.run_key
    # Every attempt writes the text anew; the day is counted from the first one.
    written(today + 23 * HOUR)
    assert len(look(today + 23.5 * HOUR).run_requests) == 1
    assert look(today + 24.5 * HOUR).run_requests == []


def test_a_webhook_that_cannot_be_one_stops_no_digest(look, today, monkeypatch):
    monkeypatch.setenv("THUMBRANK_ALERT_WEBHOOK", "http://hooks.example.com/x")
    assert len(look(today).run_requests) == 1
