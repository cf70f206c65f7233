"""A niche's pictures from the simulated picture host into store and tables: once, again when stale, and misses as rows."""

import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from tests.integration.conftest import SEEN
from tests.integration.missing import miss_counts
from thumbrank_core.exclusions import Exclusions
from thumbrank_core.policy import load_policy
from thumbrank_core.simulator.server import SimulatorServer
from thumbrank_core.simulator.world import WorldSettings, build_world
from thumbrank_core.store.catalog import ChannelSeen, Source, VideoSeen, record_channels, record_videos
from thumbrank_core.store.versions import data_version, stored_pictures
from thumbrank_core.youtube import download, pictures
from thumbrank_core.youtube.pictures import fetch_pictures, wanted_pictures

POLICY = load_policy()
NOTHING = Exclusions({}, {})
SMALL = WorldSettings(seed=7, channels_per_niche=20, videos_per_channel=20, large_pictures=0.1, niches=("tech",))
CHANNEL = "UC" + "a" * 22
LATER = timedelta(days=POLICY.retention.refresh_from_day)


@pytest.fixture(scope="module")
def public():
    return [video for video in build_world(SMALL).videos if video.state == "public"]


@pytest.fixture(scope="module")
def server():
    with SimulatorServer(SMALL) as running:
        yield running


@pytest.fixture
def host(server):
    """The module's own simulator, without faults before and after."""
    yield server
    server.set_faults({})


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setitem(download.Downloader.__init__.__kwdefaults__, "first_wait", 0.01)


def listed(db, host, videos, source: Source = "simulator", file="mqdefault.jpg"):
    """Videos of one channel that list a picture of the host."""
    with db.connection() as connection:
        record_channels(connection, "tech", [ChannelSeen(CHANNEL, "t", source, SEEN)])
        record_videos(
            connection,
            [
                VideoSeen(v.id, CHANNEL, "t", SEEN, source, SEEN, thumbnail_url=f"{host.endpoint}/vi/{v.id}/{file}")
                for v in videos
            ],
        )
    return [video.id for video in videos]


def rows(db, statement, *values):
    with db.connection() as connection:
        return connection.execute(statement, values or None).fetchall()


def version(db):
    with db.connection() as connection:
        return data_version(connection, "pictures", "tech")


def test_pictures_are_fetched_once_and_misses_are_rows(db, host, images, public):
    ids = listed(db, host, public[:20])
    rows(
        db,
        "update thumbrank.thumbnails set thumbnail_url = thumbnail_url || '.nosuch' where video_id = any(%s) returning 1",
        ids[:3],
    )
    first = fetch_pictures(db, images, "tech", POLICY, NOTHING)
    assert (first.wanted, first.stored, first.versions, first.misses) == (20, 17, 17, {"http_404": 3})
    with db.connection() as connection:
        assert miss_counts(connection, "tech", "picture") == {"http_404": 3}
        assert stored_pictures(connection, "tech").stored == 17
    kept = rows(db, "select sha256, width, height, bytes, first_seen_at from thumbrank.picture_versions")
    assert all(images.exists(sha) and len(images.read(sha)) == size for sha, _, _, size, _ in kept)
    assert {(width, height) for _, width, height, _, _ in kept} == {(320, 180)}
    assert {seen for *_, seen in kept} == {SMALL.as_of}, "pictures are dated by their host's clock"
    assert fetch_pictures(db, images, "tech", POLICY, NOTHING).wanted == 3


def test_an_unreachable_picture_host_is_a_miss_and_not_an_error(db, host, images, public):
    listed(db, host, public[:4])
    rows(db, "update thumbrank.thumbnails set thumbnail_url = 'http://127.0.0.1:9/x.jpg' returning 1")
    assert fetch_pictures(db, images, "tech", POLICY, NOTHING).misses == {"unreachable": 4}
    assert list(images.known(SEEN + timedelta(days=10_000))) == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("picture_html", "not_a_picture"),
        ("picture_404grey_as_200", "placeholder"),
        ("picture_500", "http_500"),
        ("picture_truncated", "truncated"),
        ("dropped", "unreachable"),
    ],
)
def test_what_the_host_does_wrong_is_a_miss_with_its_reason_until_the_picture_is_had(
    db, host, images, public, fault, reason
):
    listed(db, host, public[:6])
    host.set_faults({fault: 1.0})
    result = fetch_pictures(db, images, "tech", POLICY, NOTHING)
    assert (result.stored, result.misses) == (0, {reason: 6})
    host.set_faults({})
    assert fetch_pictures(db, images, "tech", POLICY, NOTHING).stored == 6
    assert rows(db, "select 1 from thumbrank.misses") == []


