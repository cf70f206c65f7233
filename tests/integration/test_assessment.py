"""Judging beside a champion, and judging any model from the command line, on a real database and registry."""

import pytest
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

from tests.integration.conftest import SEEN
from thumbrank_core.assessment import assess
from thumbrank_core.cli import app
from thumbrank_core.registry import Registry
from thumbrank_core.retraining import Request, retrain

ASKED = {"epochs": 2, "hidden_dim": 8}


@pytest.fixture
def challenged(house):
    """Version 1 is the champion, version 2 of another seed the challenger."""
    registry = Registry(house.settings.tracking_uri)
    registry.point("champion", 1)
    request = Request(("tech",), overrides=ASKED | {"seed": 1}, encoders="tiny")
    done = retrain(request, house.db, house.settings, SEEN)
    assert done is not None and done.version.number == 2
    return house, registry


def conditions(assessment):
    return {condition.name: condition for condition in assessment.verdict.conditions}


def test_a_challenger_is_held_against_the_champion_on_its_own_pairs(challenged):
    house, registry = challenged
    found = assess(house.db, house.settings, registry)
    assert found.verdict.against == 1
    assert conditions(found)["same test set"].passed
    assert "champion" in found.evaluation.unseen.scorers
    assert registry.verdict(2) == found.verdict
    run = MlflowClient(tracking_uri=house.settings.tracking_uri).list_artifacts(found.version.run_id, "evaluation")
    assert {file.path.removeprefix("evaluation/").removesuffix(".png") for file in run} == set(found.pictures)
    assert registry.verdict(1).against is None


@pytest.mark.parametrize(
    ("tag", "value", "says"),
    [("folder", "/nowhere", "holds no bundle.json"), ("weights_sha256", "0" * 64, "other weights than version 1")],
)
def test_a_champion_that_cannot_be_loaded_keeps_nobody_from_being_judged(challenged, tag, value, says):
    house, registry = challenged
    registry.tag(1, {tag: value})
    found = assess(house.db, house.settings, registry)
    assert found.verdict.status == "refused"
    assert says in conditions(found)["beats the champion"].says or says in conditions(found)["same test set"].says
    assert "champion" not in found.evaluation.unseen.scorers


def test_a_challenger_whose_weights_were_exchanged_is_not_judged(challenged):
    house, registry = challenged
    registry.tag(2, {"weights_sha256": "0" * 64})
    with pytest.raises(Exception, match="other weights than version 2"):
        assess(house.db, house.settings, registry)


def test_evaluating_by_hand_leaves_the_verdict_and_its_report_as_they_are(house, house_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", house_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(house.settings.home))
    registry = Registry(house.settings.tracking_uri)
    version = registry.version(1)
    page = house.settings.reports / version.fingerprint[:12] / "index.html"
    before, verdict = page.read_bytes(), registry.verdict(1)
    done = CliRunner().invoke(
        app, ["evaluate", "--model", str(version.folder), "--data", "tech"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    for text in ("Not deployed: ", "ridge on both", "real click-through rates: no data", "-evaluated/index.html"):
        assert text in done.output.replace("\n", "")
    assert (page.read_bytes(), registry.verdict(1)) == (before, verdict)
    assert (house.settings.reports / f"{version.fingerprint[:12]}-evaluated" / "MODEL_CARD.md").is_file()
    with house.db.connection() as connection:
        versions = connection.execute("select distinct model_version from thumbrank.model_evaluations").fetchall()
    assert versions == [(1,)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "absent"], "There is no absent"),
        (["--model", "."], "holds no bundle.json"),
        (["--model", "MODEL", "--data", "cooking"], "cooking"),
        (["--model", "MODEL", "--data", "news"], "news has no training pairs"),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence(house, house_url, monkeypatch, tmp_path, arguments, says):
    monkeypatch.setenv("DATABASE_URL", house_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(house.settings.home))
    monkeypatch.chdir(tmp_path)
    folder = str(Registry(house.settings.tracking_uri).version(1).folder)
    done = CliRunner().invoke(app, ["evaluate", *(folder if word == "MODEL" else word for word in arguments)])
    assert done.exit_code == 1
    assert says in done.output
    assert "Traceback" not in done.output
