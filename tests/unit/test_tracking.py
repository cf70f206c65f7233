"""The listeners of a training run, each read back by the reader of whoever made its format."""

import json
import math
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
import wandb
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.unit.synthetic import planted, train
from thumbrank_core.model.bundle import EpochRecord
from thumbrank_core.paths import project_root
from thumbrank_core.progress import LineSink, listen
from thumbrank_core.training.diagnostics import Finding
from thumbrank_core.training.recipe import load_recipe
from thumbrank_core.training.tracking import source
from thumbrank_core.training.tracking.console import ConsoleTracker, duration
from thumbrank_core.training.tracking.history import HistoryTracker
from thumbrank_core.training.tracking.interface import Facts, RunOutcome, TrackingError
from thumbrank_core.training.tracking.mlflow import MlflowTracker
from thumbrank_core.training.tracking.tensorboard import TensorBoardTracker
from thumbrank_core.training.tracking.wandb import WandbTracker

FINDING = Finding("overfitting", "The model overfits.")


def facts(**changed):
    given = {
        "recipe": {"name": "guide", "margin": 0.1, "patience": None},
        "recipe_sha256": "ab" * 32,
        "niches": {"tech": "v1", "news": "v2"},
        "label": "age_adjusted",
        "encoders": "tiny",
        "n_items": 1200,
        "n_pairs": 34000,
        "n_channels": 80,
        "data_sha256": "cd" * 32,
        "git_sha": "ef" * 20,
        "epochs": 201,
        "real_click_rate": False,
        "notes": ("SWA from epoch 150.",),
    }
    return Facts(**given | changed)


def record(epoch, **changed):
    given = {
        "pair_loss": 0.1823,
        "engagement_loss": 0.0189,
        "sub_score_loss": None,
        "train_auc": 0.62,
        "validation_accuracy": 0.58,
        "validation_auc": 0.6012,
        "validation_correlation": 0.2567,
        "learning_rate": 2e-5,
        "seconds": 1.0,
        "items_per_second": 500.0,
    }
    return EpochRecord(epoch=epoch, **given | changed)


DONE = RunOutcome(best_epoch=1, shipped="ema at epoch 1", findings=(FINDING,))


def play(tracker, records, history=(), outcome=DONE, **changed):
    """A whole run."""
    with tracker:
        tracker.begin(facts(**changed), history)
        for one in records:
            tracker.epoch(one)
        tracker.end(outcome)


def said(tracker, *args, **kwargs):
    """What the console says of a run."""
    lines = []
    with listen(LineSink(lines.append)):
        play(tracker, *args, **kwargs)
    return lines


def epochs_in(lines):
    return [line for line in lines if line.startswith("Epoch")]


# The console.


def test_the_console_speaks_the_guides_line_and_says_what_is_left():
    lines = said(ConsoleTracker(), [record(epoch) for epoch in range(11)])
    guide = "Epoch  10: Pair Loss=0.1823, Engagement Loss=0.0189, Val AUC=0.6012, Val Corr=0.2567"
    assert epochs_in(lines)[1] == guide + ", 4 min left"


def test_the_loss_is_called_ctr_only_where_real_click_rates_were_learnt():
    (line,) = epochs_in(said(ConsoleTracker(), [record(0)], real_click_rate=True, epochs=1))
    assert line == "Epoch   0: Pair Loss=0.1823, CTR Loss=0.0189, Val AUC=0.6012, Val Corr=0.2567"


def test_what_is_left_is_an_upper_bound_where_the_recipe_may_stop_early():
    lines = said(ConsoleTracker(), [record(0)], recipe={"patience": 10})
    assert epochs_in(lines)[0].endswith(", at most 4 min left")


def test_the_last_epoch_is_said_once_whether_planned_or_early():
    planned = epochs_in(said(ConsoleTracker(), [record(epoch) for epoch in range(13)], epochs=13))
    early = epochs_in(said(ConsoleTracker(), [record(epoch) for epoch in range(13)]))
    on_the_tenth = epochs_in(said(ConsoleTracker(), [record(epoch) for epoch in range(11)]))
    assert [line[:9] for line in planned] == [line[:9] for line in early] == ["Epoch   0", "Epoch  10", "Epoch  12"]
    assert "left" not in planned[-1]
    assert [line[:9] for line in on_the_tenth] == ["Epoch   0", "Epoch  10"]


