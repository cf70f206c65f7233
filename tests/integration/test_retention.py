"""What goes by its age, in both policy modes, on every store: Postgres, pictures, reports, models and MLflow."""

from datetime import timedelta

import dagster as dg
import pytest

from tests.integration.conftest import SEEN
from tests.integration.retention_house import CHANNELS, DERIVED, MODES, OBSERVED, OWN
from thumbrank_core.features import cache
from thumbrank_core.features.specs import load_set
from thumbrank_core.policy import load_policy
from thumbrank_core.retention.removal import expire
from thumbrank_core.retention.tables import TABLES, Addressed, Rows, Stays
from thumbrank_core.training.loading import load_dataset
from thumbrank_dagster.defs.operations.retention import retention
from thumbrank_dagster.resources.state import StateResource

DAY = timedelta(days=1)
LEFT_OF_OBSERVED, LEFT_OF_DERIVED = [1, 2, 2, 2, 0, 0], [1, 2, 1]
"""The team's own channel, its two videos, and their one pair."""


def run(house, mode, *, days, **options):
    policy = load_policy().model_copy(update={"mode": mode})
    return expire(house.db, house.stores, policy, now=SEEN + days * DAY, **options)


def test_every_table_has_a_rule_or_a_reason_to_stay(house):
    tables = house.rows(
        "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname = 'thumbrank' and c.relkind in ('r', 'p', 'm') and not c.relispartition"
    )
    assert sorted(rule.table for rule in TABLES) == sorted(name for (name,) in tables)


def test_a_table_that_stays_names_no_item_and_one_with_digests_is_swept(house):
    columns = house.rows(
        "select table_name, column_name from information_schema.columns join information_schema.tables "
        "using (table_schema, table_name) where table_schema = 'thumbrank' and table_type = 'BASE TABLE'"
    )
    stays = {rule.table: rule.because for rule in TABLES if isinstance(rule, Stays)}
    swept = {rule.table for rule in TABLES if isinstance(rule, Addressed) or (isinstance(rule, Rows) and rule.pictures)}
    of_items = {"video_key", "video_id", "channel_key", "channel_id", "title", "sha256", "a_key", "b_key"}
    assert not {column for table, column in columns if table in stays} & of_items
    assert {table for table, column in columns if column == "sha256"} == swept
    assert all(stays.values())


@pytest.mark.parametrize("mode", MODES)
def test_nothing_goes_before_the_thirtieth_day_is_full(house, mode):
    before, files = house.dump(), house.files()
    assert run(house, mode, days=29.99).total == 0
    assert (house.dump(), house.files()) == (before, files)


def test_unaudited_everything_of_the_api_goes_on_the_thirtieth_day_and_a_team_s_own_stays(house):
    own = {house.picture_of(video) for video in house.made[OWN]}
    removal = run(house, "unaudited", days=30)
    assert house.count(*OBSERVED) == LEFT_OF_OBSERVED
    assert house.count(*DERIVED) == LEFT_OF_DERIVED
    assert house.count("embeddings", "sub_score_signals") == [4, 4]
    assert house.count("collection_queue", "collection_progress", "collection_runs") == [0, 0, 0]
    assert house.pictures() == own
    assert house.shown() <= set(house.made[OWN])
    assert removal.counts["thumbnails"] == len(house.api_videos)
    buried = house.rows("select kind, reason, count(*)::int from thumbrank.tombstones group by 1, 2 order by 1")
    assert buried == [("channel", "expired", CHANNELS), ("video", "expired", len(house.api_videos))]


def test_audited_content_goes_on_the_thirtieth_day_and_counts_and_what_they_led_to_stay(house):
    stay = ("channels", "thumbnails", "view_snapshots", *DERIVED)
    before, own = house.count(*stay), {house.picture_of(video) for video in house.made[OWN]}
    removal = run(house, "audited", days=30)
    assert house.count(*stay) == before
    assert house.rows(
        "select distinct title, tags, thumbnail_url, language, category_id, trainability, exclusion_reason "
        "from thumbrank.thumbnails where source = 'youtube_api'"
    ) == [(None, [], None, None, None, None, "expired")]
    assert house.rows(
        "select distinct title, country, uploads_playlist, subscriber_count from thumbrank.channels "
        "where source = 'youtube_api'"
    ) == [(None, None, None, 5000)]
    assert house.count("picture_versions", "embeddings", "discoveries", "misses", "tombstones") == [2, 4, 0, 0, 0]
    assert house.count("sub_score_signals") == 4
    assert house.pictures() == own
    assert house.shown() <= set(house.made[OWN])
    assert removal.counts["thumbnails_content"] == len(house.api_videos)
    assert removal.counts["channels_content"] == CHANNELS


@pytest.mark.parametrize("mode", MODES)
def test_models_and_figures_stay_to_the_byte(house, mode):
    figures = house.rows("select * from thumbrank.model_evaluations order by 1")
    stay = {path: digest for path, digest in house.files(pages=False).items() if not path.startswith("images/")}
    run(house, mode, days=5000)
    assert figures == house.rows("select * from thumbrank.model_evaluations order by 1") != []
    kept = {path: digest for path, digest in house.files(pages=False).items() if not path.startswith("images/")}
    assert kept == stay
    assert {"model.safetensors", "bundle.json", "evaluation.json"} <= {path.rpartition("/")[2] for path in kept}


def test_audited_labels_and_training_leave_emptied_videos_out(house):
    run(house, "audited", days=30)
    assert load_dataset(house.db, ["tech"], load_set("tiny")).items.video_id == sorted(house.made[OWN])
    assert house.label() == {"counted": 2, "expired": len(house.api_videos)}


