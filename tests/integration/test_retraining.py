"""Training as an event: once for what nothing changed of, and once for several processes, of which the first registers."""

import subprocess
import sys

import dagster as dg
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mlflow.tracking import MlflowClient

from tests.integration.conftest import store_videos
from tests.integration.retention_house import House
from tests.integration.test_labels import label
from tests.integration.test_training_data import channel_in, embed
from thumbrank_core.model.bundle import load_card
from thumbrank_core.registry import Registry
from thumbrank_core.retraining import Request, retrain
from thumbrank_core.store.database import Database
from thumbrank_core.training.tracking.mlflow import MlflowTracker
from thumbrank_dagster.defs.train.assets import trained_model
from thumbrank_dagster.resources.state import StateResource

ASKED = Request(("tech",), overrides={"epochs": 2, "hidden_dim": 8}, encoders="tiny")


@pytest.fixture
def learnable(db, images, world):
    """Three training channels and two validation channels in tech, six videos each, every picture another."""
    ids = [channel_in(split, number) for split, count in (("train", 3), ("validation", 2)) for number in range(count)]
    store_videos(
        db,
        images,
        world,
        {name: [(40 + d, 5_000 + 900 * ((d * 5 + i) % 7)) for d in range(6)] for i, name in enumerate(ids)},
    )
    with db.connection() as connection:
        connection.execute(
            "update thumbrank.picture_versions set sha256 = sha256(int8send(video_key)), phash = hashint8extended(video_key, 0)"
        )
    embed(db)
    label(db)
    return db


def told(settings):
    """The states of the runs that MLflow knows."""
    client = MlflowClient(tracking_uri=settings.tracking_uri)
    experiment = client.get_experiment_by_name(MlflowTracker.EXPERIMENT)
    return [run.info.status for run in client.search_runs([experiment.experiment_id])]


def test_nothing_is_trained_or_logged_twice_and_an_older_version_is_the_challenger_again(learnable, tmp_path):
    settings = House(learnable, tmp_path, {}).settings
    first = retrain(ASKED, learnable, settings)
    other = retrain(Request(("tech",), overrides=ASKED.overrides | {"seed": 1}, encoders="tiny"), learnable, settings)
    assert [done.version.number for done in (first, other)] == [1, 2]
    again = retrain(ASKED, learnable, settings)
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


def test_of_two_processes_the_first_one_logs_and_registers(learnable, database_url, tmp_path):
    settings = House(learnable, tmp_path, {}).settings
    mp.spawn(_one_of_two, args=(database_url, tmp_path, str(tmp_path / "store")), nprocs=2)
    assert Registry(settings.tracking_uri).challenger().number == 1
    assert told(settings) == ["FINISHED"]
    assert len(list(settings.models.glob("*/bundle.json"))) == 1


def _as_configured(monkeypatch, database_url, tmp_path):
    """What a process of its own finds the same database and folders by."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path))


@pytest.mark.slow
def test_the_command_line_trains_in_two_processes_and_finds_what_they_registered(
    learnable, database_url, tmp_path, monkeypatch
):
    _as_configured(monkeypatch, database_url, tmp_path)
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
def test_dagster_trains_in_two_processes_through_pipes_and_shows_what_they_said(
    learnable, database_url, tmp_path, monkeypatch
):
    _as_configured(monkeypatch, database_url, tmp_path)
    config = {"niches": ["tech"], "encoders": "tiny", "workers": 2, "overrides": ASKED.overrides}
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [trained_model],
            resources={"state": StateResource()},
            run_config={"ops": {"trained_model": {"config": config}}},
            instance=instance,
        )
        said = " ".join(entry.user_message for entry in instance.all_logs(done.run_id))
    [found] = done.asset_materializations_for_node("trained_model")
    assert found.metadata["version"].value == 1
    assert found.metadata["epochs_run"].value == 2
    assert "The training processes ended." in said
