"""Owners' rates from the database, and what is made of them and of videos: read-outs and manifests go when they must."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.integration.conftest import SEEN, store_videos
from tests.integration.reaching import (
    TWO_DAYS,
    log_in,
    refresh_token,
    settings_of,
    stored,
    sync_one,
    withdraw,
)
from tests.unit.synthetic import planted
from thumbrank_core.cli import app
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features.specs import load_set
from thumbrank_core.labels.click_rates import click_rates
from thumbrank_core.policy import load_policy
from thumbrank_core.retention.removal import FileStores, expire, forget
from thumbrank_core.store.owner_files import OwnerFiles
from thumbrank_core.training.manifest import MANIFEST, read_manifest, write_manifest
from thumbrank_core.training.owner_rates import load_owner_rates
from thumbrank_core.training.read_outs import ReadOut, write_read_outs
from thumbrank_core.training.recipe import load_recipe
from thumbrank_core.training.run import train_bundle
from thumbrank_core.training.tracking.mlflow import MlflowTracker
from thumbrank_core.youtube.reach.sync import logout

MINE, THEIRS = "UC" + "m" * 22, "UC" + "t" * 22
MODEL, OLDER = "0123456789ab", "ba9876543210"


def add_reach(db, owner, source, video, rate, impressions=1_000, day="2026-07-01"):
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.reach_daily values (%s, %s, %s, %s, %s, %s, %s, now())",
            (owner, source, video, day, day, impressions, rate),
        )


def consent(db, owner, checked_at):
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.reach_owners (owner_id, checked_at) values (%s, %s)", (owner, checked_at)
        )


@pytest.fixture
def files(tmp_path):
    """Read-outs of both owners beside two models."""
    found = OwnerFiles(tmp_path / "models")
    for model in (MODEL, OLDER):
        for owner in (MINE, THEIRS):
            found.write(model, owner, "{}")
    return found


@pytest.fixture
def stores(images, tmp_path, files):
    return FileStores(images, (), (tmp_path / "models",), files)


# From rows to items


def test_each_owner_s_rates_are_indices_into_the_items_and_apart(db):
    add_reach(db, MINE, "studio", "v1", 0.02)
    add_reach(db, MINE, "studio", "v1", 0.08, impressions=3_000, day="2026-07-02")
    add_reach(db, MINE, "reporting_api", "v3", 0.5)
    add_reach(db, MINE, "reporting_api", "elsewhere", 0.5)
    add_reach(db, MINE, "reporting_api", "v0", None, impressions=0)
    add_reach(db, THEIRS, "reporting_api", "v2", 0.1)
    add_reach(db, THEIRS, "reporting_api", "v3", 0.3)
    add_reach(db, "UC" + "o" * 22, "studio", "elsewhere", 0.3)
    with db.connection() as connection:
        found = load_owner_rates(connection, ["v3", "v0", "v2", "v1"])
        assert load_owner_rates(connection, []) == {}
    assert list(found) == [MINE, THEIRS]
    assert found[MINE].item.tolist() == [0, 3]
    assert found[MINE].click_rate.tolist() == pytest.approx([0.5, 0.065])
    assert found[MINE].impressions.tolist() == [1_000, 4_000]
    assert (found[THEIRS].item.tolist(), found[THEIRS].click_rate.tolist()) == ([0, 2], [0.3, 0.1])
    assert {found[MINE].item.dtype, found[MINE].click_rate.dtype} == {np.dtype(np.int64), np.dtype(np.float64)}


# Consent that ends


@pytest.fixture
def fitted(reach, google, owned_world, reach_db):
    """Two owners of the simulator with a read-out each, fitted on what their reports say; returns their ids."""
    owners = [channel.id for channel in owned_world.channels][:2]
    for owner in owners:
        log_in(reach, owner)
        google.clock.advance(TWO_DAYS)
    from thumbrank_core.youtube.reach.sync import sync_all

    sync_all(reach)
    with reach_db.connection() as connection:
        videos = sorted(rate.video_id for owner in owners for rate in click_rates(connection, owner).rates)
        rates = load_owner_rates(connection, videos)
    scores = np.asarray(owned_world.true_effect(videos), np.float64)
    found = write_read_outs(reach.read_outs.models / MODEL, "f" * 64, rates, scores)
    assert all(isinstance(each, ReadOut) for each in found.values()), found
    assert reach.read_outs.owners() == set(owners)
    return owners


def test_read_outs_of_the_world_s_true_effects_follow_the_clicks(reach, fitted):
    for owner in fitted:
        [path] = reach.read_outs.of(owner)
        assert json.loads(path.read_text())["slope"] > 0


def test_logging_out_takes_that_owner_s_read_outs_and_no_other_s(reach, fitted):
    mine, other = fitted
    before = reach.read_outs.of(other)[0].read_bytes()
    planned = logout(reach, mine, dry_run=True)
    assert reach.read_outs.owners() == set(fitted)
    done = logout(reach, mine)
    assert planned.counts == done.counts
    assert done.counts["owner_read_outs"] == 1
    assert reach.read_outs.owners() == {other}
    assert reach.read_outs.of(other)[0].read_bytes() == before


def test_logging_out_by_command_says_so(reach, fitted, google, tmp_path, reach_url, monkeypatch):
    settings = settings_of(google, tmp_path)
    for name, value in (
        ("THUMBRANK_HOME", settings.home),
        ("YOUTUBE_API_ENDPOINT", settings.youtube_api_endpoint),
        ("THUMBRANK_OAUTH_CLIENT", settings.oauth_client),
        ("DATABASE_URL", reach_url),
    ):
        monkeypatch.setenv(name, str(value))
    said = CliRunner().invoke(app, ["reach", "logout", fitted[0], "--yes"])
    assert said.exit_code == 0, said.output
    assert "owner read outs" in said.output
    assert reach.read_outs.owners() == {fitted[1]}


def test_a_sync_that_finds_the_consent_withdrawn_takes_the_read_outs_though_studio_s_rows_stay(
    reach, fitted, google, tmp_path, reach_db
):
    mine, other = fitted
    add_reach(reach_db, mine, "studio", "v", 0.1)
    logout(reach, other)
    withdraw(google, refresh_token(tmp_path, mine))
    assert "rows and its token are removed" in sync_one(reach).news[0]
    assert reach.read_outs.owners() == set()
    assert [row[1] for row in stored(reach_db)] == ["studio"]


def test_a_purge_that_is_killed_before_the_read_outs_is_finished_by_the_next_sync(
    reach, fitted, google, tmp_path, monkeypatch
):
    mine, other = fitted
    logout(reach, other)
    withdraw(google, refresh_token(tmp_path, mine))
    with monkeypatch.context() as patch:
        patch.setattr(OwnerFiles, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            sync_one(reach)
    assert reach.read_outs.owners() == {mine}
    sync_one(reach)
    assert (reach.read_outs.owners(), reach.tokens.owners()) == (set(), [])


def killed(*_):
    raise KeyboardInterrupt


# Expiry and forgetting


def test_expiry_takes_the_read_outs_of_a_consent_that_was_not_confirmed_though_studio_s_rows_stay(db, stores, files):
    consent(db, MINE, SEEN)
    add_reach(db, MINE, "reporting_api", "v1", 0.1)
    add_reach(db, MINE, "studio", "v2", 0.1)
    add_reach(db, THEIRS, "studio", "v3", 0.1)
    policy = load_policy()
    assert expire(db, stores, policy, now=SEEN + timedelta(days=29.9)).counts["owner_read_outs"] == 0
    late = SEEN + timedelta(days=30.1)
    planned = expire(db, stores, policy, now=late, dry_run=True)
    assert files.owners() == {MINE, THEIRS}
    done = expire(db, stores, policy, now=late)
    assert done.counts == planned.counts
    assert (done.counts["owner_read_outs"], done.counts["reach_daily"], files.owners()) == (2, 1, {THEIRS})
    with db.connection() as connection:
        [(counts,)] = connection.execute("select counts from thumbrank.retention_audit").fetchall()
    assert counts == done.counts


def test_expiry_takes_read_outs_of_whom_no_figure_is_left_such_as_a_training_s_that_ended_after_a_logout(
    db, stores, files
):
    add_reach(db, THEIRS, "studio", "v3", 0.1)
    assert expire(db, stores, load_policy()).counts["owner_read_outs"] == 2
    assert files.owners() == {THEIRS}


def test_a_removal_that_is_killed_before_its_commit_leaves_no_read_out_that_nobody_consents_to(
    db, stores, files, monkeypatch
):
    consent(db, MINE, SEEN)
    for owner in (MINE, THEIRS):
        add_reach(db, owner, "studio", "v", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr("thumbrank_core.retention.removal._record", killed)
        with pytest.raises(KeyboardInterrupt):
            expire(db, stores, load_policy(), now=SEEN + timedelta(days=31))
    with db.connection() as connection:
        assert connection.execute("select count(*) from thumbrank.reach_owners").fetchone() == (1,)
    assert files.owners() == {THEIRS}


def test_a_forgotten_channel_takes_its_owner_s_read_outs(db, stores, files):
    for owner in (MINE, THEIRS):
        add_reach(db, owner, "studio", "v", 0.1)
    assert forget(db, stores, "unaudited", "channel", MINE, dry_run=True).counts["owner_read_outs"] == 2
    assert forget(db, stores, "unaudited", "channel", MINE).counts["owner_read_outs"] == 2
    assert files.owners() == {THEIRS}


# Manifests


@pytest.fixture
def listed(db, images, world, tmp_path, stores):
    """Manifests beside two models, of ten stored videos; returns those by channel."""
    views = {channel: [(10.0, 100)] * 5 for channel in (MINE, THEIRS)}
    made = store_videos(db, images, world, views, source="youtube_api")
    with db.connection() as connection:
        rows = connection.execute(
            "select video_id, sha256 from thumbrank.current_pictures join thumbrank.thumbnails using (video_key) order by 1"
        ).fetchall()
    drawn, _ = planted(n_channels=10, videos=1 + 1)
    items = drawn.items
    ten = replace(
        items,
        video_id=[video for video, _ in rows],
        picture=[bytes(digest) for _, digest in rows],
        niche=items.niche[:10],
        split=items.split[:10],
    )
    for model in (MODEL, OLDER):
        write_manifest(replace(drawn, items=ten), tmp_path / "models" / model / MANIFEST)
    return made


def manifests(stores):
    return sorted(path for folder in stores.manifests for path in folder.rglob("*.parquet"))


def named(stores):
    return [[row.video_id for row in read_manifest(path).rows] for path in manifests(stores)]


def test_a_forgotten_video_is_in_no_manifest_and_every_other_row_stays(db, stores, listed):
    video = listed[MINE][2]
    before = [read_manifest(path).rows for path in manifests(stores)]
    planned = forget(db, stores, "unaudited", "video", video, dry_run=True)
    assert all(video in names for names in named(stores))
    done = forget(db, stores, "unaudited", "video", video)
    assert (planned.counts, done.counts["manifest_rows"]) == (done.counts, 2)
    for path, rows in zip(manifests(stores), before, strict=True):
        left = read_manifest(path)
        assert left.rows == tuple(row for row in rows if row.video_id != video)
        assert (left.written, len(left.rows)) == (10, 9)
        assert [file.name for file in path.parent.iterdir() if file.is_file()] == [MANIFEST]


def test_a_forgotten_channel_is_in_no_manifest(db, stores, listed):
    assert forget(db, stores, "unaudited", "channel", MINE).counts["manifest_rows"] == 10
    assert named(stores) == [sorted(listed[THEIRS])] * 2


def test_a_kill_after_the_commit_is_mended_by_the_next_expiry(db, stores, listed, monkeypatch):
    video = listed[MINE][2]
    with monkeypatch.context() as patch:
        patch.setattr("thumbrank_core.retention.pictures.delete", killed)
        with pytest.raises(KeyboardInterrupt):
            forget(db, stores, "unaudited", "video", video)
    assert any(video in names for names in named(stores))
    assert expire(db, stores, load_policy(), now=SEEN).counts["manifest_rows"] == 2
    assert not any(video in names for names in named(stores))


def test_a_manifest_empties_with_the_rows_of_youtube_that_are_too_old(db, stores, listed):
    assert expire(db, stores, load_policy(), now=SEEN + timedelta(days=29)).counts["manifest_rows"] == 0
    assert expire(db, stores, load_policy(), now=SEEN + timedelta(days=31)).counts["manifest_rows"] == 20
    assert named(stores) == [[], []]
    assert [read_manifest(path).written for path in manifests(stores)] == [10, 10]


def test_a_row_goes_when_its_picture_was_replaced_and_is_no_longer_stored(db, stores, listed):
    video = listed[MINE][0]
    with db.connection() as connection:
        connection.execute(
            "update thumbrank.picture_versions p set sha256 = sha256('x') from thumbrank.thumbnails t "
            "where t.video_key = p.video_key and t.video_id = %s",
            (video,),
        )
    assert expire(db, stores, load_policy(), now=SEEN).counts["manifest_rows"] == 2
    assert not any(video in names for names in named(stores))


def test_a_manifest_that_cannot_be_written_is_named_with_its_mend(db, stores, listed, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("thumbrank_core.training.manifest.pq.write_table", full)
    with pytest.raises(ThumbrankError, match=r"manifest\.parquet cannot be written \(No space left"):
        forget(db, stores, "unaudited", "video", listed[MINE][0])
    assert len(named(stores)[0]) == 10


def test_the_stores_of_settings_are_where_models_are(tmp_path, images):
    from thumbrank_core.retention.removal import stores_of
    from thumbrank_core.settings import Settings

    settings = Settings(THUMBRANK_HOME=tmp_path)
    found = stores_of(settings, images)
    assert found.manifests == (settings.models,), "none leaves it"
    assert found.read_outs is not None and found.read_outs.models == settings.models


def test_neither_manifest_nor_owners_files_leave_the_bundle_for_mlflow(tmp_path):
    dataset, _ = planted(n_channels=40)
    recipe = load_recipe("default", {"epochs": 1, "hidden_dim": 8})
    run = train_bundle(dataset, recipe, load_set("tiny"), tmp_path / "models")
    assert run is not None
    (run.folder / "owners").mkdir()
    (run.folder / "owners" / "UCone.json").write_text("{}")
    with MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "artifacts", "run", {}) as tracker:
        tracker.add_artifacts(run.folder, "bundle", run.shared)
    copied = {path.name for path in (tmp_path / "artifacts").rglob("*") if path.is_file()}
    assert copied == {"bundle.json", "model.safetensors", "thumbnail_ranking_model.pt", "model.onnx"}