def test_notes_findings_and_what_ships_are_said():
    lines = said(ConsoleTracker(), [record(0)])
    assert "34,000 pairs" in lines[0]
    assert "SWA from epoch 150." in lines
    assert lines[-2:] == ["The model is ema at epoch 1", "The model overfits."]


def test_a_resumed_run_says_where_it_goes_on_and_repeats_nothing():
    lines = said(ConsoleTracker(), [record(20)], history=[record(epoch) for epoch in range(20)])
    assert "Going on after epoch 19 of an earlier run" in lines
    assert [line[:9] for line in epochs_in(lines)] == ["Epoch  20"]


def test_a_run_of_no_epochs_has_no_line_and_no_model():
    lines = said(ConsoleTracker(), [], outcome=RunOutcome(-1, "nothing", interrupted=True))
    assert epochs_in(lines) == []
    assert lines[-1] == "Training was asked to stop before its end"


def test_a_figure_that_is_not_a_number_is_said_as_nan():
    (line,) = epochs_in(said(ConsoleTracker(), [record(0, validation_correlation=None, seconds=0.0)]))
    assert "Val Corr=nan" in line


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (59, "59 s"), (59.5, "1 min"), (181, "4 min"), (7790, "2 h 10 min")]
)
def test_a_duration_is_rounded_up_in_its_own_unit(seconds, words):
    assert duration(seconds) == words


# The guide's JSON.


def test_the_history_is_whole_while_training_runs_and_after_it(tmp_path):
    path = tmp_path / "models" / "training_history.json"
    with HistoryTracker(path) as tracker:
        tracker.begin(facts(), [])
        assert json.loads(path.read_text()) == {"facts": facts().plain(), "epochs": [], "outcome": None}
        tracker.epoch(record(0))
        tracker.epoch(record(1))
        running = json.loads(path.read_text())
        assert [EpochRecord.model_validate(epoch) for epoch in running["epochs"]] == [record(0), record(1)]
        assert running["outcome"] is None
        tracker.end(DONE)
    outcome = json.loads(path.read_text())["outcome"]
    assert outcome["shipped"] == "ema at epoch 1"
    assert outcome["findings"] == [{"kind": "overfitting", "sentence": "The model overfits."}]
    assert [file.name for file in path.parent.iterdir()] == ["training_history.json"]


def test_a_resumed_history_starts_over_with_the_epochs_that_are_done(tmp_path):
    path = tmp_path / "training_history.json"
    lost = [record(0), record(1), record(2, pair_loss=9.0)]
    play(HistoryTracker(path), lost, outcome=RunOutcome(1, "ema at epoch 1", interrupted=True))
    assert json.loads(path.read_text())["outcome"]["interrupted"] is True
    play(HistoryTracker(path), [record(2)], history=[record(0), record(1)])
    again = json.loads(path.read_text())
    assert [epoch["pair_loss"] for epoch in again["epochs"]] == [0.1823] * 3
    assert again["outcome"]["interrupted"] is False


def test_what_is_not_a_number_is_null_in_the_history(tmp_path):
    path = tmp_path / "training_history.json"
    play(HistoryTracker(path), [record(0, validation_correlation=math.nan, pair_loss=math.inf)])

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    (epoch,) = json.loads(path.read_text(), parse_constant=refuse)["epochs"]
    assert epoch["validation_correlation"] is None
    assert epoch["pair_loss"] is None


def test_a_history_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "models").write_text("a file where a folder should be")
    with pytest.raises(TrackingError, match="cannot be written"):
        play(HistoryTracker(tmp_path / "models" / "training_history.json"), [])


# TensorBoard.


def curves(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}, events


def test_tensorboard_reads_the_groups_and_the_words(tmp_path):
    play(TensorBoardTracker(tmp_path / "runs" / "one"), [record(0), record(1, validation_correlation=math.nan)])
    found, events = curves(tmp_path / "runs" / "one")
    assert [step for step, _ in found["loss/pair"]] == [0, 1]
    assert found["validation/auc"][0][1] == pytest.approx(0.6012)
    assert math.isnan(found["validation/correlation"][1][1])
    assert {"loss/engagement", "train/auc", "train/learning_rate", "validation/accuracy"} < set(found)
    assert "loss/sub_scores" not in found
    (words,) = events.Tensors("run/outcome/text_summary")
    assert b"The model overfits." in words.tensor_proto.string_val[0]


