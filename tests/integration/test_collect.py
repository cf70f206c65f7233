"""Collection with the real client against a simulated YouTube over real HTTP."""

import logging

import pytest
from pydantic import SecretStr

from thumbrank_core.niches import NicheConfig, load_niches
from thumbrank_core.policy import load_policy
from thumbrank_core.store.catalog import miss_counts
from thumbrank_core.store.versions import data_version, stored_pictures, stored_videos
from thumbrank_core.youtube.client import YouTube
from thumbrank_core.youtube.collect import NothingFoundError, collect_niche
from thumbrank_core.youtube.errors import FatalYouTubeError, RetryableYouTubeError
from thumbrank_core.youtube.pictures import fetch_pictures

POLICY = load_policy().collection


def collect(db, youtube, niche="tech", config=None):
    return collect_niche(db, youtube, niche, config or load_niches()[niche], POLICY, "simulator")


def test_every_public_video_of_the_niche_is_stored_with_its_views(db, youtube, world):
    result = collect(db, youtube)
    public = {v.id: v for v in world.videos if v.channel.niche == "tech" and v.state in ("public", "live", "upcoming")}
    with db.connection() as connection:
        stored = dict(
            connection.execute(
                "select t.video_id, s.view_count from thumbrank.thumbnails t left join thumbrank.latest_snapshots s using (video_key)"
            ).fetchall()
        )
        observed = connection.execute("select distinct observed_at from thumbrank.view_snapshots").fetchall()
    assert set(stored) == set(public)
    assert all(stored[video_id] == video.views for video_id, video in public.items() if video.state == "public")
    assert observed == [(world.settings.as_of,)], "counts are dated by the clock that counted"
    assert result.videos == len(public)
    assert result.channels == len({video.channel.id for video in public.values()})


def test_deleted_and_private_videos_are_misses(db, youtube, world):
    collect(db, youtube, "gaming")
    gone = {v.id for v in world.videos if v.channel.niche == "gaming" and v.state in ("deleted", "private")}
    with db.connection() as connection:
        misses = miss_counts(connection, "gaming", "video")
    assert misses.get("private_or_deleted", 0) == len(gone)


def test_collecting_twice_leaves_the_same_tables(db, youtube):
    collect(db, youtube)
    with db.connection() as connection:
        first = data_version(connection, "videos", "tech"), stored_videos(connection, "tech")
    again = collect(db, youtube)
    assert again.videos_new == 0
    with db.connection() as connection:
        assert (data_version(connection, "videos", "tech"), stored_videos(connection, "tech")) == first


def test_a_channel_found_by_two_niches_stays_with_the_first(db, youtube):
    collect(db, youtube)
    second = collect(db, youtube, "news", NicheConfig(title="News", queries=load_niches()["tech"].queries))
    assert second.channels == 0
    assert second.elsewhere > 0
    with db.connection() as connection:
        assert connection.execute("select distinct niche::text from thumbrank.channels").fetchall() == [("tech",)]
        assert connection.execute("select count(*) from thumbrank.discoveries where niche = 'news'").fetchone()[0] > 0


def test_a_team_s_own_channel_list_is_collected_without_search(db, youtube, world):
    wanted = next(v.channel.id for v in world.videos if v.channel.niche == "beauty")
    config = NicheConfig(title="Beauty", queries=("nothing matches this at all",), channels=(wanted,))
    collect(db, youtube, "beauty", config)
    with db.connection() as connection:
        assert connection.execute("select channel_id from thumbrank.channels").fetchall() == [(wanted,)]


def test_a_query_that_finds_nothing_is_one_sentence(db, youtube):
    with pytest.raises(NothingFoundError, match="check its queries"):
        collect(db, youtube, "tech", NicheConfig(title="Tech", queries=("zzzz qqqq xxxx",)))


def test_a_refused_key_stops_at_once_and_is_nowhere_in_logs_or_errors(db, simulator, caplog):
    caplog.set_level(logging.DEBUG)
    youtube = YouTube(SecretStr("invalid"), simulator.endpoint)
    with pytest.raises(FatalYouTubeError) as caught:
        collect(db, youtube)
    assert youtube.calls == 1
    assert caught.value.__cause__ is None
    assert "X-Goog-Api-Key" not in caplog.text
    assert "key=" not in caplog.text + str(caught.value) + repr(caught.value)


def test_the_key_travels_in_a_header_only(simulator, caplog):
    caplog.set_level(logging.DEBUG)
    secret = "AIzaSyA-secret-key-that-must-not-leak-1"
    youtube = YouTube(SecretStr(secret), simulator.endpoint, attempts=1)
    assert youtube.search(q="tech", type="channel")["items"]
    with pytest.raises(FatalYouTubeError) as caught:
        youtube.channels([f"UC{i:022d}" for i in range(51)])
    assert secret not in caplog.text + str(caught.value) + repr(youtube)


def test_an_unreachable_api_is_retried_and_then_one_sentence():
    youtube = YouTube(SecretStr("x"), "http://127.0.0.1:9", attempts=2)
    with pytest.raises(RetryableYouTubeError, match="check the network"):
        youtube.search(q="tech", type="channel")
    assert youtube.calls == 2


def test_pictures_are_fetched_once_and_misses_are_rows(db, youtube, images):
    collect(db, youtube)
    with db.connection() as connection:
        broken = connection.execute(
            "update thumbrank.thumbnails set thumbnail_url = regexp_replace(thumbnail_url, '[^/]+$', 'nosuch.jpg') "
            "where video_key in (select video_key from thumbrank.thumbnails order by video_key limit 3) returning video_id"
        ).fetchall()
    first = fetch_pictures(db, images, "tech", workers=4)
    assert first.misses == {"http_404": 3}
    assert first.stored == first.wanted - 3
    with db.connection() as connection:
        assert miss_counts(connection, "tech", "picture") == {"http_404": 3}
        coverage = stored_pictures(connection, "tech")
        rows = connection.execute("select sha256, width, height from thumbrank.picture_versions").fetchall()
    assert coverage.stored == first.stored
    assert all(
        images.path(sha).is_file() and width / height == pytest.approx(16 / 9, rel=0.01) for sha, width, height in rows
    )
    assert fetch_pictures(db, images, "tech", workers=4).wanted == len(broken)


def test_an_unreachable_picture_host_is_a_miss_and_not_an_error(db, youtube, images):
    collect(db, youtube)
    with db.connection() as connection:
        connection.execute("update thumbrank.thumbnails set thumbnail_url = 'http://127.0.0.1:9/x.jpg'")
        connection.execute(
            "delete from thumbrank.thumbnails where video_key > (select min(video_key) + 4 from thumbrank.thumbnails)"
        )
    result = fetch_pictures(db, images, "tech", workers=2)
    assert result.misses == {"unreachable": result.wanted}
    assert not images.root.exists()
