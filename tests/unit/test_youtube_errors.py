"""What an error answer means: stop, try again, skip this item, begin the list again. Never a key, never a page of HTML."""

import json
from itertools import pairwise

import pytest

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.simulator import api_errors
from thumbrank_core.youtube.errors import (
    FatalYouTubeError,
    KeyRefusedError,
    PageTokenRefusedError,
    QuotaSpentError,
    RetryableYouTubeError,
    SkippableYouTubeError,
    YouTubeError,
    classify,
)

PER_DAY = (
    "Quota exceeded for quota metric 'Search Queries' and limit 'Search Queries per day' of service "
    "'youtube.googleapis.com' for consumer 'project_number:1'."
)


def body(code, message, reason=None, *, domain="youtube.x", status=None, detail=None):
    """An error as the API sends it."""
    error = {"code": code, "message": message}
    if reason is not None:
        error["errors"] = [{"message": message, "domain": domain, "reason": reason}]
    if status is not None:
        error["status"] = status
    if detail is not None:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": detail}]
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (403, "quotaExceeded", QuotaSpentError),
        (403, "dailyLimitExceeded", QuotaSpentError),
        (403, "dailyLimitExceededUnreg", QuotaSpentError),
        (403, "rateLimitExceeded", RetryableYouTubeError),
        (429, "rateLimitExceeded", RetryableYouTubeError),
        (403, "userRateLimitExceeded", RetryableYouTubeError),
        (403, "servingLimitExceeded", RetryableYouTubeError),
        (500, "internalError", RetryableYouTubeError),
        (503, "backendError", RetryableYouTubeError),
        (503, "notReady", RetryableYouTubeError),
        (400, "keyInvalid", KeyRefusedError),
        (400, "keyExpired", KeyRefusedError),
        (403, "ipRefererBlocked", KeyRefusedError),
        (403, "accessNotConfigured", KeyRefusedError),
        (401, "authError", KeyRefusedError),
        (401, "youtubeSignupRequired", KeyRefusedError),
        (404, "playlistNotFound", SkippableYouTubeError),
        (403, "playlistItemsNotAccessible", SkippableYouTubeError),
        (404, "videoNotFound", SkippableYouTubeError),
        (403, "channelNotFound", SkippableYouTubeError),
        (404, "channelNotFound", SkippableYouTubeError),
        (403, "channelClosed", SkippableYouTubeError),
        (403, "channelSuspended", SkippableYouTubeError),
        (404, "notFound", SkippableYouTubeError),
        (400, "invalidPageToken", PageTokenRefusedError),
        (400, "invalidFilters", FatalYouTubeError),
        (400, "missingRequiredParameter", FatalYouTubeError),
        (400, "invalidSearchFilter", FatalYouTubeError),
        (400, "unknownPart", FatalYouTubeError),
    ],
)
def test_the_reason_says_what_to_do(status, reason, kind):
    error = classify(status, body(status, "some words", reason))
    assert type(error) is kind
    assert error.reason == reason
    assert "some words" in str(error)


def test_only_the_words_per_day_tell_a_spent_day_from_a_throttle():
    arguments = {"status": "RESOURCE_EXHAUSTED", "detail": "RATE_LIMIT_EXCEEDED", "domain": "global"}
    spent = classify(429, body(429, PER_DAY, "rateLimitExceeded", **arguments))
    throttled = classify(429, body(429, PER_DAY.replace("per day", "per minute"), "rateLimitExceeded", **arguments))
    assert (type(spent), type(throttled)) == (QuotaSpentError, RetryableYouTubeError)
    assert "after midnight, Pacific time" in str(spent)


@pytest.mark.parametrize("detail", ["API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED"])
def test_a_refused_key_is_known_by_its_details_and_names_the_variable_to_check(detail):
    error = classify(400, body(400, "API key not valid.", "badRequest", detail=detail, status="INVALID_ARGUMENT"))
    assert type(error) is KeyRefusedError
    assert "check YOUTUBE_API_KEY and its project" in str(error)


def test_details_alone_are_enough_as_newer_services_send_nothing_else():
    assert type(classify(403, body(403, "disabled", detail="SERVICE_DISABLED"))) is KeyRefusedError
    assert type(classify(400, body(400, "not valid", detail="API_KEY_INVALID"))) is KeyRefusedError