def test_a_host_that_fails_now_and_then_costs_no_picture(db, host, images, public):
    listed(db, host, public[:60])
    host.set_faults({"picture_500": 0.05, "picture_truncated": 0.05, "dropped": 0.05, "picture_webp": 0.3})
    result = fetch_pictures(db, images, "tech", POLICY, NOTHING)
    assert result.stored + sum(result.misses.values()) == 60
    assert result.stored >= 58, "three attempts each"


def test_a_webp_called_jpeg_is_a_picture(db, host, images, public):
    listed(db, host, public[:3])
    host.set_faults({"picture_webp": 1.0})
    assert fetch_pictures(db, images, "tech", POLICY, NOTHING).stored == 3
    assert all(
        images.read(sha)[8:12] == b"WEBP" for (sha,) in rows(db, "select sha256 from thumbrank.picture_versions")
    )


def test_a_stale_picture_that_is_the_same_is_only_seen_once_more(db, host, images, public):
    listed(db, host, public[:5], source="youtube_api")
    start = fetch_pictures(db, images, "tech", POLICY, NOTHING, now=SMALL.as_of)
    before, kept = version(db), rows(db, "select sha256 from thumbrank.picture_versions order by 1")
    assert (
        fetch_pictures(db, images, "tech", POLICY, NOTHING, now=SMALL.as_of + LATER - timedelta(seconds=1)).wanted == 0
    )
    rows(
        db,
        "update thumbrank.picture_versions set last_seen_at = last_seen_at - %s, first_seen_at = first_seen_at - %s, "
        "expires_at = expires_at - %s returning 1",
        LATER,
        LATER,
        LATER,
    )
    again = fetch_pictures(db, images, "tech", POLICY, NOTHING, now=SMALL.as_of)
    assert (start.versions, again.wanted, again.stored, again.versions) == (5, 5, 5, 0)
    assert rows(db, "select sha256 from thumbrank.picture_versions order by 1") == kept
    assert rows(db, "select distinct first_seen_at, last_seen_at, expires_at from thumbrank.picture_versions") == [
        (SMALL.as_of - LATER, SMALL.as_of, SMALL.as_of + timedelta(days=POLICY.retention.days))
    ]
    assert version(db) == before, "nothing downstream has to be computed anew"


def test_a_changed_picture_is_a_version_beside_the_old_one(db, host, images, public):
    ids = listed(db, host, public[100:104])
    fetch_pictures(db, images, "tech", POLICY, NOTHING)
    before, old = (
        version(db),
        dict(
            rows(
                db,
                "select t.video_id, p.sha256 from thumbrank.current_pictures p join thumbrank.thumbnails t using (video_key)",
            )
        ),
    )
    rows(
        db,
        "update thumbrank.picture_versions set first_seen_at = first_seen_at - %s, last_seen_at = last_seen_at - %s returning 1",
        LATER,
        LATER,
    )
    host.swap_pictures(ids[:1])
    again = fetch_pictures(db, images, "tech", POLICY, NOTHING)
    assert (again.stored, again.versions) == (4, 1)
    assert version(db) != before
    new = dict(
        rows(
            db,
            "select t.video_id, p.sha256 from thumbrank.current_pictures p join thumbrank.thumbnails t using (video_key)",
        )
    )
    assert {video for video in ids if new[video] != old[video]} == {ids[0]}
    assert images.read(old[ids[0]]) != images.read(new[ids[0]]), "the picture under which the views were earned stays"


def test_api_data_expires_and_the_simulator_s_does_not(db, host, images, public):
    simulated = listed(db, host, public[:2])
    listed(db, host, public[2:4], source="youtube_api")
    rows(
        db,
        "update thumbrank.thumbnails set thumbnail_url = thumbnail_url || 'x' where video_id in (%s, %s) returning 1",
        public[1].id,
        public[3].id,
    )
    fetch_pictures(db, images, "tech", POLICY, NOTHING, now=SMALL.as_of)
    expiry = dict(
        rows(
            db,
            "select t.video_id, p.expires_at from thumbrank.picture_versions p join thumbrank.thumbnails t using (video_key)",
        )
    )
    assert expiry == {simulated[0]: None, public[2].id: SMALL.as_of + timedelta(days=POLICY.retention.days)}
    missed = dict(rows(db, "select item_id, expires_at from thumbrank.misses"))
    assert missed[public[1].id] is None
    assert missed[public[3].id] - SMALL.as_of >= timedelta(days=POLICY.retention.days)


def test_a_team_s_own_picture_is_never_stale(db, host, images, public):
    listed(db, host, public[:2], source="import")
    far = SMALL.as_of + timedelta(days=500)
    assert fetch_pictures(db, images, "tech", POLICY, NOTHING, now=far).stored == 2
    assert fetch_pictures(db, images, "tech", POLICY, NOTHING, now=far).wanted == 0
    assert rows(db, "select distinct expires_at from thumbrank.picture_versions") == [(None,)]


