"""The rows of docs/guide.md about going on and going wide: checkpoints, and several processes."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.integration.guide_rows import ROOT, row
from tests.integration.guide_rows_house import settings
from tests.integration.guide_rows_training import GUIDE, SMALL, TOLD, after, dry_run, with_gpus
from tests.unit.synthetic import planted
from thumbrank_core import launch
from thumbrank_core.launch import Nodes
from thumbrank_core.model.network import ThumbnailRankingModel
from thumbrank_core.training import processes
from thumbrank_core.training.checkpoint import CheckpointError
from thumbrank_core.training.dataset import Dataset
from thumbrank_core.training.ongoing import Trained, TrainingError
from thumbrank_core.training.pipeline import TrainingPipeline
from thumbrank_core.training.recipe import load_recipe
from thumbrank_core.training_worker import MODULE, arguments, parsed

# Checkpoints


@dataclass
class LongRun:
    """200 epochs in the guide's own calls, on a small data set."""

    data: Dataset
    folder: Path
    trained: Trained

    @property
    def new(self) -> TrainingPipeline:
        """A pipeline made as the first one was."""
        return TrainingPipeline(model=ThumbnailRankingModel(**SMALL), **TOLD, data=self.data)


def run_200_epochs(home: Path) -> LongRun:
    """Train and keep checkpoints in `checkpoints/`."""
    data, _ = planted(n_channels=20, videos=4)
    folder = home / "checkpoints"
    torch.manual_seed(0)
    model = ThumbnailRankingModel(**SMALL)
    trained = TrainingPipeline(model=model, **TOLD, data=data, checkpoints=folder).train(start_epoch=0, num_epochs=200)
    return LongRun(data, folder, trained)


@row("C.1")
def every_50_epochs(long_run):
    assert GUIDE.checkpoint_every == 50
    assert load_recipe("default").checkpoint_every == 10
    kept = {path.name for path in long_run.folder.glob("model_epoch_*.pt")}
    assert kept == {f"model_epoch_{epoch}.pt" for epoch in (50, 100, 150, 200)}
    assert (long_run.folder / "best.pt").is_file()


@row("C.2")
def save_checkpoint(long_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pipeline, epoch = long_run.new, 0
    pipeline.save_checkpoint(f"checkpoints/model_epoch_{epoch}.pt", epoch)
    assert (tmp_path / "checkpoints" / "model_epoch_0.pt").is_file()
    with pytest.raises(TrainingError, match="told epoch 50, and training stands at epoch 0"):
        pipeline.save_checkpoint("checkpoints/model_epoch_50.pt", 50)


@row("C.3")
def checkpoint_files(house, long_run):
    kept = {path.name for path in (house.home / "checkpoints" / house.folder.name).iterdir()}
    assert {"model_epoch_5.pt", "model_epoch_10.pt", "best.pt"} <= kept
    assert (long_run.folder / "model_epoch_100.pt").is_file()


@row("C.4")
def load_checkpoint(long_run, house, monkeypatch):
    monkeypatch.chdir(long_run.folder.parent)
    pipeline = long_run.new
    pipeline.load_checkpoint("checkpoints/model_epoch_100.pt")
    assert pipeline.begun().epoch == 100
    other, _ = planted(n_channels=20, videos=4, seed=1)
    with pytest.raises(CheckpointError, match="is of other data"):
        TrainingPipeline(model=ThumbnailRankingModel(**SMALL), **TOLD, data=other).load_checkpoint(
            "checkpoints/model_epoch_100.pt"
        )
    refused = house.train("--recipe", "guide", "--resume", "checkpoints/model_epoch_100.pt")
    assert refused.exit_code == 1 and "model_epoch_100.pt is of another recipe (hidden_dim was 8" in refused.stderr


@row("C.5")
def resume_at_100(long_run, monkeypatch):
    monkeypatch.chdir(long_run.folder.parent)
    pipeline = long_run.new
    pipeline.load_checkpoint("checkpoints/model_epoch_100.pt")
    resumed = pipeline.train(start_epoch=100, num_epochs=200)
    whole = long_run.trained
    assert resumed.shipped == whole.shipped == "swa at epoch 199"
    assert len(resumed.history) == 200
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


# Several processes


def run_two_processes(folder: Path) -> list[dict]:
    """What each of the two says of itself."""
    before = os.environ.get("PYTHONPATH", "")
    with settings(PYTHONPATH=os.pathsep.join(part for part in (str(ROOT), before) if part)):
        launch.run("tests.integration.guide_rows_processes", [str(folder)], 2, "guide")
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@row("X.1")
def process_group(two, monkeypatch):
    assert [one["backend"] for one in two] == ["gloo", "gloo"]
    asked = []
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **_: asked.append(backend))
    monkeypatch.setattr(torch.cuda, "set_device", asked.append)
    monkeypatch.setenv("LOCAL_RANK", "3")
    with_gpus(monkeypatch, 4)
    launch._begin_group()
    assert asked == [3, "cpu:gloo,cuda:nccl"]


@row("X.2")
def distributed_data_parallel(two, monkeypatch):
    assert all(one["wrapped"] and one["devices"] is None for one in two), "device_ids are for GPUs"
    wrapped = []
    monkeypatch.setattr(processes, "worker", lambda: processes.Worker(0, 2))
    monkeypatch.setattr(
        processes, "DistributedDataParallel", lambda model, **given: wrapped.append(given["device_ids"])
    )
    processes.shared(torch.nn.Linear(1, 1), torch.device("cuda", 1))
    assert wrapped == [[1]]


@row("X.3")
def two_processes(two):
    assert [one["world"] for one in two] == [2, 2]
    assert sum(one["pairs_a_step"] for one in two) == GUIDE.batch_size, "each takes its part of a step"
    assert two[0]["weights"] == two[1]["weights"]
    assert "batch-norm statistics of its own share" in " ".join(two[0]["notes"])


@row("X.4")
def no_accelerate_config(monkeypatch, tmp_path):
    with_gpus(monkeypatch, 2)
    monkeypatch.setenv("HOME", str(tmp_path))
    line = launch.command(MODULE, [], 2)
    for option in ("--num_machines", "--num_processes", "--mixed_precision", "--dynamo_backend"):
        assert option in line
    assert "--config_file" not in line and list(tmp_path.iterdir()) == []


@row("X.5")
def accelerate_launch(row, monkeypatch):
    from thumbrank_core.retraining import Request

    with_gpus(monkeypatch, 4)
    given = arguments(Request(recipe="guide"), 4)
    line = launch.command(MODULE, given, 4)
    assert line[line.index("accelerate.commands.launch") - 1] == "-m"
    assert after(line, "--num_processes") == "4"
    by_hand = f"accelerate launch --num_processes 4 -m {MODULE} --world-size 4 --request"
    assert by_hand in row.here
    assert parsed(line[line.index(MODULE) + 1 :]) == (Request(recipe="guide"), 4)
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    with pytest.raises(launch.WorkersError, match=r"pip install 'thumbrank\[gpu\]'"):
        launch.command(MODULE, given, 4)


@row("X.6")
def several_machines(row, house):
    words = re.findall(r"thumbrank train ([^`]*)", row.here)[0].split()
    assert dry_run(house, *words)["name"] == "default"
    nodes = [Nodes(3, rank, after(words, "--rendezvous")) for rank in range(3)]
    for rank, node in enumerate(nodes):
        line = " ".join(launch.command(MODULE, [], 2, node))
        assert f"--nnodes 3 --node-rank {rank} --master-addr trainer-0 --master-port 29400" in line
        assert "--nproc-per-node 2" in line
