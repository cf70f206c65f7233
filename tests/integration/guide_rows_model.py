"""The rows of docs/guide.md about the model itself: its heads and losses, the phases, and the techniques it is trained with."""

import copy
import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from tests.integration.guide_rows import ROOT, row
from tests.integration.reaching import BACKFILLED, TWO_DAYS, log_in, stored, sync_one
from tests.unit.synthetic import planted
from tests.unit.test_gate import FLOORS, GOOD
from thumbrank_core.evaluation.floors import load_gate
from thumbrank_core.evaluation.gate import decide
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.features.specs import load_set
from thumbrank_core.labels.sizes import NEEDS, sizes
from thumbrank_core.model import losses
from thumbrank_core.model.bundle import load_bundle
from thumbrank_core.model.dropout import Dropout
from thumbrank_core.model.network import Batch, ThumbnailRankingModel
from thumbrank_core.model.tower import blocks_to_train
from thumbrank_core.training.averaging import Swa
from thumbrank_core.training.batches import TrainingStep
from thumbrank_core.training.dataset import OwnerRates
from thumbrank_core.training.objective import Objective
from thumbrank_core.training.ongoing import TrainingError
from thumbrank_core.training.pipeline import TrainingPipeline, new_model
from thumbrank_core.training.recipe import load_recipe
from thumbrank_core.training.targets import absolute_target

GUIDE = load_recipe("guide")
SMALL = {"epochs": 4, "hidden_dim": 8}
[ABLATION] = (ROOT / "benchmarks" / "results").glob("recipes-ablation-*.json")


def guide_model():
    """The guide's own, in evaluation mode."""
    torch.manual_seed(0)
    return ThumbnailRankingModel().eval()


def batch(n=7):
    torch.manual_seed(1)
    return Batch(torch.randn(n, 768), torch.randn(n, 384))


def begun(**changed):
    """A training of recipe `guide` that has not taken a step."""
    data, _ = planted(n_channels=20, videos=6)
    recipe = load_recipe("guide", SMALL | changed)
    return TrainingPipeline(new_model(data, recipe), recipe=recipe, data=data).begun()


def layers(module):
    """What a head is made of, as the guide writes it; Dropout with its rate."""
    told = []
    for layer in module:
        if isinstance(layer, nn.Linear):
            told.append(f"Linear({layer.in_features} → {layer.out_features})")
        elif isinstance(layer, Dropout | nn.Dropout):
            told.append(f"Dropout({layer.p:g})")
        else:
            told.append(type(layer).__name__.removesuffix("1d"))
    return " → ".join(told)


# The three heads of the architecture


@row("A.7")
def first_head():
    assert guide_model()(batch()).score.shape == (7,)
    assert GUIDE.pair_loss == "margin"
    assert load_recipe("default").pair_loss == "logistic"


@row("A.8")
def second_head():
    assert guide_model()(batch()).engagement_logit.shape == (7,)
    assert GUIDE.engagement_loss == "mse"
    data, _ = planted(n_channels=20)
    target, owner = absolute_target(data, GUIDE)
    learnt = target[np.isfinite(target)]
    assert owner is None and 0 < learnt.min() < learnt.max() < 1, "a percentile"
    rates = OwnerRates(np.array([3, 5]), np.array([0.04, 0.09]), np.array([900.0, 800.0]))
    target, owner = absolute_target(replace(data, owners={"UC" + "o" * 22: rates}), GUIDE)
    assert owner == "UC" + "o" * 22
    assert target[[3, 5]].tolist() == pytest.approx([0.04, 0.09]) and np.isfinite(target).sum() == 2


@row("A.9")
def third_heads():
    assert guide_model()(batch()).sub_score_logits.shape == (7, 6)


# Phases


def targets(phase):
    floors = load_gate().of(phase)
    return floors.pair_auc_pooled, floors.spearman_within_channel


def told(row):
    """The two numbers of "AUC ≥0.65, Correlation >0.3"."""
    return tuple(float(number) for number in re.findall(r"0\.\d+", row.quotes[0]))