def test_what_was_forgotten_is_not_fetched_and_what_expired_is(db, host, images, public):
    ids = listed(db, host, public[:3])
    for kind, item, reason in (("video", ids[0], "forgotten"), ("video", ids[1], "expired")):
        rows(
            db,
            "insert into thumbrank.tombstones (kind, item_id, reason, made_at) values (%s, %s, %s, now()) returning 1",
            kind,
            item,
            reason,
        )
    assert {want.video_id for want in wanted_pictures(db, "tech", SEEN, NOTHING)} == set(ids[1:])
    rows(
        db,
        "insert into thumbrank.tombstones (kind, item_id, reason, made_at) values ('channel', %s, 'forgotten', now()) returning 1",
        CHANNEL,
    )
    assert list(wanted_pictures(db, "tech", SEEN, NOTHING)) == []


def test_what_the_team_excludes_is_not_fetched(db, host, images, public):
    ids = listed(db, host, public[:3])
    only_one = Exclusions({}, {ids[0]: "a minor"})
    assert {want.video_id for want in wanted_pictures(db, "tech", SEEN, only_one)} == set(ids[1:])
    assert fetch_pictures(db, images, "tech", POLICY, Exclusions({CHANNEL: "re-uploads"}, {})).wanted == 0


def test_a_video_removed_while_its_picture_is_on_its_way_is_left_out(db, host, images, public, monkeypatch):
    ids = listed(db, host, public[:3])
    write = pictures._write

    def remove_first(database, niche, outcomes, result):
        rows(db, "delete from thumbrank.thumbnails where video_id = %s returning 1", ids[0])
        write(database, niche, outcomes, result)

    monkeypatch.setattr(pictures, "_write", remove_first)
    assert fetch_pictures(db, images, "tech", POLICY, NOTHING).stored == 2


def test_what_is_wanted_is_read_in_small_parts_and_each_once(db, host, images, public, monkeypatch):
    ids = listed(db, host, public[:50])
    monkeypatch.setattr(pictures, "READ_AT_ONCE", 7)
    assert sorted(want.video_id for want in wanted_pictures(db, "tech", SEEN, NOTHING)) == sorted(ids)
    assert fetch_pictures(db, images, "tech", POLICY, NOTHING).stored == 50


SCRIPT = """
import sys, time
from datetime import UTC, datetime
from thumbrank_core.exclusions import Exclusions
from thumbrank_core.policy import load_policy
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore
from thumbrank_core.youtube import pictures
pictures.COMMIT_EVERY = 20
write, written = pictures._write, []
def hold(*arguments):
    if len(written) == 3:
        time.sleep(60)  # to be killed here, however busy the machine is
    write(*arguments)
    written.append(1)
pictures._write = hold
with Database(sys.argv[1]) as database:
    print("ready", flush=True)
    pictures.fetch_pictures(database, ImageStore(sys.argv[2]), "tech", load_policy(), Exclusions({}, {}))
"""


def begun(database_url, folder):
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, database_url, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    return child


def test_a_killed_fetch_continues_and_ends_with_the_same_tables(db, database_url, host, images, public):
    ids = listed(db, host, public[:250])
    child = begun(database_url, images.place)
    while child.poll() is None and rows(db, "select count(*) from thumbrank.picture_versions") == [(0,)]:
        time.sleep(0.005)
    child.kill()
    child.communicate()
    [(committed,)] = rows(db, "select count(*) from thumbrank.picture_versions")
    assert 0 < committed < 250
    result = fetch_pictures(db, images, "tech", POLICY, NOTHING)
    assert result.wanted == 250 - committed
    kept = rows(
        db,
        "select t.video_id, p.sha256 from thumbrank.picture_versions p join thumbrank.thumbnails t using (video_key)",
    )
    assert sorted(video for video, _ in kept) == sorted(ids)
    assert all(images.read(sha) for _, sha in kept), "nothing half written bears a name"


def test_ctrl_c_does_not_wait_for_a_host_that_says_nothing(db, database_url, host, images, public):
    listed(db, host, public[:30])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/x.jpg"
        rows(db, "update thumbrank.thumbnails set thumbnail_url = %s returning 1", address)
        child = begun(database_url, images.place)
        silent.accept()
        child.send_signal(signal.SIGINT)
        assert download.TIMEOUT.read is not None
        _, stderr = child.communicate(timeout=download.TIMEOUT.read - 5)  # shorter than what it waits for otherwise
    assert b"KeyboardInterrupt" in stderr
    assert child.returncode != 0
