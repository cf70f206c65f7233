"""From a training to a champion by commands alone, and what `thumbrank evaluate` writes with and without --model."""

import json

import pytest
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

from thumbrank_core.cli import app
from thumbrank_core.registry import Registry

SMALL = ("--niche", "tech", "--encoders", "tiny", "--epochs", "2", "--set", "hidden_dim=8")


@pytest.fixture
def thumbrank(house, house_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", house_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(house.settings.home))
    house.rows("update thumbrank.thumbnails set source = 'import'")  # whose counts do not age

    def run(*words, status=0):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == status, done.output
        return done

    return run


def said(done):
    return " ".join(done.output.split())


def test_train_evaluate_and_promote_by_hand(house, thumbrank):
    registry = Registry(house.settings.tracking_uri)
    thumbrank("train", *SMALL, "--seed", "1")
    refused = said(thumbrank("promote", "--dry-run", status=1))
    assert "Version 2 has no verdict yet: run `thumbrank evaluate` or evaluation_report first." in refused
    found = said(thumbrank("evaluate"))
    verdict, version = registry.verdict(2), registry.version(2)
    assert verdict is not None and verdict.against is None
    assert verdict.sentence in found
    assert f"{version.fingerprint[:12]}/index.html" in found
    assert (house.settings.reports / version.fingerprint[:12] / "index.html").is_file()
    assert MlflowClient(tracking_uri=house.settings.tracking_uri).list_artifacts(version.run_id, "evaluation")
    dry = said(thumbrank("promote", "--dry-run", status=1))
    assert f"Version 2, measured against no champion: {verdict.status}" in dry
    assert verdict.sentence in dry
    assert house.count("promotions") == 0
    thumbrank("promote", status=1)
    assert house.rows("select kind, why from thumbrank.promotions") == [("refused", verdict.sentence)]
    thumbrank("promote", "--force", "--why", "a test")
    champion = registry.get("champion")
    assert champion is not None and champion.number == 2

    thumbrank("train", *SMALL, "--seed", "2")
    told = json.loads(thumbrank("evaluate", "--json").stdout)
    assert (told["fingerprint"], told["verdict"]["against"]) == (registry.version(3).fingerprint, 2)
    assert registry.verdict(2) == verdict, "only the challenger's is written"
    assert "Version 3, measured against version 2" in said(thumbrank("promote", "--dry-run", status=1))


def test_the_challenger_is_judged_on_every_niche_that_it_learnt(house, thumbrank):
    registry = Registry(house.settings.tracking_uri)
    before = registry.verdict(1)
    refused = said(thumbrank("evaluate", "--data", "tech", status=1))
    assert "--data needs --model" in refused
    assert registry.verdict(1) == before