def pairs_asked(phase):
    [need] = [need for need in NEEDS if need.stage == f"phase {phase}" and need.unit == "pairs"]
    return need.needed


@row("F1.1")
def phase_1_model():
    model = ThumbnailRankingModel(freeze_clip=True, fine_tune_blocks=0)
    assert model.tower is None
    for name in ("default", "guide"):
        recipe = load_recipe(name)
        assert (recipe.freeze_clip, recipe.fine_tune_blocks) == (True, 0)


@row("F1.2", "F2.3", "F3.2")
def phase_targets(row):
    assert targets(int(row.id[1])) == told(row)


@row("F1.3", "F2.4", "F3.3")
def phase_time(row):
    """Nothing is claimed: no figure of ours stands in the row."""
    assert not re.search(r"\d (h|hours|minutes)\b", row.here)
    assert row.verdict.startswith("different")


@row("F1.4", "F2.5", "F3.4")
def phase_data(row):
    thousands = int(re.findall(r"(\d+)k", row.guide)[0])
    assert pairs_asked(int(row.id[1])) == thousands * 1_000
    assert f"{thousands},000" in row.here


@row("F2.1")
def phase_2_model():
    model = ThumbnailRankingModel(freeze_clip=False, fine_tune_blocks=4)
    pipeline = TrainingPipeline(model)
    assert (pipeline.recipe.freeze_clip, pipeline.recipe.fine_tune_blocks) == (False, 4)
    recipe = load_recipe("phase2", {"fine_tune_blocks": 4})
    assert (recipe.freeze_clip, recipe.fine_tune_blocks) == (False, 4)
    assert blocks_to_train(24, 4) == (4, None), "of ViT-L/14"


@row("F2.2")
def phase_2_training(house, tmp_path):
    assert load_recipe("phase2").fine_tune_blocks == 2
    small = ["--epochs", 1, "--set", "hidden_dim=8"]
    done = house.train("--recipe", "phase2", *small, home=tmp_path)
    assert done.exit_code == 0, done.output
    [folder] = [path.parent for path in (tmp_path / "models").glob("*/bundle.json")]
    bundle = load_bundle(folder)
    assert bundle.card.tuned_encoder == "encoder"
    assert (folder / "encoder" / "model.safetensors").is_file()
    assert bundle.card.image_encoder != house.card.image_encoder
    with house.db.connection() as connection:
        stored = connection.execute(
            "select count(*) from thumbrank.embeddings join thumbrank.encoders using (encoder_key) where encoder_id = %s",
            (bundle.card.image_encoder,),
        ).fetchone()
    assert stored[0] == bundle.card.n_items


@row("F2.6")
def phase_2_ctr():
    def reached(**changed):
        verdict = decide(replace(GOOD, **changed), FLOORS, None)
        [asked] = [one for one in verdict.conditions if one.name == "reaches ctr_rank_correlation"]
        return asked.passed

    assert reached(phase=1), "phase 1 does without"
    assert not reached(phase=2)
    assert reached(phase=2, ctr_correlations=(0.4, 0.5))
    assert not reached(phase=2, ctr_correlations=(0.4, 0.39)), "each owner alone"


@row("F3.1")
def phase_3_model():
    assert ThumbnailRankingModel(freeze_clip=False, fine_tune_blocks=12).fine_tune_blocks == 12
    assert load_recipe("phase3").fine_tune_blocks == "all"
    trained, warning = blocks_to_train(24, 12)
    assert trained == 12 and warning is not None and "half of them and not the entire CLIP" in warning
    assert blocks_to_train(24, "all") == (24, None)


@row("F3.5")
def phase_3_ctr(reach, google, reach_db, owned_world):
    owner = owned_world.channels[0].id
    log_in(reach, owner)
    google.clock.advance(TWO_DAYS)
    assert sync_one(reach).days == BACKFILLED
    assert {row[:2] for row in stored(reach_db)} == {(owner, "reporting_api")}
    with reach_db.connection() as connection:
        asked = {(size.need.stage, size.need.unit): size for size in sizes(connection)}
    there = asked["phase 3", "videos with real CTR"]
    assert there.have > 0 == there.short


