"""The training pipeline: what a checkpoint keeps, what it refuses, what several processes agree on, what bad data is told."""

import dataclasses
import random
import re
import signal

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from tests.unit.synthetic import planted, train
from thumbrank_core.model.bundle import EpochRecord
from thumbrank_core.model.dropout import Dropout
from thumbrank_core.model.network import Batch, ThumbnailRankingModel
from thumbrank_core.training import ongoing, sub_scores
from thumbrank_core.training.batches import Layout, Steps, Worker
from thumbrank_core.training.checkpoint import CheckpointError
from thumbrank_core.training.dataset import SPLITS, DatasetError
from thumbrank_core.training.ongoing import TrainingError
from thumbrank_core.training.pipeline import LAST, TrainingPipeline, new_model
from thumbrank_core.training.recipe import load_recipe

SHORT = load_recipe(
    "default", {"epochs": 4, "hidden_dim": 16, "checkpoint_every": 1, "batch_size": 4, "patience": None}
)
GUIDE = load_recipe("guide", {"epochs": 2, "hidden_dim": 16, "checkpoint_every": 1})


def _pipeline(dataset, recipe, **more):
    return TrainingPipeline(new_model(dataset, recipe), recipe=recipe, data=dataset, **more)


def _stop_after(pipeline, steps, monkeypatch):
    """Send this process SIGTERM after so many steps, as whoever ends it would."""
    run = pipeline.begun()
    take, done = run.take, [0]

    def counted(step):
        take(step)
        done[0] += 1
        if done[0] == steps:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(run, "take", counted)


@pytest.fixture(scope="module")
def dataset():
    found, _ = planted(n_channels=60)
    signals = np.random.default_rng(3).normal(size=(len(found.items), 6)).astype(np.float32)
    return dataclasses.replace(found, signals=signals)


@pytest.mark.parametrize("recipe", [SHORT, GUIDE], ids=["default", "guide"])
def test_resumed_at_five_random_points_it_is_the_run_that_was_not_interrupted_bit_for_bit(
    dataset, recipe, tmp_path, monkeypatch
):
    monkeypatch.setattr(signal, "raise_signal", signal.raise_signal)
    whole = _pipeline(dataset, recipe).train()
    per_epoch = _pipeline(dataset, recipe).begun().steps.per_epoch
    former = signal.signal(signal.SIGTERM, lambda *_: None)  # what the signal does afterwards is not this test's
    try:
        for number, point in enumerate(random.Random(7).sample(range(1, recipe.epochs * per_epoch), 5)):
            folder = tmp_path / str(number)
            interrupted = _pipeline(dataset, recipe, checkpoints=folder)
            with monkeypatch.context() as patch:
                _stop_after(interrupted, point, patch)
                with pytest.raises(KeyboardInterrupt):
                    interrupted.train()
            torch.manual_seed(number)  # whatever ran in between
            resumed = _pipeline(dataset, recipe)
            resumed.load_checkpoint(folder / LAST)
            run = resumed.begun()
            assert (run.epoch, run.step) == divmod(point, per_epoch) or run.step == per_epoch
            again = resumed.train()
            assert again.shipped == whole.shipped
            for name, tensor in whole.model.state_dict().items():
                assert torch.equal(tensor, again.model.state_dict()[name]), (point, name)
            figures = [record.model_dump(exclude={"seconds", "items_per_second"}) for record in again.history]
            assert figures == [record.model_dump(exclude={"seconds", "items_per_second"}) for record in whole.history]
    finally:
        signal.signal(signal.SIGTERM, former)


def test_the_guides_own_calls_save_load_and_go_on(dataset, tmp_path):
    model = ThumbnailRankingModel(12, 6, freeze_clip=True, fine_tune_blocks=0, hidden_dim=16)
    told = {"learning_rate": 2e-5, "label_smoothing": 0.15, "mixup_alpha": 0.3, "use_swa": True, "swa_start": 1}
    pipeline = TrainingPipeline(model=model, **told, data=dataset)
    pipeline.save_checkpoint(tmp_path / "model_epoch_0.pt", 0)
    pipeline.recipe = pipeline.recipe.with_overrides({"epochs": 2})
    with pytest.raises(CheckpointError, match=r"another recipe \(epochs was 200 and is 2\)"):
        pipeline.load_checkpoint(tmp_path / "model_epoch_0.pt")
    pipeline = TrainingPipeline(model=model, **told, recipe=pipeline.recipe, data=dataset)
    pipeline.save_checkpoint(tmp_path / "model_epoch_0.pt", 0)
    pipeline.load_checkpoint(tmp_path / "model_epoch_0.pt")
    with pytest.raises(TrainingError, match="start_epoch is 1 and training stands at epoch 0"):
        pipeline.train(start_epoch=1, num_epochs=2)
    trained = pipeline.train(start_epoch=0, num_epochs=2)
    assert trained.shipped == "swa at epoch 1"
    assert len(trained.history) == 2


