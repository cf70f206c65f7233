"""Recorded answers of the real API, read by the records and the error classifier (make test-real)."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from thumbrank_core.youtube.errors import FatalYouTubeError, RetryableYouTubeError, SkippableYouTubeError, classify
from thumbrank_core.youtube.records import channel_of, thumbnail_url, video_of

pytestmark = pytest.mark.real
DATA = Path(__file__).resolve().parents[3] / "shared" / "real" / "api-fixtures"
NOW = datetime(2026, 8, 1, tzinfo=UTC)


def items(folder, kind):
    found = []
    for path in sorted((DATA / "python-youtube" / "testdata" / "apidata" / folder).glob("*.json")):
        answer = json.loads(path.read_text())
        found += [item for item in answer.get("items", []) if item.get("kind") == kind]
    return found


def test_real_videos_are_read():
    videos = [item for item in items("videos", "youtube#video") if "snippet" in item]
    assert len(videos) >= 3
    for item in videos:
        video = video_of(item, NOW, None, "youtube_api")
        assert video.published_at.tzinfo is not None
        assert video.title == item["snippet"]["title"]
        if "viewCount" in item.get("statistics", {}):
            assert video.view_count == int(item["statistics"]["viewCount"])
        assert thumbnail_url(item["snippet"]["thumbnails"])


def test_real_channels_are_read():
    channels = items("channels", "youtube#channel")
    assert channels
    assert all(channel_of(item, NOW, None, "youtube_api").channel_id.startswith("UC") for item in channels)


def test_recorded_errors_are_told_apart():
    bodies = json.loads((DATA / "error_bodies.json").read_text())
    expected = {
        "quotaExceeded_403": FatalYouTubeError,
        "playlistNotFound_404": SkippableYouTubeError,
        "apiKeyInvalid_400_google": FatalYouTubeError,
        "rateLimit_429_errorinfo_from_a_test": RetryableYouTubeError,
    }
    for name, kind in expected.items():
        found = classify(bodies[name]["error"]["code"], json.dumps(bodies[name]).encode())
        assert type(found) is kind, name
        assert "<" not in str(found)