# The network


@row("M.1")
def image_vector():
    image = load_set("production").image
    assert (image.model, image.dimension) == ("openai/clip-vit-large-patch14", 768)
    assert image.revision is not None and re.fullmatch("[0-9a-f]{40}", image.revision)


@row("M.2")
def title_vector():
    title = load_set("production").title
    assert (title.model, title.dimension) == ("sentence-transformers/all-MiniLM-L6-v2", 384)
    assert title.revision is not None and re.fullmatch("[0-9a-f]{40}", title.revision)


@row("M.3")
def projection():
    model = guide_model()
    assert layers(model.trunk) == "Linear(1152 → 512)"
    assert model.features(batch()).shape == (7, 512)
    image, title = batch()
    assert torch.allclose(model.rank(Batch(image * 9, title / 9)), model.rank(Batch(image, title)), atol=1e-5)


@row("M.4")
def ranking_input():
    model = guide_model()
    assert model.ranking[0].in_features == 512
    image, title = batch(2)
    both = model.rank(Batch(image, title))
    turned = model.rank(Batch(image.flip(0), title.flip(0)))
    assert torch.allclose(both[0] - both[1], -(turned[0] - turned[1]), atol=1e-6)


@row("M.5")
def ranking_layers(row):
    assert layers(guide_model().ranking) == " → ".join(row.quotes)


@row("M.6")
def ranking_output():
    model = guide_model()
    with torch.inference_mode():
        score_a, score_b = model(batch(2)).score
        assert torch.equal(torch.stack([score_a, score_b]), model.rank(batch(2)))


@row("M.7")
def margin_loss():
    assert (GUIDE.pair_loss, GUIDE.margin) == ("margin", 0.1)
    torch.manual_seed(2)
    a, b, won = torch.randn(50), torch.randn(50), torch.randint(0, 2, (50,)).float()
    ours = losses.pair_margin(a - b, won, torch.full((50,), 1 / 50), GUIDE.margin)
    assert torch.allclose(ours, nn.MarginRankingLoss(margin=0.1)(a, b, 2 * won - 1))


@row("M.8")
def absolute_layers(row):
    _, *guides = row.quotes
    assert layers(guide_model().engagement) == " → ".join(guides).removesuffix(" → Sigmoid")


@row("M.9")
def absolute_output(house):
    session = onnxruntime.InferenceSession(str(house.folder / "model.onnx"), providers=["CPUExecutionProvider"])
    widths = house.card.network
    generator = np.random.default_rng(0)
    vectors = {
        name: generator.normal(size=(50, width)).astype(np.float32)
        for name, width in (("image", widths.clip_dim), ("title", widths.text_dim))
    }
    [engagement] = session.run(["engagement"], vectors)
    assert isinstance(engagement, np.ndarray)
    assert engagement.shape == (50,) and 0 <= engagement.min() < engagement.max() <= 1
    assert house.card.owner_rates is False, "nobody's real rates trained it"


@row("M.10")
def absolute_loss():
    assert (GUIDE.engagement_loss, GUIDE.label_smoothing) == ("mse", 0.15)
    logit, target = torch.tensor([0.3, -2.0]), torch.tensor([0.9, 0.2])
    step = TrainingStep(torch.arange(2), torch.tensor([0]), torch.tensor([1]), torch.ones(1), torch.ones(1), 1.0, 1.0)
    output = guide_model()(batch(2))._replace(engagement_logit=logit)
    found = Objective(GUIDE, target).losses(output, step)[1]
    assert torch.allclose(found, nn.MSELoss()(torch.sigmoid(logit), target * 0.85 + 0.5 * 0.15))


