"""`forget`, kills in the middle, rendered pages, tombstones and the commands."""

import base64
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from tests.integration.conftest import SEEN
from tests.integration.retention_house import MODES, OWN, VIDEOS
from thumbrank_core.cli import app
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features import cache
from thumbrank_core.policy import load_policy
from thumbrank_core.retention import pages, pictures
from thumbrank_core.retention.removal import expire, forget
from thumbrank_core.store import tombstones
from thumbrank_core.youtube.reach.tokens import TokenStore

NEXT_DAY = SEEN + timedelta(days=1)


def forget_video(house, video, **options):
    return forget(house.db, house.stores, "unaudited", "video", video, **options)


def words_of(house, video):
    """The bytes that would show the video anywhere: id, title, digest, the picture as pages carry it, and marks."""
    picture = house.picture_of(video)
    data = base64.b64encode(house.images.read(picture))
    return [video.encode(), house.title_of(video).encode(), picture.hex().encode(), data, video.encode().hex().encode()]


def files_with(house, words):
    found = (path for path in house.home.rglob("*") if path.is_file())
    return [path for path in found if any(word in path.read_bytes() or word in str(path).encode() for word in words)]


def rows_with(house, names):
    """Rows that name one of these anywhere but in a tombstone or an audit."""
    rest = {table: rows for table, rows in house.dump().items() if table not in ("tombstones", "retention_audit")}
    return [row for rows in rest.values() for row in rows if any(name in row for name in names)]


def test_a_forgotten_video_is_nowhere_and_everything_else_stays(house):
    video = house.shown_video
    channel, words, others = house.channel_of(video), words_of(house, video), house.shown() - {video}
    assert len(house.pages()) == 2, "the report, and its copy among MLflow's artifacts"
    assert all(words[3] in page.read_bytes() for page in house.pages())
    files = house.files(pages=False)
    removal = forget_video(house, video)
    assert files_with(house, words) == []
    assert rows_with(house, [video, words[2].decode()]) == []
    assert house.shown() == others
    assert all(b"removed (retention)" in page.read_bytes() for page in house.pages())
    gone = {f"images/{words[2].decode()[:2]}/{words[2].decode()}"}
    assert house.files(pages=False) == {path: digest for path, digest in files.items() if path not in gone}
    left = "select count(*)::int from thumbrank.thumbnails join thumbrank.channels using (channel_key) where channel_id = %s"
    assert house.value(left, channel) == VIDEOS - 1
    assert (removal.counts["training_pairs"], removal.counts["channel_baselines"]) == (VIDEOS - 1, 1)
    assert (removal.counts["embeddings"], removal.counts["picture_files"], removal.counts["report_items"]) == (2, 1, 2)
    assert removal.counts["sub_score_signals"] == 2
    assert house.rows("select kind, item_id, reason from thumbrank.tombstones") == [("video", video, "forgotten")]
    assert house.rows("select action, subject, counts from thumbrank.retention_audit") == [
        ("forget", f"video {video}", removal.counts)
    ]


@pytest.mark.parametrize("own", [False, True])
def test_a_forgotten_channel_goes_with_all_of_its_videos(house, own):
    channel = OWN if own else house.channel_of(house.shown_video)
    videos, pictures_before = house.made[channel], house.pictures()
    digests = {house.picture_of(video) for video in videos}
    channels, thumbnails = house.count("channels", "thumbnails")
    removal = forget(house.db, house.stores, "audited", "channel", channel)
    assert house.count("channels", "thumbnails") == [channels - 1, thumbnails - len(videos)]
    assert rows_with(house, [channel, "UU" + channel[2:], *videos]) == []
    assert not house.shown() & set(videos)
    assert house.pictures() == pictures_before - digests
    assert removal.counts["picture_files"] == len(digests)
    with house.db.connection() as connection:
        assert tombstones.forgotten(connection, "channel", [channel, "other"]) == {channel}
        assert tombstones.forgotten(connection, "video", videos) == set(videos)


def test_a_shared_picture_and_a_title_that_reads_alike_stay_until_the_last_video_goes(house):
    first, second = house.sharing
    picture, title = house.picture_of(first), cache.title_sha256(house.title_of(first))
    assert (picture, title) == (house.picture_of(second), cache.title_sha256(house.title_of(second)))

    def kept():
        vectors = "select count(*)::int from thumbrank.embeddings where sha256 = any(%s)"
        return house.value(vectors, [picture, title]), house.images.exists(picture)

    forget_video(house, first)
    assert kept() == (2, True)
    forget_video(house, second)
    assert kept() == (0, False)


@pytest.mark.parametrize("mode", MODES)
def test_a_dry_run_of_forgetting_counts_the_same_and_changes_nothing(house, mode):
    before, files, video = house.dump(), house.files(), house.shown_video
    planned = forget(house.db, house.stores, mode, "video", video, dry_run=True)
    assert (house.dump(), house.files()) == (before, files)
    assert forget(house.db, house.stores, mode, "video", video).counts == planned.counts
    assert forget(house.db, house.stores, mode, "video", video).total == 0
    assert house.count("retention_audit") == 1


def test_a_kill_between_the_rows_and_the_files_is_mended_by_the_next_run(house, monkeypatch):
    video = house.shown_video
    words = words_of(house, video)
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            forget_video(house, video)
    assert video in house.shown()
    house.let_files_age()
    mended = expire(house.db, house.stores, load_policy(), now=NEXT_DAY)
    assert {name: count for name, count in mended.counts.items() if count} == {
        "picture_files": 1,
        "report_items": 2,
        "manifest_rows": 1,
    }
    assert files_with(house, words) == []


