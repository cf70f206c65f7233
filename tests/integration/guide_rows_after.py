"""The rows of docs/guide.md after training: evaluation, deployment, next steps, and what to look at when asking for help."""

import csv
import io
import re
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg
import pytest
import torch
from mlflow.tracking import MlflowClient
from PIL import Image
from typer.testing import CliRunner

from tests.integration.guide_rows import row
from tests.integration.guide_rows_data import above
from tests.integration.guide_rows_house import CHANNELS, settings
from tests.integration.promoting import verdict
from tests.integration.shipping import code_of, draw
from tests.unit.test_drift import pictures
from tests.unit.test_gate import FLOORS, GOOD, around
from thumbrank_core.cli import app
from thumbrank_core.evaluation.gate import decide
from thumbrank_core.evaluation.plots.curves import learning_curve
from thumbrank_core.features.drift import compare, sketch
from thumbrank_core.labels.splits import split_of
from thumbrank_core.model.bundle import BundleError, weights_sha256
from thumbrank_core.model.exports import load_state
from thumbrank_core.model.locate import bundle_at
from thumbrank_core.niches import NICHES
from thumbrank_core.registry import Registry


def asked(name, **changed):
    """One condition of the gate, for a model that passes all of them but for what is changed."""
    [condition] = [one for one in decide(replace(GOOD, **changed), FLOORS, None).conditions if one.name == name]
    return condition


def numbers(text):
    return [float(number) for number in re.findall(r"0\.\d+", text)]


# Evaluating


@row("S6.1")
def evaluate(house, evaluated):
    for words in ("AUC (pooled)", "Spearman", "pair accuracy", "95 % intervals", "newer wins"):
        assert words in evaluated.output, words
    folder = house.home / "reports" / f"{house.folder.name}-evaluated"
    assert (folder / "index.html").is_file() and (folder / "evaluation.json").is_file()
    assert "Not deployed: " in evaluated.output, "so small a model earns nothing"


@row("S6.2")
def target_auc(row):
    assert [FLOORS.of(phase).pair_auc_pooled for phase in (1, 2)] == numbers(row.quotes[0])
    assert asked("reaches pair_auc_pooled", pair_auc_pooled=around(0.65)).passed
    assert not asked("reaches pair_auc_pooled", pair_auc_pooled=around(0.649)).passed
    assert not asked("reaches pair_auc_pooled", pair_auc_pooled=around(0.7), phase=2).passed


@row("S6.3")
def target_spearman(row):
    assert [FLOORS.of(phase).spearman_within_channel for phase in (1, 2)] == numbers(row.quotes[0])
    assert asked("reaches spearman_within_channel", spearman_within_channel=around(0.3)).passed
    assert not asked("reaches spearman_within_channel", spearman_within_channel=around(0.299)).passed


@row("S6.4")
def target_ctr(row, evaluated):
    assert {floors.ctr_rank_correlation for floors in FLOORS.phases.values()} == set(numbers(row.quotes[0]))
    assert "real click-through rates: no data" in evaluated.output
    assert asked("reaches ctr_rank_correlation", ctr_correlations=(0.41, 0.6)).passed
    assert not asked("reaches ctr_rank_correlation", ctr_correlations=(0.41, 0.3)).passed


@row("N.1")
def held_out(evaluated, house):
    assert f"of {CHANNELS['test']} channels it never saw" in evaluated.output
    with house.db.connection() as connection:
        channels = connection.execute("select channel_id, split from thumbrank.channels").fetchall()
    assert all(split == split_of(channel) for channel, split in channels), "a hash, which no run changes"
    assert sum(split_of(f"UC{number:022d}") == "test" for number in range(5_000)) / 5_000 == pytest.approx(
        0.2, abs=0.02
    )


# Deploying


@row("S7.1")
def copy_the_model(house, tmp_path):
    models = tmp_path / "app" / "models"
    models.mkdir(parents=True)
    shutil.copy(house.state, models)
    copied = models / "thumbnail_ranking_model.pt"
    state = torch.load(copied, weights_only=True)
    assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
    assert load_state(copied, house.card.network).state_dict().keys() == state.keys()
    with pytest.raises(BundleError, match=r"has no bundle\.json beside it"):
        bundle_at(copied)
    done = house.thumbrank("export", models / "thumbnails", "--model", house.state)
    assert done.exit_code == 0, done.output
    exported = models / "thumbnails" / "thumbnail_ranking_model.pt"
    assert weights_sha256(exported) == weights_sha256(copied)
    assert bundle_at(exported).card == house.card


