"""Which errors pass by themselves and which a person has to mend, told apart by type before Dagster comes into it."""

import pytest

from thumbrank_core.errors import TransientError
from thumbrank_core.store.database import connect
from thumbrank_core.store.errors import CopyError, DatabaseAway, DatabaseUnreachable, MigrationError
from thumbrank_core.youtube.download import TransientPictureError, may_pass
from thumbrank_core.youtube.errors import (
    FatalYouTubeError,
    KeyRefusedError,
    QuotaSpentError,
    RetryableYouTubeError,
    SkippableYouTubeError,
    classify,
)
from thumbrank_core.youtube.quota import BudgetSpentError
from thumbrank_core.youtube.reach.errors import ConsentEndedError, PassingReachError


@pytest.mark.parametrize("kind", [RetryableYouTubeError, PassingReachError, TransientPictureError, DatabaseAway])
def test_what_may_pass(kind):
    assert issubclass(kind, TransientError)


@pytest.mark.parametrize(
    "kind",
    [
        FatalYouTubeError,
        KeyRefusedError,
        QuotaSpentError,
        BudgetSpentError,
        SkippableYouTubeError,
        ConsentEndedError,
        DatabaseUnreachable,
        CopyError,
        MigrationError,
    ],
)
def test_what_stays_until_somebody_mends_it_or_the_day_is_over(kind):
    assert not issubclass(kind, TransientError)


@pytest.mark.parametrize(("status", "passes"), [(500, True), (503, True), (429, True), (401, False), (400, False)])
def test_an_answer_s_status_says_which_it_is(status, passes):
    assert isinstance(classify(status, b""), TransientError) is passes


@pytest.mark.parametrize(
    "reason", ["unreachable", "timeout", "interrupted", "http_503", "http_429", "truncated", "empty"]
)
def test_a_picture_that_was_missed_so_may_be_had_later(reason):
    assert may_pass(reason)


@pytest.mark.parametrize("reason", ["http_404", "too_large", "bad_url", "not_a_picture", "http_", "http_x"])
def test_a_picture_that_was_missed_so_will_be_missed_again(reason):
    assert not may_pass(reason)


def test_a_server_that_is_not_there_may_come_back():
    with pytest.raises(DatabaseAway, match="refused the connection"):
        connect("postgresql://u:p@127.0.0.1:9/d")


def test_a_database_that_does_not_exist_does_not_come_by_waiting(postgres):
    # Named after a word that the messages of a starting server have, too.
    with pytest.raises(DatabaseUnreachable, match="does not exist") as caught:
        connect(postgres.url("recovery"))
    assert not isinstance(caught.value, TransientError)
