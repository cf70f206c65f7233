"""What answers mean: missing is None, unknown durations are None, only 16:9 pictures count."""

from datetime import UTC, datetime

import pytest

from thumbrank_core.youtube.errors import (
    FatalYouTubeError,
    RetryableYouTubeError,
    SkippableYouTubeError,
    classify,
)
from thumbrank_core.youtube.records import channel_of, seconds_of, thumbnail_url, time_of, video_of

NOW = datetime(2026, 8, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT4M13S", 253),
        ("PT1H", 3600),
        ("P1DT2H", 93_600),
        ("P0D", None),
        ("PT0S", None),
        (None, None),
        ("P1W", 604_800),
    ],
)
def test_durations_are_seconds_and_live_ones_are_unknown(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["4:13", "PT", "P", "PT4M13", "-PT4M"])
def test_what_is_not_a_duration_is_refused(text):
    with pytest.raises(ValueError, match="ISO 8601"):
        seconds_of(text)


@pytest.mark.parametrize("text", ["2019-05-01T12:00:00.000Z", "2019-05-01T12:00:00Z", "2019-05-01 12:00:00+00:00"])
def test_times_are_read_with_and_without_fractions(text):
    assert time_of(text) == datetime(2019, 5, 1, 12, tzinfo=UTC)


def test_hidden_counts_are_missing_and_not_zero():
    item = {
        "id": "-abc",
        "snippet": {"channelId": "UC1", "title": "=1+1", "publishedAt": "2026-07-01T00:00:00Z"},
        "statistics": {"viewCount": "12"},
    }
    video = video_of(item, NOW, None, "youtube_api")
    assert (video.view_count, video.like_count, video.comment_count) == (12, None, None)
    assert (video.video_id, video.title) == ("-abc", "=1+1")


def test_an_item_without_statistics_has_no_views():
    item = {"id": "x", "snippet": {"channelId": "UC1", "title": "t", "publishedAt": "2026-07-01T00:00:00Z"}}
    assert video_of(item, NOW, None, "youtube_api").view_count is None


def test_hidden_subscribers_are_unknown():
    item = {"id": "UC1", "statistics": {"hiddenSubscriberCount": True, "subscriberCount": "0"}}
    assert channel_of(item, NOW, None, "youtube_api").subscriber_count is None


def test_the_best_wide_picture_is_taken_and_letterboxed_ones_never():
    sizes = {name: {"url": name} for name in ("default", "medium", "high", "standard", "maxres")}
    assert thumbnail_url(sizes) == "maxres"
    del sizes["maxres"]
    assert thumbnail_url(sizes) == "medium"
    del sizes["medium"]
    assert thumbnail_url(sizes) is None


BODY = '{"error": {"code": %d, "message": "%s", "errors": [{"reason": "%s"}], "status": "%s"}}'


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, BODY % (403, "You have exceeded your quota", "quotaExceeded", ""), FatalYouTubeError),
        (
            429,
            BODY % (429, "limit 'Search Queries per day'", "rateLimitExceeded", "RESOURCE_EXHAUSTED"),
            FatalYouTubeError,
        ),
        (429, BODY % (429, "Quota exceeded", "rateLimitExceeded", ""), RetryableYouTubeError),
        (403, BODY % (403, "slow down", "userRateLimitExceeded", ""), RetryableYouTubeError),
        (503, "<html>try later</html>", RetryableYouTubeError),
        (500, "", RetryableYouTubeError),
        (404, BODY % (404, "gone", "playlistNotFound", ""), SkippableYouTubeError),
        (403, BODY % (403, "closed", "channelSuspended", ""), SkippableYouTubeError),
        (400, BODY % (400, "bad", "invalidFilters", ""), FatalYouTubeError),
        (400, "[1, 2]", FatalYouTubeError),
    ],
)
def test_an_error_says_whether_to_stop_to_retry_or_to_skip(status, body, kind):
    assert type(classify(status, body.encode())) is kind


def test_a_refused_key_names_the_variable_to_check():
    body = (
        '{"error": {"message": "API key not valid.", "errors": [{"reason": "badRequest"}], '
        '"details": [{"reason": "API_KEY_INVALID"}]}}'
    )
    error = classify(400, body.encode())
    assert isinstance(error, FatalYouTubeError)
    assert "YOUTUBE_API_KEY" in str(error)