def test_the_older_reason_is_not_hidden_by_the_details():
    """google-api-python-client shows only one of the two."""
    error = classify(403, body(403, "slow down", "userRateLimitExceeded", detail="RATE_LIMIT_EXCEEDED"))
    assert (type(error), error.reason) == (RetryableYouTubeError, "userRateLimitExceeded")


def test_forbidden_is_about_the_item_in_its_own_domain_and_about_the_caller_in_the_global_one():
    assert type(classify(403, body(403, "no", "forbidden", domain="youtube.playlistItem"))) is SkippableYouTubeError
    caller = classify(403, body(403, "unregistered callers", "forbidden", domain="global"))
    assert type(caller) is KeyRefusedError
    assert "check YOUTUBE_API_KEY" in str(caller)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (500, b"", RetryableYouTubeError),
        (502, b"<!DOCTYPE html><html lang=en><title>Error 502 (Server Error)!!1</title>", RetryableYouTubeError),
        (503, b"<html>try later</html>", RetryableYouTubeError),
        (429, b"", RetryableYouTubeError),
        (504, b'{"error": {"code": 504, "mess', RetryableYouTubeError),
        (500, b"\xff\xfe\x00", RetryableYouTubeError),
        (400, b"[1, 2]", FatalYouTubeError),
        (400, b'{"error": "error message"}', FatalYouTubeError),
        (400, b'{"error": null}', FatalYouTubeError),
        (403, b'{"error": {"errors": ["odd"], "details": null}}', FatalYouTubeError),
        (404, b"", FatalYouTubeError),
        (418, b"null", FatalYouTubeError),
    ],
)
def test_bodies_that_nobody_can_read_count_by_their_status(status, text, kind):
    error = classify(status, text)
    assert type(error) is kind
    assert "<" not in str(error)
    assert len(str(error)) < 300


def test_markup_is_taken_out_of_the_message_and_long_ones_are_cut():
    error = classify(403, body(403, 'exceeded your <a href="/x">quota</a>. ' + "blah " * 100, "quotaExceeded"))
    assert "exceeded your quota." in str(error)
    assert "<" not in str(error)
    assert len(str(error)) < 300


def test_every_error_is_one_that_a_person_is_told_in_one_sentence():
    kinds = [KeyRefusedError, QuotaSpentError, RetryableYouTubeError, PageTokenRefusedError]
    assert all(issubclass(kind, ThumbrankError) for kind in kinds)
    for lower, higher in pairwise((KeyRefusedError, FatalYouTubeError, YouTubeError, ThumbrankError)):
        assert issubclass(lower, higher)
    assert issubclass(QuotaSpentError, FatalYouTubeError)
    assert issubclass(PageTokenRefusedError, SkippableYouTubeError)
    assert not issubclass(RetryableYouTubeError, FatalYouTubeError)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (api_errors.quota_exceeded(), QuotaSpentError),
        (api_errors.too_many("Search Queries", "day"), QuotaSpentError),
        (api_errors.too_many("Queries", "minute"), RetryableYouTubeError),
        (api_errors.user_rate_limit(), RetryableYouTubeError),
        (api_errors.internal_error(), RetryableYouTubeError),
        (api_errors.backend_error(), RetryableYouTubeError),
        (api_errors.bad_key(), KeyRefusedError),
        (api_errors.no_key(), KeyRefusedError),
        (api_errors.service_disabled(), KeyRefusedError),
        (api_errors.playlist_not_found(), SkippableYouTubeError),
        (api_errors.channel_suspended(), SkippableYouTubeError),
        (api_errors.video_not_found(), SkippableYouTubeError),
        (api_errors.invalid_page_token(), PageTokenRefusedError),
        (api_errors.invalid_filters(), FatalYouTubeError),
        (api_errors.missing_parameter("part"), FatalYouTubeError),
    ],
)
def test_what_the_simulator_says_is_understood(error, kind):
    found = classify(error.code, json.dumps(error.body()).encode())
    assert type(found) is kind


def test_a_request_that_is_refused_says_what_may_be_wrong_with_it():
    error = api_errors.invalid_filters()
    sentence = str(classify(error.code, json.dumps(error.body()).encode()))
    assert sentence.startswith("YouTube refuses the request (")
    assert sentence.endswith(
        "): correct what config/niches.yaml asks for, or, where that is right, report this sentence."
    )