def test_audited_counts_go_after_their_own_days_and_their_rows_with_them(house):
    run(house, "audited", days=1094.99)
    assert house.count("view_snapshots") == len(house.api_videos) + 2
    run(house, "audited", days=1095)
    assert house.count(*OBSERVED) == LEFT_OF_OBSERVED
    assert house.count(*DERIVED) == LEFT_OF_DERIVED
    assert house.count("tombstones") == CHANNELS + len(house.api_videos)


@pytest.mark.parametrize("mode", MODES)
def test_what_was_refreshed_stays_whole(house, mode):
    video = house.shown_video
    title, picture = house.title_of(video), house.picture_of(video)
    house.refresh(25, "channels", "thumbnails", "picture_versions", "view_snapshots")
    before, files = house.count("training_pairs", "embeddings", "thumbnails"), house.pictures()
    house.label()
    removal = run(house, mode, days=54.99)
    assert {table for table, count in removal.counts.items() if count} <= {
        "discoveries", "misses", "collection_queue", "collection_progress", "collection_runs"
    }  # fmt: skip
    assert (house.title_of(video), house.picture_of(video)) == (title, picture)
    assert (house.count("training_pairs", "embeddings", "thumbnails"), house.pictures()) == (before, files)
    assert video in house.shown()


def test_a_channel_that_was_not_refreshed_stays_as_the_empty_key_of_videos_that_were(house):
    house.refresh(5, "thumbnails")
    run(house, "unaudited", days=30)
    of_api = "from thumbrank.channels where source = 'youtube_api'"
    assert house.rows(f"select distinct title, subscriber_count {of_api}") == [(None, None)]
    assert house.count("channels", "thumbnails") == [CHANNELS + 1, len(house.api_videos) + 2]
    assert house.count("view_snapshots", *DERIVED) == [2, *LEFT_OF_DERIVED], "what the counts led to went with them"


def test_a_video_with_a_fresh_count_keeps_its_labels_when_an_old_count_goes(house):
    house.rows(
        "insert into thumbrank.view_snapshots (video_key, observed_at, view_count, expires_at) "
        "select video_key, observed_at + interval '20 days', view_count + 500, observed_at + interval '50 days' "
        "from thumbrank.view_snapshots where expires_at is not null"
    )
    house.refresh(20, "channels", "thumbnails", "picture_versions")
    house.label()
    before = house.count(*DERIVED, "embeddings")
    removal = run(house, "unaudited", days=31)
    assert removal.counts["view_snapshots"] == len(house.api_videos)
    assert house.count(*DERIVED, "embeddings") == before


def test_labels_go_when_the_counts_they_were_made_from_are_too_old_and_nobody_labelled_since(house):
    house.refresh(29, "channels", "thumbnails", "picture_versions", "view_snapshots")
    removal = run(house, "unaudited", days=30)
    assert removal.counts["view_snapshots"] == 0
    assert house.count(*DERIVED) == LEFT_OF_DERIVED


def test_a_row_of_the_api_whose_writer_forgot_the_date_goes_all_the_same(house):
    for table in OBSERVED[:4]:
        house.rows(f"update thumbrank.{table} set expires_at = null")
    run(house, "unaudited", days=30)
    assert house.count(*OBSERVED[:4]) == LEFT_OF_OBSERVED[:4]


def test_a_vector_of_a_title_that_changed_goes(house):
    video = house.shown_video
    old = cache.title_sha256(house.title_of(video))
    house.rows("update thumbrank.thumbnails set title = 'changed' where video_id = %s", video)
    assert run(house, "unaudited", days=1).counts["embeddings"] == 1
    assert house.value("select count(*)::int from thumbrank.embeddings where sha256 = %s", old) == 0


@pytest.mark.parametrize("mode", MODES)
def test_the_audit_row_counts_what_disappeared_and_shows_nothing_of_it(house, mode):
    before, pictures, places = house.dump(), house.pictures(), len(house.places())
    removal = run(house, mode, days=30)
    [written] = house.rows("select action, policy_mode, subject, counts from thumbrank.retention_audit")
    assert written == ("expire", mode, "all niches", removal.counts)
    after = house.dump()
    for rule in TABLES:
        if not isinstance(rule, Stays):
            assert removal.counts.get(rule.table, 0) == len(before[rule.table]) - len(after[rule.table]), rule.table
    assert removal.counts["picture_files"] == len(pictures) - len(house.pictures())
    assert removal.counts["report_items"] == places - len(house.places())


@pytest.mark.parametrize("mode", MODES)
def test_a_dry_run_counts_the_same_and_changes_nothing(house, mode):
    before, files = house.dump(), house.files()
    planned = run(house, mode, days=30, dry_run=True)
    assert (house.dump(), house.files()) == (before, files)
    assert run(house, mode, days=30).counts == planned.counts


@pytest.mark.parametrize("mode", MODES)
def test_a_second_run_finds_nothing_and_writes_nothing(house, mode):
    run(house, mode, days=30)
    house.let_files_age()
    after, files = house.dump(), house.files()
    assert run(house, mode, days=30).total == 0
    assert (house.dump(), house.files()) == (after, files)


def test_the_asset_expires_and_reports_counts(house, house_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", house_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(house.home))
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([retention], resources={"state": StateResource()}, instance=instance)
    [event] = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert metadata["mode"].value == "unaudited"
    assert metadata["thumbnails"].value == len(house.api_videos)
    assert house.count("thumbnails") == 2
