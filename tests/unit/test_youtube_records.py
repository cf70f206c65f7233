"""What answers mean: missing is None, unknown durations are None, only 16:9 pictures count, and how long rows may stay."""

from datetime import UTC, datetime, timedelta

import pytest

from thumbrank_core.policy import load_policy
from thumbrank_core.youtube.lifetimes import Lifetimes
from thumbrank_core.youtube.records import (
    channel_of,
    counts_of,
    kind_of,
    seconds_of,
    thumbnail_url,
    time_of,
    video_of,
)

NOW = datetime(2026, 8, 1, tzinfo=UTC)
MONTH = timedelta(days=30)
API = Lifetimes(MONTH, MONTH)
FOR_EVER = Lifetimes(None, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT4M13S", 253),
        ("PT1H", 3600),
        ("P1DT2H", 93_600),
        ("PT1H0.5S", 3600),
        ("P0D", None),
        ("PT0S", None),
        (None, None),
        ("", None),
        ("P1W", 604_800),
    ],
)
def test_durations_are_seconds_and_live_ones_are_unknown(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["4:13", "PT", "P", "PT4M13", "-PT4M", "PT4M13S "])
def test_what_is_not_a_duration_is_refused(text):
    with pytest.raises(ValueError, match="ISO 8601"):
        seconds_of(text)


@pytest.mark.parametrize(
    "text",
    ["2019-05-01T12:00:00.000Z", "2019-05-01T12:00:00Z", "2019-05-01 12:00:00+00:00", "2019-05-01T14:00:00+02:00"],
)
def test_times_are_read_with_and_without_fractions(text):
    assert time_of(text) == datetime(2019, 5, 1, 12, tzinfo=UTC)
    assert time_of(text).utcoffset() == timedelta(0)


def item(**parts):
    """A videos.list item."""
    snippet = {"channelId": "UC1", "title": "t", "publishedAt": "2026-07-01T00:00:00Z"} | parts.pop("snippet", {})
    return {"id": "x", "snippet": snippet, **parts}


def test_hidden_counts_are_missing_and_not_zero():
    video = video_of(item(statistics={"viewCount": "12"}), NOW, API, "youtube_api")
    assert (video.view_count, video.like_count, video.comment_count) == (12, None, None)


@pytest.mark.parametrize("parts", [{}, {"statistics": {}}])
def test_an_item_without_statistics_has_no_views(parts):
    assert video_of(item(**parts), NOW, API, "youtube_api").view_count is None
    assert counts_of(item(**parts), NOW, API) is None


def test_a_count_of_zero_is_zero_and_not_missing():
    found = counts_of(item(statistics={"viewCount": "0", "likeCount": "0"}), NOW, API)
    assert found is not None
    assert (found.view_count, found.like_count, found.comment_count) == (0, 0, None)


def test_names_that_look_like_something_else_stay_as_they_are():
    odd = item(snippet={"title": "=1+1"}) | {"id": "-abc"}
    video = video_of(odd, NOW, API, "youtube_api")
    assert (video.video_id, video.title) == ("-abc", "=1+1")


def test_what_postgres_cannot_store_is_taken_out_of_titles_and_tags():
    video = video_of(item(snippet={"title": "a\x00b", "tags": ["c\x00", "\ud800d"]}), NOW, API, "youtube_api")
    for text in (video.title, *video.tags):
        assert "\x00" not in text
        text.encode("utf-8")


def test_everything_that_videos_list_tells_is_read():
    video = video_of(
        item(
            snippet={
                "categoryId": "28",
                "tags": ["a", "b"],
                "defaultLanguage": "de",
                "defaultAudioLanguage": "en",
                "liveBroadcastContent": "live",
                "thumbnails": {"medium": {"url": "m"}},
            },
            contentDetails={"duration": "P0D"},
            status={"madeForKids": True},
            statistics={"viewCount": "1", "likeCount": "2", "commentCount": "3"},
        ),
        NOW,
        API,
        "youtube_api",
    )
    assert (video.category_id, video.tags, video.language, video.made_for_kids) == ("28", ("a", "b"), "en", True)
    assert (video.live_broadcast, video.kind, video.duration_seconds) == ("live", "live", None)
    assert (video.thumbnail_url, video.view_count, video.like_count, video.comment_count) == ("m", 1, 2, 3)
    assert (video.channel_id, video.published_at) == ("UC1", datetime(2026, 7, 1, tzinfo=UTC))


