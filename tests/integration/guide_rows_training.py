"""The rows of docs/guide.md about training: its command and calls, how long it takes, what is seen of it, what goes wrong."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.core.core_plugin import DEFAULT_PORT
from typer.testing import CliRunner

from tests.integration.guide_rows import ROOT, json_of, number_in, row
from tests.integration.guide_rows_house import EPOCHS, House, settings
from tests.integration.guide_rows_model import layers
from tests.unit.test_diagnostics import found as findings
from tests.unit.test_diagnostics import history
from tests.unit.test_tracking import facts, record, said
from thumbrank_core import launch
from thumbrank_core.cli import app
from thumbrank_core.model.network import ThumbnailRankingModel
from thumbrank_core.training.pipeline import TrainingPipeline
from thumbrank_core.training.recipe import load_recipe
from thumbrank_core.training.tracking.console import ConsoleTracker, epoch_line
from thumbrank_core.training_worker import MODULE

GUIDE = load_recipe("guide")
SMALL: dict[str, Any] = {"clip_dim": 12, "text_dim": 6, "hidden_dim": 8}
TOLD: dict[str, Any] = {
    "learning_rate": 2e-5,
    "label_smoothing": 0.15,
    "mixup_alpha": 0.3,
    "use_swa": True,
    "swa_start": 150,
}
LINE = r"Epoch +(\d+): Pair Loss=\d\.\d{4}, (\w+) Loss=\d\.\d{4}, Val AUC=\d\.\d{4}, Val Corr=-?(\d\.\d{4}|nan)"
BIN = Path(sys.executable).parent
PLAN = ["plan", "--channels", "1500", "--per-channel", "133", "--json"]


def benchmark(name):
    """The rows of a committed result of benchmarks/."""
    [file] = (ROOT / "benchmarks" / "results").glob(f"{name}-linux-*.json")
    return json.loads(file.read_text())


def dry_run(house: House, *words: object) -> dict[str, str]:
    """The fields that `thumbrank train --dry-run` says it would train with."""
    done = house.train(*words, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "Nothing was trained" in done.output
    rows = [[cell.strip() for cell in line.strip("│┃ ").split("│")] for line in done.output.splitlines() if "│" in line]
    return dict(rows)


# The command


@row("S4.1")
def train(house):
    assert dry_run(house) == dry_run(house, "--recipe", "default")
    fields = dry_run(house, "--recipe", "guide")
    assert fields["name"] == "guide"
    assert (fields["pair_loss"], fields["averaging"], fields["norm"]) == ("margin", "swa", "batch")
    assert house.card.recipe["name"] == "guide"
    assert len(house.card.history) == EPOCHS


@row("S4.2")
def train_with_the_guides_flags(row, house):
    [words] = re.findall(r"thumbrank train (.*?)`", row.here)
    assert words.endswith(row.quotes[0].removeprefix("python pipeline.py "))
    done = house.train(*words.split(), "--dry-run")
    assert f"recipe guide ({GUIDE.sha256[:12]})" in done.output, "not a field is another"


@row("S4.3")
def flag_epochs(house):
    assert dry_run(house, "--epochs", "200")["epochs"] == "200 (changed)"
    assert GUIDE.epochs == 200


@row("S4.4")
def flag_batch_size(house):
    assert dry_run(house, "--batch-size", "16")["batch_size"] == "16 (changed)"
    assert (GUIDE.batch_size, GUIDE.batch_by, load_recipe("default").batch_by) == (16, "pair", "channel")


@row("S4.5")
def flag_lr(house):
    fields = dry_run(house, "--lr", "2e-5", "--set", "weight_decay=0.02")
    assert fields["learning_rate"] == "2e-05 (changed)"
    assert fields["weight_decay"] == "0.02 (changed)"
    assert GUIDE.learning_rate == 2e-5


# The calls


@row("S4.6")
def model_call():
    model = ThumbnailRankingModel(clip_dim=768, text_dim=384, freeze_clip=True, fine_tune_blocks=0, hidden_dim=512)
    same = ThumbnailRankingModel()
    assert (model.shape, model.freeze_clip, model.fine_tune_blocks) == (
        same.shape,
        same.freeze_clip,
        same.fine_tune_blocks,
    )
    assert layers(model.trunk) == "Linear(1152 → 512)"


@row("S4.7")
def pipeline_call(house, monkeypatch):
    monkeypatch.setattr("thumbrank_core.training.stored.enabled_niches", lambda: ("tech",))  # as niches.yaml may say
    model = ThumbnailRankingModel(clip_dim=128, text_dim=384, freeze_clip=True, fine_tune_blocks=0, hidden_dim=8)
    pipeline = TrainingPipeline(model=model, **TOLD)
    with settings(DATABASE_URL=house.url, THUMBRANK_HOME=house.home, THUMBRANK_ENCODERS="tiny"):
        trained = pipeline.train(num_epochs=2)
    assert len(trained.history) == 2
    assert pipeline.data is not None and pipeline.data.niches == ["tech"]
    pipeline = TrainingPipeline(model=ThumbnailRankingModel(), **TOLD)
    assert pipeline.recipe == GUIDE, "not a field is another"


@row("S4.8", "S4.9", "S4.10", "S4.12")
def pipeline_argument(row):
    name, value = row.quotes[0].split("=")
    assert getattr(GUIDE, name) == float(value)
    other: Any = 7 if name == "swa_start" else 0.5
    pipeline = TrainingPipeline(ThumbnailRankingModel(**SMALL), **{name: other})
    assert getattr(pipeline.recipe, name) == other


@row("S4.11")
def swa_argument():
    assert GUIDE.averaging == "swa"
    averaging = [
        TrainingPipeline(ThumbnailRankingModel(**SMALL), use_swa=use).recipe.averaging for use in (True, False)
    ]
    assert averaging == ["swa", "none"]


def with_gpus(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(launch, "find_spec", lambda name: find_spec("json"))


def after(line, word):
    return line[line.index(word) + 1]


# How long it takes


@row("S4.13", "H.4")
def time_on_a_cpu(row):
    if row.id == "H.4":
        assert "S4.13" in row.here
        return
    [measured] = [
        part for part in benchmark("train")["rows"] if "guide_pairs_per_s" in part and part.get("part") == "b"
    ]
    rate = measured["guide_pairs_per_s"]
    assert round(rate) == number_in(row.here, "pairs/s")
    assert f"{200 * 120_000 / rate / 3600:.1f} h for 200 epochs of 120,000 pairs" in row.here
    hours = json_of(CliRunner().invoke(app, PLAN))["hours"]["CPU, 2 cores"]
    assert f"once: {hours['pictures']:.1f} h" in row.here


@row("S4.14", "H.5")
def time_on_a_t4(row):
    if row.id == "H.5":
        assert "S4.14" in row.here
        return
    hours = json_of(CliRunner().invoke(app, PLAN))["hours"]["T4"]
    assert f"{hours['pictures']:.2f} h for the vectors" in row.here


@row("S4.15", "H.6")
def time_on_an_a100(row):
    if row.id == "H.6":
        assert "S4.15" in row.here
        return
    machines = set(json_of(CliRunner().invoke(app, PLAN))["hours"])
    assert machines == {"CPU, 2 cores", "T4", "RTX 3090", "RTX 4090"}, "no A100: the row says so"


@row("S4.16")
def time_on_4_gpus(monkeypatch):
    with_gpus(monkeypatch, 4)
    assert after(launch.command(MODULE, [], 4), "--num_processes") == "4"
    with pytest.raises(launch.WorkersError, match="4 workers need 4 GPUs, and there are 2"):
        with_gpus(monkeypatch, 2)
        launch.command(MODULE, [], 4)


@row("H.1")
def minimum_cores():
    results = list((ROOT / "benchmarks" / "results").glob("*.json"))
    assert results and all("2cpu" in file.name for file in results)


@row("H.2")
def memory(row):
    grown = [part for part in benchmark("train")["rows"] if part.get("part") == "growth"]
    resident, *_, largest = [part["peak_rss_with_mapped_files_mb"] for part in grown if part["thumbnails"] >= 200_000]
    assert (
        f"{resident / 1000:.1f} GB for training on 200,000 thumbnails, {largest / 1000:.1f} GB on 2,000,000" in row.here
    )
    assert f"{benchmark('embed')['peak_rss_mb'] / 1000:.1f} GB for ViT-L/14 on a CPU" in row.here
    results = (ROOT / "benchmarks" / "results").glob("*.json")
    assert max(json.loads(file.read_text()).get("peak_rss_mb") or 0 for file in results) < 32_000


# What is seen of it


@row("S5.1")
def tensorboard(house):
    runs = house.home / "runs"
    told = subprocess.run(
        [BIN / "tensorboard", "--inspect", "--logdir", f"{runs}/"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "loss/pair" in told.stdout and "validation/auc" in told.stdout
    events = EventAccumulator(str(runs / house.folder.name))
    events.Reload()
    assert [event.step for event in events.Scalars("loss/pair")] == list(range(EPOCHS))


@row("S5.2")
def tensorboard_port(row):
    assert f"http://localhost:{DEFAULT_PORT}" in row.guide


@row("S5.3")
def wandb_login():
    told = subprocess.run([BIN / "wandb", "login", "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert "wandb login" in told.stdout


@row("S5.4")
def wandb_run(house):
    assert "no account is known here (`wandb login`)" in house.said
    wandb.teardown()  # the package's own process ends, and with it the last write
    [folder] = (house.home / "runs" / "wandb").glob("offline-run-*")
    assert f"wandb sync {folder}" in house.said
    [written] = folder.glob("*.wandb")
    assert b"validation/auc" in written.read_bytes()
    assert dry_run(house) and len(list(folder.parent.glob("offline-run-*"))) == 1, "only where it was asked for"


def lines(house):
    return [found for line in house.said.splitlines() if (found := re.match(LINE, line))]


@row("S5.5")
def console_line(row, house):
    assert re.fullmatch(LINE, row.quotes[0])
    assert lines(house)[0].group(0).startswith("Epoch   0: Pair Loss=")


@row("S5.6")
def ctr_loss_by_its_name(house):
    assert {found.group(2) for found in lines(house)} == {"Engagement"}
    assert "CTR Loss=0.0189" in epoch_line(record(0), facts(real_click_rate=True))
    assert "Engagement Loss=0.0189" in epoch_line(record(0), facts(real_click_rate=False))


@row("S5.7")
def last_epoch_line(house):
    assert int(lines(house)[-1].group(1)) == EPOCHS - 1
    assert [one.epoch for one in house.card.history] == list(range(EPOCHS))


@row("W.1")
def every_10_epochs(house):
    assert GUIDE.log_every == 10
    assert [int(found.group(1)) for found in lines(house)] == [0, 10, 11]
    told = said(ConsoleTracker(GUIDE.log_every), [record(epoch) for epoch in range(200)], epochs=200)
    shown = [int(found.group(1)) for line in told if (found := re.match(LINE, line))]
    assert shown == [*range(0, 200, 10), 199]
    written = json.loads((house.home / "models" / "training_history.json").read_text())
    assert len(written["epochs"]) == EPOCHS


@row("W.2")
def line_has_auc_and_correlation(house):
    for found in lines(house):
        one = house.card.history[int(found.group(1))]
        correlation = float("nan") if one.validation_correlation is None else one.validation_correlation
        assert f"Val AUC={one.validation_auc:.4f}, Val Corr={correlation:.4f}" in found.group(0)


# What goes wrong


STUCK: dict[str, Any] = {"validation_auc": 0.5, "train_auc": 0.5}


@row("I1.1")
def auc_stuck(graph):
    assert "The validation AUC is stuck at 0.5" in findings(history(**STUCK))["auc_stuck"]
    assert "auc_stuck" not in findings(history())
    checks = graph.resolve_asset_graph().asset_check_keys
    assert ("trained_model", "learning") in {(key.asset_key.to_user_string(), key.name) for key in checks}


@row("I1.2")
def try_other_rates(house):
    sentence = findings(history(**STUCK))["auc_stuck"]
    assert "try 1e-5 to 1e-4" in sentence and "--lr" in sentence
    for rate in ("1e-5", "1e-4"):
        assert float(dry_run(house, "--lr", rate)["learning_rate"].split()[0]) == float(rate)


@row("I1.3")
def verify_labels(graph):
    assert (
        "verify that the labels are right (labels.label in config/policy.yaml)"
        in findings(history(**STUCK))["auc_stuck"]
    )
    checks = {
        key.name for key in graph.resolve_asset_graph().asset_check_keys if key.asset_key.path[-1] == "training_pairs"
    }
    assert {"no_leaks", "balanced_orientation", "newer_wins"} <= checks


@row("I1.4")
def larger_batch(house):
    assert "take a larger batch (`--batch-size`)" in findings(history(**STUCK))["auc_stuck"]
    assert dry_run(house, "--recipe", "guide", "--batch-size", "64")["batch_size"] == "64 (changed)"


LOW: dict[str, Any] = {"validation_correlation": 0.05}


@row("I2.1")
def low_correlation():
    told = findings(history(**LOW))["low_correlation"]
    assert "the engagement label may be noisy" in told and "try another label" in told
    assert "low_correlation" not in findings(history(validation_correlation=0.1))


@row("I2.2")
def more_data():
    assert "collect more channels" in findings(history(**LOW))["low_correlation"]


@row("I2.3")
def other_normalisation(house):
    assert "another normalisation (recipe field norm)" in findings(history(**LOW))["low_correlation"]
    for norm in ("layer", "batch"):
        assert dry_run(house, "--set", f"norm={norm}")["norm"] == f"{norm} (changed)"
        assert ThumbnailRankingModel(**SMALL, norm=norm).shape.norm == norm


OVER: dict[str, Any] = {"train_auc": 0.80, "validation_auc": 0.65}


@row("I3.1")
def overfitting():
    assert "The model overfits" in findings(history(**OVER))["overfitting"]
    assert "overfitting" not in findings(history(train_auc=0.74, validation_auc=0.65))


@row("I3.2")
def more_dropout(house):
    assert dry_run(house, "--recipe", "guide", "--set", "head_dropout=1.5")["head_dropout"] == "1.5 (changed)"
    assert "Dropout(0.2)" in layers(ThumbnailRankingModel(**SMALL).engagement)
    assert "Dropout(0.3)" in layers(ThumbnailRankingModel(**SMALL, head_dropout=1.5).engagement)
    assert "Dropout(0.3)" in layers(ThumbnailRankingModel(**SMALL, norm="layer", dropout=0.3).trunk)
    assert "dropout" in findings(history(**OVER))["overfitting"]


@row("I3.3")
def more_weight_decay(house):
    assert GUIDE.weight_decay == 0.01
    fields = dry_run(house, "--recipe", "guide", "--set", "weight_decay=0.02")
    assert fields["weight_decay"] == "0.02 (changed)"
    assert "weight_decay (0.01 to 0.02)" in findings(history(**OVER))["overfitting"]


@row("I3.4")
def more_augmentation(house):
    assert dry_run(house, "--recipe", "guide", "--set", "mixup_alpha=0.5")["mixup_alpha"] == "0.5 (changed)"
    assert "mixup_alpha" in findings(history(**OVER))["overfitting"]


@row("I3.5")
def enable_smoothing(house):
    fields = dry_run(house, "--set", "label_smoothing=0.15", "--set", "pair_smoothing=0.1")
    assert (fields["label_smoothing"], fields["pair_smoothing"]) == ("0.15 (changed)", "0.1 (changed)")
    assert "label_smoothing" in findings(history(**OVER))["overfitting"]


@row("U.1")
def logs_in_runs(house):
    assert list((house.home / "runs" / house.folder.name).glob("events.out.tfevents.*"))


@row("U.2")
def training_history(house):
    written = json.loads((house.home / "models" / "training_history.json").read_text())
    assert written["facts"]["recipe"]["name"] == "guide"
    assert [epoch["epoch"] for epoch in written["epochs"]] == list(range(EPOCHS))
    assert written["outcome"]["shipped"] == house.card.shipped


@row("U.3")
def gpu_usage(house):
    assert all(one.items_per_second > 0 for one in house.card.history)
    if torch.cuda.is_available():
        subprocess.run(["nvidia-smi"], capture_output=True, timeout=60, check=True)