def test_a_kill_before_the_commit_leaves_everything(house, monkeypatch):
    before, files = house.dump(), house.files()
    monkeypatch.setattr(pages, "unsupported", killed)
    with pytest.raises(KeyboardInterrupt):
        expire(house.db, house.stores, load_policy(), now=SEEN + timedelta(days=30))
    assert (house.dump(), house.files()) == (before, files)


def killed(*_):
    raise KeyboardInterrupt


def test_a_file_that_a_fetch_has_just_written_is_not_swept(house):
    stray = house.home / "images" / "ab" / ("ab" * 32)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"picture")
    assert expire(house.db, house.stores, load_policy(), now=NEXT_DAY).total == 0
    os.utime(stray, (1e9, 1e9))
    assert expire(house.db, house.stores, load_policy(), now=NEXT_DAY).counts["picture_files"] == 1
    assert not stray.exists()


def test_a_picture_that_a_fetch_brought_back_after_the_commit_stays(house, monkeypatch):
    video, other = house.shown_video, house.made[OWN][0]
    picture, delete = house.picture_of(video), pictures.delete

    def brought_back(*arguments):
        house.rows(
            "insert into thumbrank.picture_versions select video_key, %s, null, 320, 180, 1, 1, now(), now() "
            "from thumbrank.thumbnails where video_id = %s",
            picture,
            other,
        )
        return delete(*arguments)

    monkeypatch.setattr(pictures, "delete", brought_back)
    assert forget_video(house, video).counts["picture_files"] == 0
    assert house.images.exists(picture)


CHANGES = {
    "title": "update thumbrank.thumbnails set title = 'a new title' where video_id = %s",
    "picture": "update thumbrank.picture_versions p set sha256 = sha256('x') from thumbrank.thumbnails t "
    "where t.video_key = p.video_key and t.video_id = %s",
    "count": "update thumbrank.view_snapshots s set observed_at = now() + interval '1 minute' "
    "from thumbrank.thumbnails t where t.video_key = s.video_key and t.video_id = %s",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_page_shows_a_video_only_as_long_as_the_database_holds_what_it_shows(house, change):
    video = house.shown_video
    house.rows(CHANGES[change], video)
    others = house.shown() - {video}
    expire(house.db, house.stores, load_policy(), now=NEXT_DAY)
    assert house.shown() == others


def test_a_page_that_cannot_be_rewritten_is_named_with_its_mend(house, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        ThumbrankError, match=r"index\.html cannot be rewritten \(No space left.*thumbrank expire --yes"
    ):
        forget_video(house, house.shown_video)


def test_a_tombstone_of_forgetting_is_never_replaced_and_one_of_expiry_may_be_cleared(db):
    now = datetime.now(UTC)
    with db.connection() as connection:
        assert tombstones.record(connection, "video", ["a", "b"], "expired", now) == 2
        assert tombstones.record(connection, "video", ["b"], "forgotten", now) == 1
        assert tombstones.record(connection, "video", ["a", "b"], "expired", now) == 0
        assert tombstones.forgotten(connection, "video", ["a", "b", "c"]) == {"b"}
        assert tombstones.forgotten(connection, "channel", ["b"]) == set()
        assert tombstones.clear_expired(connection, "video", ["a", "b"]) == 1
        assert connection.execute("select item_id from thumbrank.tombstones").fetchall() == [("b",)]


def test_a_removal_waits_for_a_writer_that_has_looked_at_the_tombstones(db):
    with db.connection() as writer:
        tombstones.forgotten(writer, "video", ["a"])
        with pytest.raises(psycopg.errors.LockNotAvailable), db.connection() as connection:
            connection.execute("set local lock_timeout = '50ms'")
            tombstones.lock_for_removal(connection)


@pytest.fixture
def command(house, house_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", house_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(house.home))
    return lambda *words: CliRunner().invoke(app, words)


def test_the_command_line_says_what_would_go_and_removes_it_only_when_told(house, command):
    video, before = house.shown_video, house.dump()
    said = command("forget", "video", video)
    assert said.exit_code == 0
    assert f"Would be removed: video {video}" in said.output
    assert "Nothing was removed: add --yes" in said.output
    assert "Would be removed: all niches" in command("expire").output
    assert house.dump() == before
    assert f"Removed: video {video}" in command("forget", "video", video, "--yes").output
    assert house.title_of(house.shown_video) is not None
    assert rows_with(house, [video]) == []
    assert "Removed: all niches" in command("expire", "--yes").output
    assert "Nothing is older than policy.yaml allows" in command("expire").output


@pytest.mark.parametrize("item", ["-nothyphen1", "--abcdefghi"])
def test_an_unknown_id_is_one_sentence_and_may_still_be_kept_out_for_ever(house, command, item):
    said = command("forget", "video", item)
    assert said.exit_code == 1
    assert f"Nothing of video {item} is stored" in said.output
    assert house.count("tombstones") == 0
    assert command("forget", "video", item, "--yes").exit_code == 0
    with house.db.connection() as connection:
        assert tombstones.forgotten(connection, "video", [item]) == {item}
    assert house.count("retention_audit") == 0


def test_forgetting_a_channel_deletes_its_owner_s_consent(house, command):
    channel = next(iter(house.made))
    tokens = TokenStore(house.settings.owners)
    tokens.folder.mkdir(mode=0o700, parents=True)
    tokens.path(channel).write_text("{}")
    command("forget", "channel", channel)
    assert tokens.path(channel).exists()
    said = command("forget", "channel", channel, "--yes")
    assert said.exit_code == 0, said.output
    assert f"The consent of {channel} is deleted here" in said.output
    assert not tokens.path(channel).exists()