def test_a_checkpoint_of_other_data_or_damaged_or_foreign_is_refused_in_one_sentence(dataset, tmp_path):
    path = tmp_path / "model_epoch_0.pt"
    _pipeline(dataset, SHORT).save_checkpoint(path)
    other, _ = planted(n_channels=60, seed=5)
    other.versions["tech"] = "9"
    with pytest.raises(CheckpointError, match="other data \\(those of tech changed\\)"):
        _pipeline(other, SHORT).load_checkpoint(path)
    path.write_bytes(path.read_bytes()[:-3000])
    for broken in (path, tmp_path / "foreign.pt"):
        if not broken.exists():
            torch.save({"weights": torch.zeros(3)}, broken)
        with pytest.raises(CheckpointError, match="is not a checkpoint of Thumbrank, or it is damaged"):
            _pipeline(dataset, SHORT).load_checkpoint(broken)
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        _pipeline(dataset, SHORT).load_checkpoint(tmp_path / "absent.pt")


STILL = SHORT.with_overrides({"dropout": 0.0, "head_dropout": 0.0, "precision": "float32"})


def _flat_gradients(parameters):
    return torch.cat([parameter.grad.flatten() for parameter in parameters])


def _gradients(dataset):
    """Of every step of an epoch at the first weights, as the optimiser would see them: (steps, parameters)."""
    run = _pipeline(dataset, STILL).begun()
    seen = []

    def look(*_):
        seen.append(_flat_gradients(run.parameters))
        for group in run.optimiser.param_groups:
            group["lr"] = group["weight_decay"] = 0.0

    run.optimiser.register_step_pre_hook(look)
    plan = run.steps.epoch(0)
    for number in range(len(plan)):
        run.take(plan.step(number))
    return torch.stack(seen)


def _one_of_two(rank, store, out):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    dataset, _ = planted(n_channels=60)
    gradients = _gradients(dataset)  # AdamW does not see a wrong scale of them
    trained = train(dataset, STILL)
    torch.save({"gradients": gradients, "weights": trained.model.state_dict()}, f"{out}{rank}")
    dist.destroy_process_group()


def test_two_processes_train_what_one_does(tmp_path):
    data, _ = planted(n_channels=60)
    spawn(_one_of_two, args=(str(tmp_path / "store"), str(tmp_path / "rank")), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{rank}", weights_only=True) for rank in (0, 1))
    alone = _gradients(data)
    assert alone.abs().amax(1).min() > 0.01
    torch.testing.assert_close(first["gradients"], alone, atol=1e-6, rtol=0)
    for name, weight in train(data, STILL).model.state_dict().items():
        torch.testing.assert_close(first["weights"][name], weight, atol=1e-4, rtol=0)
        assert torch.equal(first["weights"][name], second["weights"][name])


def test_rows_that_fill_a_step_up_teach_nothing(dataset, monkeypatch):
    filled = _gradients(dataset)
    monkeypatch.setattr(ongoing, "ROWS", 1)
    torch.testing.assert_close(_gradients(dataset), filled, atol=1e-6, rtol=0)


def test_two_processes_take_each_part_of_every_step_once(dataset):
    pairs = dataset.of("train")
    for batch_by in ("channel", "pair"):
        layouts = [Layout(batch_by, 5, 0.0, 1, Worker(rank, world)) for rank, world in ((0, 1), (0, 2), (1, 2))]
        device = torch.device("cpu")
        target = pairs.outcome.astype(np.float32)
        whole, *parts = (Steps(pairs, target, layout, device, weighted=True).epoch(3) for layout in layouts)
        for number in range(len(parts[0])):
            one, two = (part.step(number) for part in parts)
            full = whole.step(number)
            assert one.share + two.share == pytest.approx(1)
            assert sorted(torch.cat([one.items, two.items]).tolist()) == sorted(full.items.tolist())
            assert float(one.weight.sum() + two.weight.sum()) == pytest.approx(1, abs=1e-5)


def test_every_pair_of_an_epoch_is_met_once_and_by_its_own_items(dataset):
    pairs = dataset.of("train")
    wanted = sorted(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True))
    for batch_by in ("channel", "pair"):
        steps = Steps(
            pairs, pairs.outcome.astype(np.float32), Layout(batch_by, 7, 0.0, 0), torch.device("cpu"), weighted=True
        )
        met = []
        for number in range(steps.per_epoch):
            step = steps.epoch(0).step(number)
            met += zip(step.items[step.a].tolist(), step.items[step.b].tolist(), strict=True)
        assert sorted(met) == wanted