@row("M.11")
def sub_score_layers():
    heads = guide_model().sub_scores
    features = torch.randn(5, 512)
    assert (heads.first.in_features, heads.first.out_features, heads.weight.shape) == (512, 6 * 256, (6, 256))
    assert heads.dropout.p == 0.1
    together = heads(features)
    for number in range(6):
        first, last = nn.Linear(512, 256), nn.Linear(256, 1)
        one = slice(number * 256, (number + 1) * 256)
        with torch.no_grad():
            first.weight.copy_(heads.first.weight[one])
            first.bias.copy_(heads.first.bias[one])
            last.weight.copy_(heads.weight[number : number + 1])
            last.bias.copy_(heads.bias[number : number + 1])
        assert torch.allclose(last(torch.relu(first(features))).squeeze(1), together[:, number], atol=1e-5)


@row("M.12")
def sub_score_names(row, house):
    guides = row.quotes[0].removeprefix("Output: ").split(", ")
    assert set(guides) == set(SIGNALS) and len(SIGNALS) == 6
    assert SIGNALS[1:3] == ("contrast", "prominence")
    vectors = [np.ones((3, width), np.float32) for width in (house.card.network.clip_dim, house.card.network.text_dim)]
    found = load_bundle(house.folder).sub_scores(*vectors)
    assert found.shape == (3, 6) and 0 < found.min() <= found.max() < 1


@row("M.13")
def sub_score_loss():
    assert (GUIDE.sub_scores, load_recipe("default").sub_scores) == ("engagement", "signals")
    logits, target = torch.randn(2, 6), torch.tensor([0.9, 0.2])
    step = TrainingStep(torch.arange(2), torch.tensor([0]), torch.tensor([1]), torch.ones(1), torch.ones(1), 1.0, 1.0)
    output = guide_model()(batch(2))._replace(sub_score_logits=logits)
    found = Objective(GUIDE, target).losses(output, step)[2]
    assert torch.allclose(found, nn.MSELoss()(torch.sigmoid(logits), target[:, None].expand(2, 6)))


# Techniques


@row("O.1")
def label_smoothing():
    assert GUIDE.label_smoothing == 0.15
    target = torch.rand(20)
    assert torch.equal(losses.smoothed(target, 0.15), target * (1 - 0.15) + 0.5 * 0.15)


@row("O.2")
def smoothed_values():
    assert losses.smoothed(torch.tensor([0.0, 1.0]), 0.15).tolist() == pytest.approx([0.075, 0.925])


@row("O.3")
def mixup_draws():
    run = begun(batch_size=1)
    assert run.recipe.mixup_alpha == 0.3
    plans = [run.steps.epoch(number) for number in range(8)]
    drawn = np.array([plan.step(number).mix for plan in plans for number in range(len(plan))])
    again = run.steps.epoch(0)
    assert [again.step(number).mix for number in range(len(again))] == drawn[: len(again)].tolist()
    # Beta(0.3, 0.3): mean 1/2, variance 1 / (4 * (2 * 0.3 + 1)).
    assert len(drawn) > 1_000
    assert drawn.mean() == pytest.approx(0.5, abs=0.05)
    assert drawn.var() == pytest.approx(1 / (4 * 1.6), abs=0.01)


@row("O.4")
def mixup_formula():
    lam, image, title = 0.3, torch.randn(4, 5), torch.randn(4, 3)
    step = TrainingStep(
        torch.arange(4), torch.tensor([0, 1]), torch.tensor([2, 3]), torch.ones(2), torch.ones(2) / 2, lam, 1.0
    )
    mixed = Objective(GUIDE, torch.rand(4)).inputs(Batch(image, title), step)
    assert isinstance(mixed, Batch)
    for before, after in ((image, mixed.image), (title, mixed.title)):
        a, b = before[:2], before[2:]
        assert torch.allclose(after, torch.cat([lam * a + (1 - lam) * b, b]))


