"""The network, the loop and the bundle on a planted signal: what must be learnt, what must not, and what must repeat."""

import json

import numpy as np
import pytest
import torch

from tests.unit.synthetic import planted, train
from thumbrank_core.evaluation.evaluate import EvaluationError, evaluate
from thumbrank_core.evaluation.figures import CEILING
from thumbrank_core.evaluation.truth import Truth
from thumbrank_core.features.specs import load_set
from thumbrank_core.metrics import pair_accuracy_micro
from thumbrank_core.model.bundle import BundleError, load_bundle
from thumbrank_core.model.losses import pair_logistic
from thumbrank_core.model.network import Batch, ThumbnailRankingModel
from thumbrank_core.training.dataset import DatasetError
from thumbrank_core.training.recipe import RecipeError, load_recipe
from thumbrank_core.training.run import mark_of, train_bundle
from thumbrank_core.training.targets import engagement_percentile

ENCODERS = load_set("tiny")
RECIPE = load_recipe("default", {"epochs": 12, "hidden_dim": 64})


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    dataset, truth = planted()
    run = train_bundle(dataset, RECIPE, ENCODERS, tmp_path_factory.mktemp("models"))
    assert run is not None
    return dataset, truth, run, load_bundle(run.folder)


def test_a_planted_signal_is_learnt_on_channels_never_seen(learnt):
    dataset, truth, _, bundle = learnt
    found = evaluate(dataset, bundle, Truth(effects=truth, growth={})).unseen.scorers
    accuracy = {name: scored.metrics["pair_accuracy_micro"] for name, scored in found.items()}
    assert accuracy["model"].low > 0.55
    assert accuracy["model"].value > accuracy["ridge on title"].high
    assert accuracy["model"].value > 0.5 + 0.6 * (accuracy[CEILING].value - 0.5)
    for name in ("coin", "newer wins", "title length"):
        assert accuracy[name].value < accuracy["model"].low


def test_without_an_effect_nothing_is_learnt(tmp_path):
    accuracies = []
    for seed in range(5):
        dataset, _ = planted(effect=0.0, seed=seed, n_channels=100)
        model = train(dataset, RECIPE).model
        test = dataset.of("test")
        with torch.inference_mode():
            score = model(
                Batch(torch.from_numpy(dataset.items.image), torch.from_numpy(dataset.items.text))
            ).score.numpy()
        accuracies.append(pair_accuracy_micro(score[test.a] - score[test.b], test.outcome))
    assert abs(np.mean(accuracies) - 0.5) < 0.03


def test_a_pair_turned_round_has_the_opposite_difference(learnt):
    dataset, _, _, bundle = learnt
    score = bundle.score(dataset.items.image, dataset.items.text)
    test = dataset.of("test")
    assert np.array_equal(score[test.a] - score[test.b], -(score[test.b] - score[test.a]))


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not():
    dataset, _ = planted(n_channels=40)
    short = RECIPE.model_copy(update={"epochs": 2})
    first, second = train(dataset, short).model.state_dict(), train(dataset, short).model.state_dict()
    other = train(dataset, short.model_copy(update={"seed": 1})).model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_test_channels_cannot_move_the_weights():
    dataset, _ = planted(n_channels=40)
    short = RECIPE.model_copy(update={"epochs": 2})
    before = train(dataset, short).model.state_dict()
    hidden = dataset.items.split == 2
    dataset.items.image[hidden] = 1e3
    dataset.items.value[hidden] = 1.0
    after = train(dataset, short).model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_length_of_a_vector_does_not_matter():
    model = ThumbnailRankingModel(8, 4, hidden_dim=16).eval()
    image, title = torch.randn(5, 8), torch.randn(5, 4)
    assert torch.allclose(model(Batch(image, title)).score, model(Batch(image * 7, title * 0.1)).score, atol=1e-5)


def test_pair_logistic_is_log_2_when_nothing_is_known_and_ties_want_no_difference():
    zero, one = torch.zeros(3), torch.ones(3) / 3
    assert pair_logistic(zero, torch.tensor([0.0, 1.0, 0.5]), one).item() == pytest.approx(np.log(2))
    tie = torch.tensor([0.5])
    assert pair_logistic(torch.tensor([2.0]), tie, torch.ones(1)) > pair_logistic(torch.zeros(1), tie, torch.ones(1))


def test_pair_logistic_weighs_by_channel_and_not_by_pair():
    difference, outcome = torch.tensor([3.0, -3.0, -3.0]), torch.ones(3)
    even = pair_logistic(difference, outcome, torch.tensor([1.0, 0.5, 0.5]) / 2)
    assert even.item() == pytest.approx((0.04859 + 3.04859) / 2, abs=1e-4)


