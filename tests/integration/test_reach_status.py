"""`thumbrank reach status` tells each owner what their own clicks say of a model, on the machine that holds the read-out."""

import json

import pytest
from typer.testing import CliRunner

from tests.integration import reaching
from tests.unit.test_read_outs import FIRST, MODEL, SECOND, two_owners
from thumbrank_core.cli import app
from thumbrank_core.store.owner_files import OwnerFiles
from thumbrank_core.training.read_outs import read_outs_of, write_read_outs


@pytest.fixture
def status(reach_url, reach_db, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", reach_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path))
    return lambda *words: CliRunner().invoke(app, ["reach", "status", *words])


@pytest.fixture
def files(tmp_path):
    scores, owners = two_owners()
    write_read_outs(tmp_path / "models" / MODEL[:12], MODEL, owners, scores)
    return OwnerFiles(tmp_path / "models")


def test_each_owner_s_read_out_is_said_under_that_owner_and_nowhere_else(status, files):
    sentences = {owner: read_outs_of(files, owner)[0].sentence() for owner in (FIRST, SECOND)}
    assert "clicks rise with the score" in sentences[FIRST]
    told = json.loads(status("--json").stdout)["owners"]
    assert [owner["owner_id"] for owner in told] == [FIRST, SECOND]
    for owner in told:
        [read_out] = owner["read_outs"]
        assert (read_out["model"], read_out["says"]) == (MODEL[:12], sentences[owner["owner_id"]])
        assert (owner["stored"], owner["token_here"]) == (None, False), "their rates came from Studio alone"
    shown = status()
    assert shown.exit_code == 0, shown.output
    text = " ".join(shown.output.split())
    assert "No owner has consented" in text
    for sentence in sentences.values():
        assert text.count(f"Model {MODEL[:12]}, of {sentence}") == 1
    assert told[0]["read_outs"][0]["direction"] == "with"


def test_an_owner_without_a_read_out_has_none(status, google, owned_world, reach_db, tmp_path):
    reach = reaching.reach_of(google, tmp_path, reach_db)
    reaching.log_in(reach, owned_world.channels[0].id)
    [owner] = json.loads(status("--json").stdout)["owners"]
    assert (owner["token_here"], owner["read_outs"]) == (True, [])
    assert "Model" not in status().output


def test_a_broken_read_out_is_one_sentence(status, files):
    files.path(MODEL[:12], FIRST).write_text("{}")
    done = status()
    assert done.exit_code == 1
    assert "is not a read-out of this version: delete it and train again." in " ".join(done.output.split())
