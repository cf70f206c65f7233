"""`thumbrank collect | plan | quota` as a person types them, against a simulated YouTube."""

import json

import pytest
from typer.testing import CliRunner

from thumbrank_core.cli import app

KEY = "AIzaSyA-secret-key-that-must-not-leak-1"


@pytest.fixture
def thumbrank(tmp_path, database_url, simulator, monkeypatch):
    for name, value in (
        ("DATABASE_URL", database_url),
        ("THUMBRANK_HOME", str(tmp_path)),
        ("YOUTUBE_API_KEY", KEY),
        ("YOUTUBE_API_ENDPOINT", simulator.endpoint),
    ):
        monkeypatch.setenv(name, value)

    def run(*words):
        done = CliRunner().invoke(app, words)
        assert KEY not in done.output
        return done

    return run


def test_a_dry_run_prints_units_and_days_and_sends_nothing(thumbrank, simulator):
    before = simulator.attempts()
    done = thumbrank("collect", "--niche", "tech", "--dry-run")
    assert done.exit_code == 0
    assert "upper" in done.output
    assert "Nothing was spent" in done.output
    assert simulator.attempts() == before


def test_collecting_says_what_came_what_was_missed_and_what_it_cost(thumbrank, simulator):
    before = simulator.attempts()["default"]
    done = thumbrank("collect", "--niche", "gaming")
    assert done.exit_code == 0
    assert "gaming: complete" in done.output
    assert "private_or_deleted" in done.output
    assert "gaming: pictures" in done.output
    spent = simulator.attempts()["default"] - before
    row = next(line for line in thumbrank("quota").output.splitlines() if "default" in line and "gaming" in line)
    assert f" {spent} " in row


def test_a_budget_that_does_not_suffice_ends_partial_and_the_same_command_goes_on(thumbrank):
    first = thumbrank("collect", "--niche", "tech", "--budget", "4")
    assert first.exit_code == 0
    assert "partial, resumes at" in first.output
    assert "unfinished collection" in thumbrank("collect", "--niche", "tech", "--dry-run").output
    assert "tech: complete" in thumbrank("collect", "--niche", "tech").output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("collect", "--niche", "cooking"), "'cooking' is not a niche"),
        (("collect", "--niche", "tech", "--stage", "dream"), "'dream' is not a stage"),
    ],
)
def test_wrong_words_are_one_sentence(thumbrank, words, sentence):
    done = thumbrank(*words)
    assert done.exit_code == 1
    assert sentence in done.output


def test_collecting_without_a_key_names_the_variable(thumbrank, monkeypatch):
    monkeypatch.delenv("YOUTUBE_API_KEY")
    done = thumbrank("collect", "--niche", "tech", "--dry-run")
    assert done.exit_code == 1
    assert "YOUTUBE_API_KEY is not set" in done.output


def test_a_plan_needs_neither_key_nor_database(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    done = CliRunner().invoke(app, ["plan", "--channels", "1500", "--per-channel", "133"])
    assert done.exit_code == 0
    assert "199,500 videos" in done.output


def test_a_dry_run_of_the_real_youtube_asks_nobody_not_even_the_time(thumbrank, monkeypatch):
    def asked(*_, **__):
        raise AssertionError("something was sent")

    monkeypatch.delenv("YOUTUBE_API_ENDPOINT")
    monkeypatch.setattr("httplib2.Http.request", asked)
    done = thumbrank("collect", "--niche", "tech", "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["forecast"]["niche"] == "tech"