@pytest.mark.parametrize(("mode", "counts"), [("unaudited", MONTH), ("audited", timedelta(days=1095))])
def test_rows_of_the_api_expire_and_counts_may_stay_longer_once_audited(mode, counts):
    lifetimes = Lifetimes.of(load_policy().model_copy(update={"mode": mode}), "youtube_api")
    video = video_of(item(statistics={"viewCount": "1"}), NOW, lifetimes, "youtube_api")
    assert (video.seen_at, video.expires_at, video.snapshot_expires_at) == (NOW, NOW + MONTH, NOW + counts)
    assert channel_of({"id": "UC1"}, NOW, lifetimes, "youtube_api").expires_at == NOW + MONTH
    found = counts_of(item(statistics={"viewCount": "1"}), NOW, lifetimes)
    assert found is not None and found.expires_at == NOW + counts


@pytest.mark.parametrize("source", ["simulator", "import"])
def test_what_is_not_of_the_api_stays_for_ever(source):
    for mode in ("unaudited", "audited"):
        assert Lifetimes.of(load_policy().model_copy(update={"mode": mode}), source) == FOR_EVER
    video = video_of(item(statistics={"viewCount": "1"}), NOW, FOR_EVER, source)
    assert (video.expires_at, video.snapshot_expires_at) == (None, None)


def test_hidden_subscribers_are_unknown():
    channel = {"id": "UC1", "statistics": {"hiddenSubscriberCount": True, "subscriberCount": "0"}}
    assert channel_of(channel, NOW, API, "youtube_api").subscriber_count is None


def test_everything_that_channels_list_tells_is_read_and_may_be_missing():
    channel = channel_of(
        {
            "id": "UC1",
            "snippet": {"title": "T", "country": "DE"},
            "statistics": {"subscriberCount": "12300", "videoCount": "7", "viewCount": "99"},
            "contentDetails": {"relatedPlaylists": {"uploads": "UU1"}},
            "status": {"madeForKids": False},
        },
        NOW,
        API,
        "youtube_api",
    )
    assert (channel.title, channel.country, channel.uploads_playlist, channel.made_for_kids) == (
        "T",
        "DE",
        "UU1",
        False,
    )
    assert (channel.subscriber_count, channel.video_count, channel.view_count) == (12300, 7, 99)
    bare = channel_of({"id": "UC1"}, NOW, API, "youtube_api")
    assert (bare.title, bare.uploads_playlist, bare.made_for_kids, bare.video_count) == (None, None, None, None)


def test_the_best_wide_picture_within_the_limit_is_taken_and_letterboxed_ones_never():
    sizes = {name: {"url": name} for name in ("default", "medium", "high", "standard", "maxres", "fhd", "qhd", "uhd")}
    assert [thumbnail_url(sizes, largest) for largest in (2160, 1440, 1080, 720, 719, 180)] == [
        "uhd",
        "qhd",
        "fhd",
        "maxres",
        "medium",
        "medium",
    ]
    assert thumbnail_url(sizes) == "maxres"
    assert thumbnail_url({name: sizes[name] for name in ("default", "high", "standard")}) is None
    assert thumbnail_url({}) is None
    assert thumbnail_url({"maxres": {}, "medium": {"url": "m"}}) == "m"


def shaped(duration, width=None, height=None, **snippet):
    """An item of some length and, where known, shape."""
    player = {} if width is None else {"embedWidth": str(width), "embedHeight": str(height)}
    return item(snippet=snippet, contentDetails={"duration": duration}, player=player)


@pytest.mark.parametrize(
    ("video", "kind"),
    [
        (shaped("PT3M", 202, 360), "short"),
        (shaped("PT3M", 360, 360), "short"),
        (shaped("PT3M", 640, 360), "upload"),
        (shaped("PT15S", 640, 360), "upload"),
        (shaped("PT3M1S", 202, 360), "upload"),
        (shaped("PT1M"), "short"),
        (shaped("PT1M1S"), "upload"),
        (shaped("PT2M", thumbnails={"shortsAspectRatio": {"url": "s"}}), "short"),
        (shaped("PT4M", thumbnails={"shortsAspectRatio": {"url": "s"}}), "upload"),
        (shaped("PT10M", liveBroadcastContent="upcoming"), "premiere"),
        (shaped("P0D", liveBroadcastContent="upcoming"), "live"),
        (shaped("P0D", liveBroadcastContent="live"), "live"),
        (shaped("PT2H") | {"liveStreamingDetails": {"actualStartTime": "2026-07-01T00:00:00Z"}}, "live"),
        (shaped("PT30S", 202, 360) | {"liveStreamingDetails": {"actualStartTime": "2026-07-01T00:00:00Z"}}, "live"),
        (item(), "upload"),
    ],
)
def test_shorts_live_streams_and_premieres_are_told_apart(video, kind):
    assert kind_of(video) == kind
