"""How a worker's process is started, on one machine or several, and how it ends."""

import os
import shlex
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import suppress

import psutil
import pytest
from pydantic import SecretStr

from thumbrank_core import launch
from thumbrank_core.commands.train import overrides_of
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.launch import Nodes, WorkersError
from thumbrank_core.retraining import Request
from thumbrank_core.settings import Settings
from thumbrank_core.training.tracking.mlflow import run_page
from thumbrank_core.training_worker import Start, other_nodes


def raising(error):
    def work():
        raise error

    return work


def test_work_that_is_done_ends_with_0_and_says_nothing(capsys):
    assert launch.exit_status(lambda: "whatever it gives") == 0
    assert capsys.readouterr() == ("", "")


def test_a_mendable_error_is_one_sentence_on_stderr_and_ends_with_1(capsys):
    assert launch.exit_status(raising(ThumbrankError("Name a niche."))) == 1
    assert capsys.readouterr() == ("", "Name a niche.\n")


def test_ctrl_c_ends_with_130():
    assert launch.exit_status(raising(KeyboardInterrupt())) == 130


def test_a_defect_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        launch.exit_status(raising(ZeroDivisionError()))


STARTER = """
    import os, subprocess, sys
    from thumbrank_core import launch
    line = launch.command("some_module", [], 2)
    asleep = "import time; print('up', flush=True); time.sleep(60)"
    subprocess.run([*line[: line.index("torch.distributed.run") - 1], "-c", asleep])
"""


@pytest.fixture
def started():
    """Somebody who waits for a launcher, and the launcher."""
    command = [sys.executable, "-c", textwrap.dedent(STARTER)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None and starter.stdout.readline() == "up\n"
        [launcher] = psutil.Process(starter.pid).children()
        yield starter, launcher
        with suppress(psutil.NoSuchProcess):
            launcher.kill()
        starter.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
def test_a_launcher_ends_with_a_process_that_is_killed(started):
    starter, launcher = started
    starter.kill()
    deadline = time.monotonic() + 10
    while launcher.is_running() and launcher.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it waits for workers that nobody needs"
        time.sleep(0.05)


def test_a_signal_to_the_group_of_a_process_does_not_reach_its_launcher(started):
    starter, launcher = started
    assert os.getpgid(launcher.pid) != os.getpgid(starter.pid)


def test_a_launcher_whose_process_is_gone_already_does_not_begin():
    line = [sys.executable, "-m", "thumbrank_core.own_session", "1", "-c", "print('begun')"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_one_machine_starts_its_processes_alone():
    line = launch.command("module", ["--world-size", "2"], 2)
    assert line[1:] == [
        *("-m", "thumbrank_core.own_session", str(os.getpid())),
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "module",
        "--world-size",
        "2",
    ]


def test_each_of_several_nodes_knows_its_place_and_where_node_0_listens():
    line = launch.command("module", [], 4, Nodes(3, 1, "trainer-0.example:29400"))
    assert " ".join(line[6:]) == (
        "--nnodes 3 --node-rank 1 --master-addr trainer-0.example --master-port 29400 --rdzv-conf timeout=1800 "
        "--nproc-per-node 4 -m module"
    )
    assert Nodes(2, 0, "[::1]:29400").options()[5] == "::1"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            (2, 0, None),
            "2 nodes need a rendezvous: name host:port of node 0 as every node reaches it, such as trainer-0:29400.",
        ),
        ((2, 2, "a:1"), "There is no node 2 of 2: number the nodes from 0 on."),
        ((1, 0, "a:1"), "A rendezvous (a:1) is for several nodes: say how many, or leave it out."),
        ((2, 0, "trainer-0"), "The rendezvous trainer-0 is no host:port: write it such as trainer-0:29400."),
        (
            (2, 0, "trainer-0:65536"),
            "The rendezvous trainer-0:65536 is no host:port: write it such as trainer-0:29400.",
        ),
        ((2, 0, ":29400"), "The rendezvous :29400 is no host:port: write it such as trainer-0:29400."),
    ],
)
def test_nodes_that_could_not_meet_are_refused_in_one_sentence(arguments, says):
    with pytest.raises(launch.WorkersError) as refused:
        Nodes(*arguments)
    assert str(refused.value) == says


def test_several_nodes_need_a_database_that_all_of_them_reach(tmp_path):
    start = Start(2, Nodes(2, 0, "trainer-0:29400"))
    assert start.world_size == 4
    with pytest.raises(
        launch.WorkersError, match="2 nodes need one database that all of them reach: set DATABASE_URL on each"
    ):
        start.check(Settings(THUMBRANK_HOME=tmp_path, DATABASE_URL=None))
    start.check(Settings(THUMBRANK_HOME=tmp_path, DATABASE_URL=SecretStr("postgresql://elsewhere/thumbrank")))


def test_what_the_other_nodes_are_told_to_run_asks_for_the_same_training():
    overrides = {"epochs": 3, "learning_rate": 1e-05, "use_swa": True, "pair_loss": "margin", "swa_start": None}
    request = Request(("tech", "news"), "guide", overrides, "tiny", tags={"dagster_run_id": "of node 0 alone"})
    [line] = other_nodes(request, Start(2, Nodes(2, 0, "trainer-0:29400")))
    said = shlex.split(line)
    changes = [said[place + 1] for place, word in enumerate(said) if word == "--set"]
    assert overrides_of(changes) == overrides
    rest = " ".join(word for word in said if word != "--set" and word not in changes)
    assert rest == (
        "thumbrank train --recipe guide --niche tech --niche news --encoders tiny --workers 2 --nodes 2 --node-rank 1 "
        "--rendezvous trainer-0:29400"
    )


def test_without_an_address_of_mlflow_there_is_no_link():
    assert run_page(None, "sqlite:////nowhere/mlflow.db", "run") is None


def test_a_group_of_another_size_is_refused_with_what_to_start(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("thumbrank_core.launch._begin_group", lambda: None)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 3)
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: None)
    with (
        pytest.raises(launch.WorkersError, match="has 3 workers instead of 2: start every one of them with"),
        launch.joined(2),
    ):
        pass


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rendezvous_whose_port_is_taken_is_one_sentence_on_node_0_before_anything_starts(rank):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        nodes = Nodes(2, rank, where)
        if rank == 1:
            assert "torch.distributed.run" in launch.command("some_module", [], 1, nodes), "node 0 listens there"
            return
        with pytest.raises(WorkersError, match=rf"of the rendezvous {where} is taken on node 0: stop what uses it"):
            launch.command("some_module", [], 1, nodes)
    assert "torch.distributed.run" in launch.command("some_module", [], 1, nodes)
