"""Training over several machines: two torchrun agents on 127.0.0.1 that meet as two nodes would."""

import subprocess
import sys

import dagster as dg
import pytest
import torch
from safetensors.torch import load_file

from tests.integration import learning
from tests.integration.retention_house import House
from tests.ports import free_port
from thumbrank_core.model.bundle import WEIGHTS
from thumbrank_core.registry import Registry

# Dagster's own use of what it may change.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Function `PipesMessageReader.expected_writer_count` is currently in preview"
)

OPTIONS = ["--niche", "tech", "--encoders", "tiny", "--epochs", "2", "--set", "hidden_dim=8"]


@pytest.fixture
def learnable(db, images, world):
    learning.fill(db, images, world)
    return db


def free_address():
    """host:port that nobody listens on."""
    return f"127.0.0.1:{free_port()}"


def train(home, *options):
    """`thumbrank train` as another machine would start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "thumbrank_dagster", "train", *OPTIONS, *options],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(node):
    """(exit status, stdout, stderr)."""
    try:
        out, err = node.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        node.terminate()  # it ends its own processes; killed it could not
        out, err = node.communicate(timeout=60)
    return node.returncode, out, err


def weights_in(home):
    [path] = (home / "models").glob(f"*/{WEIGHTS}")
    return load_file(path)


@pytest.mark.slow
def test_dagster_s_run_is_node_0_of_two_and_the_model_is_that_of_two_processes_on_one_machine(
    learnable, database_url, tmp_path, monkeypatch
):
    alone, shared = tmp_path / "one machine", tmp_path / "two machines"
    for home in (alone, shared):
        home.mkdir()
    learning.configure(monkeypatch, database_url, alone)
    status, _, said = ended(train(alone, "--workers", "2"))
    assert status == 0, said[-3000:]

    learning.configure(monkeypatch, database_url, shared)
    where = free_address()
    other = train(shared, "--nodes", "2", "--node-rank", "1", "--rendezvous", where)
    try:
        with dg.DagsterInstance.ephemeral() as instance:
            done = learning.materialise(instance, overrides=learning.OVERRIDES, nodes=2, rendezvous=where)
            log = " ".join(entry.user_message for entry in instance.all_logs(done.run_id))
        assert done.success
    except BaseException:
        other.terminate()  # it would wait half an hour for a node 0 that failed
        raise
    finally:
        status, out, said = ended(other)
    assert status == 0, said[-3000:]
    assert "Node 1 of 2 is done; node 0 registers the model." in out
    assert "thumbrank train --recipe default --niche tech --set epochs=2 --set hidden_dim=8" in log
    assert f"--nodes 2 --node-rank 1 --rendezvous {where}" in log
    assert "The training processes ended." in log
    assert Registry(House(learnable, shared, {}).settings.tracking_uri).challenger().number == 1
    apart, together = weights_in(shared), weights_in(alone)
    for name, weight in together.items():
        torch.testing.assert_close(apart[name], weight, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_nodes_that_were_asked_for_different_trainings_say_so_instead_of_training(
    learnable, database_url, tmp_path, monkeypatch
):
    learning.configure(monkeypatch, database_url, tmp_path)
    where = free_address()
    nodes = [
        train(tmp_path, "--seed", str(rank), "--nodes", "2", "--node-rank", str(rank), "--rendezvous", where)
        for rank in range(2)
    ]
    for status, _, said in [ended(node) for node in nodes]:
        assert status == 1
        assert "was asked for another training than process 0, or read other rows" in said
    assert not list((tmp_path / "models").glob("*"))


@pytest.mark.slow
def test_nodes_with_different_folders_say_so_instead_of_waiting_for_one_another(
    learnable, database_url, tmp_path, monkeypatch
):
    where = free_address()
    nodes = []
    for rank in range(2):
        home = tmp_path / str(rank)
        home.mkdir()
        learning.configure(monkeypatch, database_url, home)
        nodes.append(train(home, "--nodes", "2", "--node-rank", str(rank), "--rendezvous", where))
    for status, _, said in [ended(node) for node in nodes]:
        assert status == 1
        assert "Not every node has the same folder" in said