def test_dropout_keeps_the_share_and_the_mean_and_repeats_with_its_generator():
    layer, ones = Dropout(0.3).train(), torch.ones(1001, 97)
    torch.manual_seed(1)
    first = layer(ones)
    torch.manual_seed(1)
    assert torch.equal(first, layer(ones))
    assert float((first == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(first.mean()) == pytest.approx(1, abs=0.01)
    assert torch.equal(layer.eval()(ones), ones)


def test_only_the_sub_score_heads_differ_between_signals(dataset):
    without = train(dataclasses.replace(dataset, signals=None), SHORT).model.state_dict()
    found = train(dataset, SHORT)
    for name, tensor in found.model.state_dict().items():
        assert torch.equal(tensor, without[name]) is not name.startswith("sub_scores."), name
    assert found.sub_scores is not None
    assert set(found.sub_scores.n.values()) == {int((dataset.items.split == 1).sum())}


def test_features_block_by_block_teach_the_heads_what_kept_ones_do(dataset, monkeypatch):
    monkeypatch.setattr(sub_scores, "MOST_KEPT", 0)
    monkeypatch.setattr(sub_scores, "BATCH", 16)
    monkeypatch.setattr(sub_scores, "BLOCK", 48)  # several blocks, the last one and its last batch smaller
    in_blocks, again = train(dataset, SHORT), train(dataset, SHORT)
    monkeypatch.setattr(sub_scores, "MOST_KEPT", 2**30)
    kept = train(dataset, SHORT)
    for name, tensor in in_blocks.model.state_dict().items():
        assert torch.allclose(tensor, kept.model.state_dict()[name], atol=1e-5), name
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    assert in_blocks.sub_scores == again.sub_scores
    assert in_blocks.sub_scores is not None and kept.sub_scores is not None
    assert in_blocks.sub_scores.agreement == pytest.approx(kept.sub_scores.agreement, abs=1e-3)


def test_a_loss_that_explodes_is_told_and_nothing_is_written(dataset, tmp_path):
    wild = SHORT.with_overrides({"learning_rate": 1e30, "gradient_clip": 1e30, "warmup_fraction": 0.0})
    with pytest.raises(TrainingError, match="A loss became infinite in epoch 0: lower the learning rate"):
        _pipeline(dataset, wild, checkpoints=tmp_path).train()
    assert list(tmp_path.iterdir()) == []


def test_scores_that_explode_in_the_last_step_are_told_before_they_are_recorded(dataset):
    wild = SHORT.with_overrides({"learning_rate": 1e30, "gradient_clip": 1e30, "warmup_fraction": 0.0})
    one_step = wild.with_overrides({"epochs": 1, "batch_size": 1000, "averaging": "none"})
    with pytest.raises(TrainingError, match="A score became infinite in epoch 0: lower the learning rate"):
        train(dataset, one_step)


def test_a_sample_of_training_channels_never_holds_ties_alone():
    data, _ = planted(n_channels=20)
    pairs = data.pairs
    trained_on = np.unique(pairs.channel[pairs.split == SPLITS.index("train")])
    pairs.outcome[np.isin(pairs.channel, trained_on[:-1])] = 0.5
    history = train(data, SHORT).history
    assert all(0 < record.train_auc < 1 for record in history)
    assert [EpochRecord.model_validate_json(record.model_dump_json()) for record in history] == history


def _nan(data):
    data.items.image[5, 3] = np.nan


def _missing(data):
    data.pairs.a[0] = len(data.items)


def _ties(data):
    data.pairs.outcome[:] = 0.5


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_nan, "The image vector of video000005 is zero or not finite"),
        (_missing, "Pair 0 names item 480, and there are vectors of 480"),
        (_ties, "train pairs are ties, so nothing says which thumbnail is better"),
    ],
)
def test_bad_data_is_one_sentence(spoil, says):
    data, _ = planted(n_channels=40)
    spoil(data)
    with pytest.raises(DatasetError, match=re.escape(says) if "(" in says else says):
        train(data, SHORT)


def test_one_channel_only_is_one_sentence():
    data, _ = planted(n_channels=1)
    with pytest.raises(DatasetError, match="The only channel with pairs is not a validation channel"):
        train(data, SHORT)


def test_the_score_of_a_shipped_model_is_that_of_its_rank(dataset):
    model = train(dataset, SHORT).model
    batch = Batch(torch.from_numpy(dataset.items.image[:9]), torch.from_numpy(dataset.items.text[:9]))
    with torch.inference_mode():
        assert torch.equal(model(batch).score, model.rank(batch))