@pytest.mark.parametrize("clock", ["behind", "the same second", "ahead"])
def test_tensorboard_forgets_the_epochs_that_a_killed_run_lost(tmp_path, clock):
    lost = TensorBoardTracker(tmp_path)
    with lost:
        lost.begin(facts(), [])
        for epoch in range(4):
            lost.epoch(record(epoch, pair_loss=float(epoch)))
    (written,) = tmp_path.iterdir()
    second = {"behind": 1, "the same second": int(time.time()), "ahead": 9_999_999_999}[clock]
    written.rename(tmp_path / f"events.out.tfevents.{second:010d}.zone.1.0")
    resumed = [record(2, pair_loss=20.0)]
    play(TensorBoardTracker(tmp_path), resumed, history=[record(0, pair_loss=0.0), record(1, pair_loss=1.0)])
    assert curves(tmp_path)[0]["loss/pair"] == [(0, 0.0), (1, 1.0), (2, 20.0)]


def test_tensorboard_survives_a_run_of_no_epochs(tmp_path):
    play(TensorBoardTracker(tmp_path), [], outcome=RunOutcome(-1, "nothing", interrupted=True))
    assert curves(tmp_path)[0] == {}


# MLflow.


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    """One store for all: making its tables takes seconds."""
    home = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{home / 'below' / 'mlflow.db'}"
    return MlflowClient(tracking_uri=uri), lambda: MlflowTracker(uri, home / "artifacts", "run", {"asked_by": "us"})


def metric(client, run_id, name):
    return [(point.step, point.value) for point in client.get_metric_history(run_id, name)]


def test_mlflow_holds_what_it_takes_to_make_the_run_again(mlflow):
    client, new = mlflow
    tracker = new()
    play(tracker, [record(0), record(1, validation_correlation=None)])
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["data_version_tech"] == "v1"
    assert run.data.params["data_sha256"] == "cd" * 32
    assert run.data.params["recipe_margin"] == "0.1"
    assert run.data.tags["mlflow.source.git.commit"] == run.data.params["git_sha"] == "ef" * 20
    assert run.data.tags["finding.overfitting"] == "The model overfits."
    assert run.data.tags["asked_by"] == "us"
    (given,) = run.inputs.dataset_inputs
    assert ("cd" * 32).startswith(given.dataset.digest)
    assert CodeDatasetSource.from_json(given.dataset.source).to_dict() == {"tags": {"tech": "v1", "news": "v2"}}
    assert metric(client, tracker.run_id, "validation_auc") == [(0, 0.6012), (1, 0.6012)]
    assert metric(client, tracker.run_id, "validation_correlation") == [(0, 0.2567)]


def test_mlflow_is_told_the_name_of_the_encoders_that_were_trained_on(mlflow):
    client, new = mlflow
    tracker = new()
    dataset, _ = planted(n_channels=20)
    with tracker:
        train(dataset, load_recipe("default", {"epochs": 1, "hidden_dim": 8}), [tracker])
    params = client.get_run(tracker.run_id).data.params
    assert params["encoders"] == dataset.encoders == "tiny"
    assert params["data_sha256"] == dataset.fingerprint()


def test_mlflow_shows_epochs_by_tens_while_the_run_goes_on(mlflow):
    client, new = mlflow
    with new() as tracker:
        tracker.begin(facts(), [])
        for epoch in range(10):
            tracker.epoch(record(epoch))
        assert len(metric(client, tracker.run_id, "pair_loss")) == 10


def test_a_resumed_mlflow_run_repeats_a_long_history(mlflow):
    client, new = mlflow
    tracker = new()
    play(tracker, [record(150)], history=[record(epoch) for epoch in range(150)])
    assert sorted(step for step, _ in metric(client, tracker.run_id, "pair_loss")) == list(range(151))
    assert client.get_run(tracker.run_id).data.tags["resumed_after_epoch"] == "149"


