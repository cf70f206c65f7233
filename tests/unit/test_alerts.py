"""Posting to a webhook: what is taken, what is tried again, and that the address is in no message, log or error."""

import logging
import traceback

import pytest
from pydantic import SecretStr

from tests.webhooks import SECRET, Receiver
from thumbrank_core.automation.alerts import (
    LONGEST,
    PLAIN_LONGEST,
    AlertError,
    AlertRefusedError,
    Webhook,
    plainer,
    webhook_of,
    without_secrets,
)
from thumbrank_core.settings import Settings


@pytest.fixture
def receiver():
    with Receiver() as found:
        yield found


def hook(receiver, **changes):
    return Webhook(SecretStr(receiver.url), **{"timeout_s": 5, "pause_s": 0.001} | changes)


def test_a_message_is_one_post_of_its_text(receiver):
    hook(receiver).post("It failed: »ä«")
    assert receiver.texts == ["It failed: »ä«"]
    assert receiver.paths == [f"/services/{SECRET}"]


def test_a_long_message_is_cut_and_says_so(receiver):
    hook(receiver).post("x" * 10_000)
    [text] = receiver.texts
    assert len(text) == LONGEST
    assert text.endswith("(cut; the rest stands in Dagster)")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_cannot_be_taken_now_is_tried_again(receiver, status):
    receiver.answers = [status, status]
    hook(receiver).post("text")
    assert receiver.texts == ["text"]


@pytest.mark.parametrize(
    ("answers", "asked", "says"),
    [
        ([503] * 9, 3, "cannot take the message now (HTTP 503)"),
        ([404], 1, "refuses the message (HTTP 404): correct THUMBRANK_ALERT_WEBHOOK"),
        ([302], 1, "sends messages elsewhere (HTTP 302), which is not followed"),
    ],
)
def test_what_is_not_taken_is_one_sentence(receiver, answers, asked, says):
    receiver.answers = answers
    with pytest.raises(AlertError, match=r"The webhook on 127\.0\.0\.1") as caught:
        hook(receiver).post("text")
    assert says in str(caught.value)
    assert len(receiver.paths) == asked
    assert receiver.texts == []


@pytest.mark.parametrize(
    ("status", "refused"), [(400, True), (403, True), (404, True), (429, False), (503, False), (302, False)]
)
def test_a_refusal_of_one_message_is_told_from_a_webhook_that_takes_none(receiver, status, refused):
    receiver.answers = [status] * 3
    with pytest.raises(AlertError) as caught:
        hook(receiver).post("text")
    assert isinstance(caught.value, AlertRefusedError) == refused


def test_a_refused_message_is_said_again_in_plain_words_with_its_address():
    error = "UndefinedTable: relation »x« ✗\nLINE 1: select count(*) from t where a = 'b'; <script> é"
    said = plainer(f"Failed: raw_videos\n{error}\nhttps://dagster.example.com:443/runs/1f-2")
    assert said == (
        "Failed: raw_videos\nUndefinedTable: relation x\nLINE 1: select count from t where a b script e\n"
        "https://dagster.example.com:443/runs/1f-2"
    )


def test_what_is_plain_is_short_and_keeps_its_ends():
    said = plainer("Failed: a\n" + "x " * 600 + "\n" + "y " * 400 + "\nhttps://host/runs/1")
    assert len(said) <= PLAIN_LONGEST
    assert said.startswith("Failed: a\nx x") and said.endswith("\nhttps://host/runs/1")
    assert len(plainer("x" * 10_000)) == PLAIN_LONGEST
    assert len(plainer("\n" * 10_000)) <= PLAIN_LONGEST


def test_a_slow_one_is_not_waited_for(receiver):
    receiver.slow_s = 0.4
    with pytest.raises(AlertError, match=r"did not answer within 0.05 s"):
        hook(receiver, timeout_s=0.05).post("text")


def test_an_absent_one_is_named_by_its_host():
    with Receiver() as gone:
        url = gone.url
    with pytest.raises(AlertError, match=r"on 127\.0\.0\.1 could not be reached \(ConnectError\)"):
        Webhook(SecretStr(url), pause_s=0.001).post("text")


@pytest.mark.parametrize(
    "url",
    [
        f"http://hooks.example.com/{SECRET}",
        f"ftp://localhost/{SECRET}",
        f"hooks.example.com/{SECRET}",
        f"https:///{SECRET}",
        f"https://[::1/{SECRET}",
        "",
    ],
)
def test_an_address_that_would_show_messages_to_everybody_or_is_none_is_refused(url):
    with pytest.raises(AlertError, match=r"must begin with https://") as caught:
        Webhook(SecretStr(url))
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", ["https://hooks.example.com/a", "http://localhost:1/a", "http://[::1]:1/a"])
def test_an_address_that_is_fine_is_taken(url):
    assert Webhook(SecretStr(url)).host in ("hooks.example.com", "localhost", "::1")


@pytest.mark.parametrize("answers", [[200], [404], [503] * 3, [302]])
def test_the_address_is_in_no_log_error_or_repr(receiver, caplog, answers):
    receiver.answers = answers
    made = hook(receiver)
    with caplog.at_level(logging.DEBUG):
        try:
            made.post("text")
        except AlertError as error:
            assert SECRET not in "".join(traceback.format_exception(error))
            assert error.__cause__ is None and error.__context__ is None
    assert SECRET not in caplog.text
    assert SECRET not in repr(made) + str(made)


def test_an_absent_one_leaves_no_address_behind_either(caplog):
    with Receiver() as gone:
        url = gone.url
    with caplog.at_level(logging.DEBUG), pytest.raises(AlertError) as caught:
        Webhook(SecretStr(url), pause_s=0.001).post("text")
    assert SECRET not in caplog.text + "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_nothing_is_told_where_nothing_is_set():
    assert webhook_of(Settings()) is None
    made = webhook_of(Settings(THUMBRANK_ALERT_WEBHOOK=SecretStr("https://hooks.example.com/x")))
    assert made is not None and made.host == "hooks.example.com"


def test_secrets_of_the_settings_are_taken_out_of_other_peoples_words():
    settings = Settings(
        DATABASE_URL=SecretStr("postgresql://me:p%40ssw0rd@host/db"),
        YOUTUBE_API_KEY=SecretStr("AIzaKEY"),
        THUMBRANK_ALERT_WEBHOOK=SecretStr("https://hooks.example.com/services/T0"),
    )
    said = without_secrets(
        "no postgresql://me:p%40ssw0rd@host/db, no p@ssw0rd, no key=AIzaKEY, not https://hooks.example.com/services/T0!",
        settings,
    )
    assert said == "no ***, no ***, no key=***, not ***!"
