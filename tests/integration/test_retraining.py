"""Training as an event: once for what nothing changed of, and once for several processes, of which the first registers."""

import subprocess
import sys

import dagster as dg
import pytest
import torch
import torch.distributed as dist
from mlflow.tracking import MlflowClient
from torch.multiprocessing.spawn import spawn

from tests.integration import learning
from tests.integration.learning import ASKED
from tests.integration.retention_house import House
from thumbrank_core.model.bundle import load_card
from thumbrank_core.registry import Registry
from thumbrank_core.retraining import Request, retrain
from thumbrank_core.store.database import Database
from thumbrank_core.training.tracking.mlflow import MlflowTracker


@pytest.fixture
def learnable(db, images, world):
    learning.fill(db, images, world)
    return db


def told(settings):
    """The states of the runs that MLflow knows."""
    client = MlflowClient(tracking_uri=settings.tracking_uri)
    experiment = client.get_experiment_by_name(MlflowTracker.EXPERIMENT)
    assert experiment is not None
    return [run.info.status for run in client.search_runs([experiment.experiment_id])]


def test_nothing_is_trained_or_logged_twice_and_an_older_version_is_the_challenger_again(learnable, tmp_path):
    settings = House(learnable, tmp_path, {}).settings
    first = retrain(ASKED, learnable, settings)
    other = retrain(Request(("tech",), overrides=ASKED.overrides | {"seed": 1}, encoders="tiny"), learnable, settings)
    assert first is not None and other is not None
    assert [done.version.number for done in (first, other)] == [1, 2]
    again = retrain(ASKED, learnable, settings)
    assert again is not None
    assert (first.run.trained, again.run.trained) == (True, False)
    assert again.version == first.version == Registry(settings.tracking_uri).challenger()
    assert told(settings) == ["FINISHED"] * 2


def _one_of_two(rank, url, home, store):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    with Database(url) as database:
        settings = House(database, home, {}).settings
        for _ in range(2):
            done = retrain(ASKED, database, settings)
            assert (done is None) is (rank == 1)
            dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
def test_of_two_processes_the_first_one_logs_and_registers(learnable, database_url, tmp_path):
    settings = House(learnable, tmp_path, {}).settings
    spawn(_one_of_two, args=(database_url, tmp_path, str(tmp_path / "store")), nprocs=2)
    assert Registry(settings.tracking_uri).challenger().number == 1
    assert told(settings) == ["FINISHED"]
    assert len(list(settings.models.glob("*/bundle.json"))) == 1


@pytest.mark.slow
def test_the_command_line_trains_in_two_processes_and_finds_what_they_registered(
    learnable, database_url, tmp_path, monkeypatch
):
    learning.configure(monkeypatch, database_url, tmp_path)
    command = [
        sys.executable,
        "-m",
        "thumbrank_dagster",
        "train",
        "--niche",
        "tech",
        "--encoders",
        "tiny",
        "--epochs",
        "2",
    ]
    command += ["--set", "hidden_dim=8", "--workers", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Version 1" in done.stdout
    [card] = [load_card(path.parent) for path in (tmp_path / "models").glob("*/bundle.json")]
    assert len(card.history) == 2
    assert done.stderr.count("Epoch   0:") == 1  # one voice of two


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Function `PipesMessageReader.expected_writer_count` is currently in preview")
def test_dagster_trains_in_two_processes_through_pipes_and_shows_what_they_said(
    learnable, database_url, tmp_path, monkeypatch
):
    learning.configure(monkeypatch, database_url, tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        done = learning.materialise(instance, workers=2, overrides=ASKED.overrides)
        said = " ".join(entry.user_message for entry in instance.all_logs(done.run_id))
    [found] = done.asset_materializations_for_node("trained_model")
    assert found.metadata["version"].value == 1
    assert found.metadata["epochs_run"].value == 2
    assert "The training processes ended." in said