def test_the_engagement_percentile_is_within_the_channel():
    found = engagement_percentile(np.array([10.0, 30.0, 20.0, 1e6]), np.array([0, 0, 0, 1]))
    assert found == pytest.approx([1 / 6, 5 / 6, 1 / 2, 1 / 2])


def test_nothing_is_trained_when_nothing_changed(learnt):
    dataset, _, run, _ = learnt
    again = train_bundle(dataset, RECIPE, ENCODERS, run.folder.parent)
    assert again is not None
    assert (again.trained, again.folder) == (False, run.folder)


def test_data_recipe_and_encoders_each_change_the_fingerprint():
    dataset, _ = planted(n_channels=20)
    others = load_set("production").settled("float32", "float32")
    marks = {mark_of(dataset, RECIPE, ENCODERS), mark_of(dataset, RECIPE, others)}
    marks.add(mark_of(dataset, RECIPE.model_copy(update={"seed": 9}), ENCODERS))
    dataset.pairs.outcome[0] = 1 - dataset.pairs.outcome[0]
    marks.add(mark_of(dataset, RECIPE, ENCODERS))
    assert len({mark.fingerprint for mark in marks}) == len({mark.name for mark in marks}) == 4
    assert len({mark.data_sha256 for mark in marks}) == 2


def test_a_bundle_without_its_weights_says_what_it_misses(learnt, tmp_path):
    _, _, run, _ = learnt
    (tmp_path / "bundle.json").write_bytes((run.folder / "bundle.json").read_bytes())
    with pytest.raises(
        BundleError, match=r"has a bundle\.json and no model\.safetensors: restore that file, or train again\."
    ):
        load_bundle(tmp_path)


def test_a_bundle_whose_weights_were_changed_is_refused(learnt, tmp_path):
    _, _, run, _ = learnt
    for name in ("model.safetensors", "bundle.json"):
        (tmp_path / name).write_bytes((run.folder / name).read_bytes())
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(BundleError, match="sha256 differs"):
        load_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(BundleError, match="not a bundle of this version"):
        load_bundle(tmp_path)
    with pytest.raises(BundleError, match=r"holds no bundle\.json"):
        load_bundle(tmp_path / "absent")


def test_vectors_of_another_encoder_are_refused(learnt):
    _, _, _, bundle = learnt
    with pytest.raises(BundleError, match="encode with the set it names"):
        bundle.score(np.zeros((2, 768), np.float32), np.zeros((2, 384), np.float32))


def test_a_bundle_normalises_its_input_itself(learnt):
    dataset, _, _, bundle = learnt
    image, text = dataset.items.image, dataset.items.text
    assert bundle.score(30 * image, 0.01 * text) == pytest.approx(bundle.score(image, text), abs=1e-5)


@pytest.mark.parametrize("broken", [0.0, np.nan, np.inf])
def test_a_row_that_is_no_vector_is_refused_by_its_number(learnt, broken):
    dataset, _, _, bundle = learnt
    image = dataset.items.image.copy()
    image[[3, 5]] = broken
    with pytest.raises(BundleError, match=r"image vector of row 3 \(2 in all\) is zero or not finite"):
        bundle.score(image, dataset.items.text)
    with pytest.raises(BundleError, match="a video has one of each"):
        bundle.score(dataset.items.image[:2], dataset.items.text)


def test_too_few_channels_are_named_before_anything_runs():
    dataset, _ = planted(n_channels=7)  # none validates, none tests
    with pytest.raises(DatasetError, match="validation channel"):
        train(dataset, RECIPE)


def test_an_evaluation_without_test_channels_is_refused(learnt):
    _, _, _, bundle = learnt
    dataset, _ = planted(n_channels=8)
    with pytest.raises(EvaluationError, match="test channels"):
        evaluate(dataset, bundle)


@pytest.mark.parametrize(
    ("name", "overrides", "says"),
    [
        ("nosuch", {}, "use one of default, guide"),
        ("../policy", {}, "is not a recipe"),
        ("default", {"epochs": 0}, "epochs is wrong"),
        ("default", {"epoch": 3}, "a recipe has no field epoch: did you mean epochs"),
    ],
)
def test_a_wrong_recipe_is_one_sentence_with_the_field(name, overrides, says):
    with pytest.raises(RecipeError, match=says):
        load_recipe(name, overrides)