@row("S7.2")
def load_in_a_service(house, tmp_path, monkeypatch):
    place = tmp_path / "thumbnails"
    assert house.thumbrank("export", place, "--model", house.folder).exit_code == 0
    with_thumbrank, _ = code_of(place / "INTEGRATION.md")
    assert len([line for line in with_thumbrank.splitlines() if line]) <= 10
    for name, number in (("a.jpg", 1), ("b.jpg", 2)):
        draw(place / name, number)
    monkeypatch.chdir(place)
    with redirect_stdout(io.StringIO()) as told:
        exec(compile(with_thumbrank, "INTEGRATION.md", "exec"), {})
    first, second, last = told.getvalue().splitlines()
    assert (first[0], second[0]) == ("1", "2")
    assert last == "too close to call" or last.startswith("P(best beats second) = 0.")


@row("S7.3")
def integration_page(house, tmp_path):
    assert house.thumbrank("export", tmp_path / "here", "--model", house.folder).exit_code == 0
    page = (tmp_path / "here" / "INTEGRATION.md").read_text()
    assert house.card.fingerprint[:12] in page and house.card.image_encoder in page
    assert weights_sha256(tmp_path / "here" / "model.safetensors") in page
    assert str(house.home) not in page


@row("N.3")
def deploy(house, evaluated, tmp_path):
    refused = house.thumbrank("promote")
    assert refused.exit_code == 1, "nothing has judged it"
    registry = Registry(f"sqlite:///{house.home / 'mlflow' / 'mlflow.db'}")
    registry.record_verdict(1, verdict(None), {"evaluated_at": "2026-11-28T09:00:00+00:00"})
    promoted = house.thumbrank("promote")
    assert promoted.exit_code == 0, promoted.output
    champion = registry.get("champion")
    assert champion is not None and champion.number == 1
    exported = house.thumbrank("export", tmp_path / "served")
    assert exported.exit_code == 0, exported.output
    assert bundle_at(tmp_path / "served").card == house.card


# And then


@row("N.2")
def ab_tests(database_url, tmp_path):
    fields = [
        "test_id",
        "video_id",
        "variant",
        "title",
        "share",
        "outcome",
        "winner",
        "first_day",
        "last_day",
        "channel_id",
    ]
    about = ["2026-03-01", "2026-03-14", "UC" + "m" * 22]
    with (tmp_path / "tests.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                fields,
                ["one", "aaaaaaaaaaa", "A", "We tried it", "60%", "winner", "yes", *about],
                ["one", "aaaaaaaaaaa", "B", "30 days of it", "40%", "winner", "", *about],
            ]
        )
    with settings(DATABASE_URL=database_url, THUMBRANK_HOME=tmp_path):
        done = CliRunner().invoke(app, ["import-ab", str(tmp_path / "tests.csv")])
    assert done.exit_code == 0, done.output
    assert "1 new" in done.output


@row("N.4")
def monitor(graph):
    assert {"monthly_digest", "evaluation_report"} <= {
        key.to_user_string() for key in graph.resolve_asset_graph().get_all_asset_keys()
    }
    assert "daily_inventory" in {one.name for one in graph.schedules}
    assert {"failure_alerts", "train_on_owner_rates", "evaluate_on_ab_outcomes"} <= {one.name for one in graph.sensors}
    before = sketch(pictures(600, 0))
    assert compare(before, sketch(pictures(600, 1, 6.0))).drifted
    assert not compare(before, sketch(pictures(600, 1))).drifted


@row("N.5")
def retrain_monthly(graph):
    schedule = graph.resolve_schedule_def("monthly_refresh")
    with dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 11, 1, 11, tzinfo=UTC), repository_def=graph.get_repository_def()
    ) as context:
        requests = schedule.evaluate_tick(context).run_requests
    assert [request.partition_key for request in requests] == list(NICHES)
    assert schedule.cron_schedule == "0 3 1 * *", "the first of every month"
    trains = next(one for one in graph.sensors if one.name == "train_when_refreshed")
    assert trains.job_name == "train_and_deploy"
    assert "trained_model" in above(graph, "deployed_model")


@row("U.4")
def training_curves(house):
    drawn = learning_curve(house.card.history, house.card.best_epoch)
    assert Image.open(io.BytesIO(drawn)).size[0] > 300
    client = MlflowClient(tracking_uri=f"sqlite:///{house.home / 'mlflow' / 'mlflow.db'}")
    run = Registry(f"sqlite:///{house.home / 'mlflow' / 'mlflow.db'}").version(1).run_id
    logged = client.get_metric_history(run, "pair_loss")
    assert sorted(point.step for point in logged) == [one.epoch for one in house.card.history]