@row("O.5")
def swa_average():
    assert (GUIDE.averaging, GUIDE.swa_start, GUIDE.epochs) == ("swa", 150, 200)
    assert (GUIDE.averages_from, GUIDE.with_overrides({"epochs": 100}).averages_from) == (150, 75)
    model: Any = nn.Linear(1, 1, bias=False)
    ours, theirs = Swa(model, 150), AveragedModel(model)
    for epoch in range(200):
        with torch.no_grad():
            model.weight.fill_(float(epoch))
        ours.after_epoch(epoch)
        if epoch >= 150:
            theirs.update_parameters(model)
    mean = ours.model.state_dict()["weight"]
    assert mean.item() == pytest.approx(np.mean(range(150, 200)))
    assert torch.equal(mean, theirs.module.state_dict()["weight"])


@row("O.6")
def swa_batch_norm():
    run = begun()
    for _ in range(4):
        run.model.train()
        plan = run.steps.epoch(run.epoch)
        for number in range(len(plan)):
            run.take(plan.step(number))
        run.averaging.after_epoch(run.epoch)
        run.epoch += 1
    averaged, training = copy.deepcopy(run.averaging.model), run.dataset.items_of("train")
    run.averaging.finish(run._training_batches)
    assert isinstance(averaged.engagement, nn.Sequential)
    assert isinstance(run.averaging.model.engagement, nn.Sequential)
    first = run.averaging.model.engagement[2]
    assert isinstance(first, nn.BatchNorm1d)
    assert first.running_mean is not None and first.running_var is not None
    data = run.dataset.items
    with torch.no_grad():
        items = Batch(torch.from_numpy(data.image[training]), torch.from_numpy(data.text[training]))
        seen = averaged.engagement[:2](averaged.features(items))
    assert torch.allclose(first.running_mean, seen.mean(0), atol=1e-5)
    assert torch.allclose(first.running_var, seen.var(0), atol=1e-4)


def gradient_norm(parameters):
    """Of all of them together."""
    return torch.cat([parameter.grad.flatten() for parameter in parameters]).norm().item()


@row("O.7")
def gradient_clipping():
    for name in ("default", "guide", "phase2", "phase3"):
        assert load_recipe(name).gradient_clip == 1.0
    norms = []
    for most in (1e9, 1.0, 0.05):
        run = begun(gradient_clip=most, engagement_weight=100.0)
        seen = []
        run.optimiser.register_step_pre_hook(lambda *_, run=run, seen=seen: seen.append(gradient_norm(run.parameters)))
        run.take(run.steps.epoch(0).step(0))
        norms += seen
    assert norms[0] > 1.0
    assert norms[1:] == pytest.approx([1.0, 0.05], rel=1e-4)


def measured(change):
    """(difference of pair accuracy, low, high) of one change of the benchmark of recipes."""
    [one] = [entry for entry in json.loads(ABLATION.read_text())["rows"] if entry["change"] == change]
    return [one[name] for name in ("difference", "low", "high")]


def shown(text):
    """Every "-0.002 (-0.006 to 0.002)" of a cell."""
    figure = r"([+-]?0\.\d+)"
    return [[float(n) for n in found] for found in re.findall(rf"{figure} \({figure} to {figure}\)", text)]


def rounded(figures):
    return [math.copysign(round(abs(figure) + 1e-9, 3), figure) for figure in figures]


@row("O.8")
def benefit_of_smoothing(row):
    assert shown(row.here) == [rounded(measured("pair smoothing 0.1"))]


@row("O.9")
def benefit_of_mixup(row):
    assert shown(row.here) == [rounded(measured("mixup, against by pair without it"))]


@row("O.10")
def benefit_of_averaging(row):
    lost, low, high = measured("average: none")
    assert shown(row.here) == [rounded([-lost, -high, -low]), rounded(measured("average: SWA, no patience"))]
    assert load_recipe("default").averaging == "ema"


@row("O.11")
def benefit_of_clipping(tmp_path):
    data, _ = planted(n_channels=20)
    wild = load_recipe("guide", SMALL | {"learning_rate": 1e30, "gradient_clip": 1e30})
    pipeline = TrainingPipeline(new_model(data, wild), recipe=wild, data=data, checkpoints=tmp_path)
    with pytest.raises(TrainingError, match="became infinite in epoch 0: lower the learning rate"):
        pipeline.train()
    assert list(tmp_path.iterdir()) == []