def test_mlflow_keeps_what_is_not_a_number(mlflow):
    client, new = mlflow
    tracker = new()
    play(tracker, [record(0, validation_correlation=math.nan)])
    ((step, value),) = metric(client, tracker.run_id, "validation_correlation")
    assert step == 0
    assert math.isnan(value)


def test_an_mlflow_run_ends_as_the_training_did(mlflow):
    client, new = mlflow
    stopped, broken, empty = new(), new(), new()
    play(stopped, [], outcome=RunOutcome(-1, "nothing", interrupted=True))
    with pytest.raises(ValueError, match="broke"), broken:
        broken.begin(facts(git_sha=None), [])
        broken.epoch(record(0))
        raise ValueError("broke")
    with empty:
        pass
    found = [client.get_run(tracker.run_id).info.status for tracker in (stopped, broken, empty)]
    assert found == ["KILLED", "FAILED", "FINISHED"]
    assert len(metric(client, broken.run_id, "pair_loss")) == 1
    assert "mlflow.source.git.commit" not in client.get_run(broken.run_id).data.tags


def test_an_interrupted_mlflow_run_is_closed_before_the_signal_goes_on(mlflow):
    client, new = mlflow
    tracker = new()  # never left, as in a process that SIGTERM ends
    tracker.begin(facts(), [])
    tracker.epoch(record(0))
    tracker.end(RunOutcome(0, "ema at epoch 0", interrupted=True))
    assert client.get_run(tracker.run_id).info.status == "KILLED"
    assert len(metric(client, tracker.run_id, "pair_loss")) == 1


# Weights & Biases.


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """A machine without an account."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("NETRC", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def offline_run(runs):
    """The folder that was written; the package's own process has ended, and with it the last write."""
    wandb.teardown()
    (folder,) = (runs / "wandb").glob("offline-run-*")
    (written,) = folder.glob("*.wandb")
    return folder, written.read_bytes()


def test_without_an_account_weights_and_biases_writes_a_folder_below_runs(nobody):
    runs = nobody / "runs"
    lines = said(WandbTracker(runs, "one", offline=False), [record(1)], history=[record(0)])
    folder, content = offline_run(runs)
    assert any(f"no account is known here (`wandb login`); `wandb sync {folder}`" in line for line in lines)
    assert b"validation/auc" in content
    assert list((folder / "files").iterdir()) == []


def test_weights_and_biases_gets_no_code_no_command_line_and_no_commit_but_ours(nobody):
    play(WandbTracker(nobody / "runs", "one", offline=True), [], outcome=RunOutcome(-1, "nothing", interrupted=True))
    _, content = offline_run(nobody / "runs")
    assert b"pytest" not in content
    assert str(project_root()).encode() not in content
    commit = source.git_sha()
    assert commit is None or commit.encode() not in content
    ours = facts().git_sha
    assert ours is not None and ours.encode() in content


def test_weights_and_biases_that_is_not_installed_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(TrackingError, match=r"pip install 'thumbrank\[wandb\]'"):
        WandbTracker(tmp_path, "one", offline=True)


# All of them, and the commit.


def test_one_exit_stack_closes_them_all_when_training_breaks(tmp_path, mlflow):
    client, new = mlflow
    made = [ConsoleTracker(), HistoryTracker(tmp_path / "h.json"), TensorBoardTracker(tmp_path / "runs"), new()]
    with pytest.raises(ValueError, match="broke"), ExitStack() as stack:
        trackers = [stack.enter_context(tracker) for tracker in made]
        for tracker in trackers:
            tracker.begin(facts(), [])
            tracker.epoch(record(0))
        raise ValueError("broke")
    assert json.loads((tmp_path / "h.json").read_text())["outcome"] is None
    assert curves(tmp_path / "runs")[0]["validation/auc"][0][0] == 0
    assert client.get_run(made[-1].run_id).info.status == "FAILED"


def test_the_commit_is_that_of_a_clone(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "project_root", lambda: tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    assert source.git_sha() is None
    subprocess.run([*git, "init", "-q"], check=True)
    assert source.git_sha() is None
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    assert len(str(source.git_sha())) == 40


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert source.git_sha() is None
