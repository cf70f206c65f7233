"""Training as an event: once for what nothing changed of, and once for several processes, of which the first registers."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mlflow.tracking import MlflowClient

from tests.integration.conftest import store_videos
from tests.integration.retention_house import House
from tests.integration.test_labels import label
from tests.integration.test_training_data import channel_in, embed
from thumbrank_core.registry import Registry
from thumbrank_core.retraining import Request, retrain
from thumbrank_core.store.database import Database
from thumbrank_core.training.tracking.mlflow import MlflowTracker

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
    Registry(settings.tracking_uri)
    mp.spawn(_one_of_two, args=(database_url, tmp_path, str(tmp_path / "store")), nprocs=2)
    assert Registry(settings.tracking_uri).challenger().number == 1
    assert told(settings) == ["FINISHED"]
    assert len(list(settings.models.glob("*/bundle.json"))) == 1
