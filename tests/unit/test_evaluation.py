"""Figures, reference models, slices and probabilities, on planted worlds whose truth is known."""

import dataclasses

import numpy as np
import pytest

from tests.unit.synthetic import planted, train
from thumbrank_core.assessment import Rival, champion_of, gate_inputs
from thumbrank_core.evaluation.calibration import BINS, calibrate, cover
from thumbrank_core.evaluation.evaluate import digest_of, evaluate, measure
from thumbrank_core.evaluation.figures import CHAMPION, METRICS, MODEL
from thumbrank_core.evaluation.leak_alarm import id_memoriser, leak_alarm
from thumbrank_core.evaluation.learnt import Learnt, learnt_pairs
from thumbrank_core.evaluation.linear import Linear
from thumbrank_core.evaluation.owners import owner_figures
from thumbrank_core.evaluation.references import SHUFFLED, publish_hour, reference_scores, shuffled, title_capitals
from thumbrank_core.evaluation.slices import BY, slices_of
from thumbrank_core.evaluation.truth import Truth
from thumbrank_core.features.specs import load_set
from thumbrank_core.metrics import pair_accuracy_micro
from thumbrank_core.model.bundle import load_bundle
from thumbrank_core.registry import Version
from thumbrank_core.training.dataset import DatasetError, OwnerRates, Traits
from thumbrank_core.training.recipe import load_recipe
from thumbrank_core.training.run import train_bundle
from thumbrank_core.training.temperature import fit_temperature

CUT_DAY = 40


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A small model of a world with a time cut, signals and traits, evaluated beside itself as the champion."""
    dataset, truth = planted(n_channels=100, cut_day=CUT_DAY)
    rng = np.random.default_rng(0)
    n = len(dataset.items)
    signals = rng.normal(size=(n, 6)).astype(np.float32)
    signals[::7, 5] = np.nan
    traits = Traits(
        rng.uniform(60, 3000, n),
        (rng.random(n) < 0.8).astype(np.float64),
        np.where(rng.random(n) < 0.1, np.nan, 0.0),
        np.full(100, 5e4),
    )
    dataset = dataclasses.replace(dataset, signals=signals, traits=traits)
    recipe = load_recipe("default", {"epochs": 6, "hidden_dim": 32})
    run = train_bundle(dataset, recipe, load_set("tiny"), tmp_path_factory.mktemp("models"))
    assert run is not None
    bundle = load_bundle(run.folder)
    champion = bundle.score(dataset.items.image, dataset.items.text)
    return dataset, bundle, evaluate(dataset, bundle, Truth(effects=truth, growth={}), champion)


def test_every_scorer_has_every_metric_with_its_interval_in_every_set(judged):
    _, _, found = judged
    for measured in (found.unseen, found.later, found.seen_later):
        for scored in measured.scorers.values():
            assert tuple(scored.metrics) == METRICS
            for metric in scored.metrics.values():
                assert metric.low <= metric.value <= metric.high or not np.isfinite(metric.value)
    assert found.unseen.n_channels == 20
    assert found.too_few_channels


def test_later_pairs_are_after_the_cut_and_training_pairs_before_it(judged):
    dataset, _, found = judged
    cut = 1.7e9 + CUT_DAY * 86_400
    published = dataset.items.published
    for split in ("train", "validation"):
        pairs = dataset.of(split)
        assert max(published[pairs.a].max(), published[pairs.b].max()) < cut
    later = dataset.later("test")
    assert min(published[later.a].min(), published[later.b].min()) >= cut
    assert found.later.n_pairs == len(later) > 0
    assert found.seen_later.n_pairs == len(dataset.later("train"))
    assert not set(dataset.later("train").channel) & set(dataset.of("test").channel)
    later_cut = dataset.later("test", since=cut + 10 * 86_400)
    assert 0 < len(later_cut) < len(later)
    assert min(published[later_cut.a].min(), published[later_cut.b].min()) >= cut + 10 * 86_400


def test_validation_channels_without_earlier_pairs_select_by_later_ones_and_it_is_noted():
    dataset, _ = planted(n_channels=30, cut_day=CUT_DAY)
    young = dataset.pairs.split == 1
    dataset.pairs.period[young] = 2
    assert len(dataset.of("validation")) == young.sum() > 0
    trained = train(dataset, load_recipe("default", {"epochs": 1, "hidden_dim": 8}))
    assert any("chosen by later ones" in note for note in trained.notes)


def test_what_comes_after_the_cut_moves_no_training_target():
    from thumbrank_core.training.targets import absolute_target

    dataset, _ = planted(n_channels=30, cut_day=CUT_DAY)
    recipe = load_recipe("default")
    before, _ = absolute_target(dataset, recipe)
    dataset.items.value[dataset.items.published >= 1.7e9 + CUT_DAY * 86_400] *= 1000
    after, _ = absolute_target(dataset, recipe)
    assert np.array_equal(before, after, equal_nan=True)


def test_a_champion_that_is_the_model_leads_by_nothing_in_every_slice(judged):
    _, _, found = judged
    gap = found.later.scorers[CHAMPION].above_model
    assert (gap.value, gap.low, gap.high) == (0, 0, 0)
    assert found.later_slices
    assert {(part.lead.value, part.lead.low, part.lead.high) for part in found.later_slices} == {(0.0, 0.0, 0.0)}


def test_slices_of_one_kind_take_the_pairs_apart_without_remainder(judged):
    dataset, _, found = judged
    for by in BY:
        parts = [part for part in found.slices if part.by == by]
        assert sum(part.n_pairs for part in parts) == found.unseen.n_pairs, by
        assert all(part.accuracy[MODEL].low <= part.accuracy[MODEL].value for part in parts if part.n_channels > 1)
    without = slices_of(dataclasses.replace(dataset, traits=None), found.scores, found.test)
    assert {part.by for part in without} == {"niche", "age gap", "margin", "channel's videos"}


def test_the_test_set_is_known_by_its_pairs_and_who_won_them_in_any_order(judged):
    dataset, _, found = judged
    later = dataset.later("test")
    assert found.test_set == digest_of(dataset, later)
    turned = later.take(np.ones(len(later), bool))
    backwards = dataclasses.replace(
        turned, **{name: getattr(turned, name)[::-1] for name in turned.__dataclass_fields__}
    )
    assert digest_of(dataset, backwards) == found.test_set
    other = dataclasses.replace(later, outcome=1 - later.outcome)
    assert digest_of(dataset, other) != found.test_set
    assert digest_of(dataset, later.take(np.arange(len(later)) > 0)) != found.test_set


def linear_gaussian(rho, n_channels=150, videos=40, seed=0):
    """Score and label of planted correlation inside channels, as a data set with no vectors that mean anything."""
    dataset, _ = planted(0.0, n_channels=n_channels, videos=videos, seed=seed)
    rng = np.random.default_rng(seed)
    n = len(dataset.items)
    score = rng.normal(size=n)
    level = rng.normal(size=n_channels)[dataset.items.channel] * 3
    label = np.exp(rho * score + np.sqrt(1 - rho**2) * rng.normal(size=n) + level)
    pairs = dataset.pairs
    return (
        dataclasses.replace(
            dataset,
            items=dataclasses.replace(dataset.items, value=label),
            pairs=dataclasses.replace(pairs, outcome=(label[pairs.a] > label[pairs.b]).astype(float)),
        ),
        score,
    )


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.4, 0.6])
def test_accuracy_on_a_linear_gaussian_world_is_the_closed_form(rho):
    dataset, score = linear_gaussian(rho)
    found = measure(
        "unseen", dataset, {MODEL: score, "coin": np.random.default_rng(9).random(len(score))}, {}, dataset.of("test")
    )
    truth = 0.5 + np.arcsin(rho) / np.pi
    accuracy = found.scorers[MODEL].metrics["pair_accuracy_micro"]
    assert accuracy.low <= truth <= accuracy.high
    assert accuracy.value == pytest.approx(truth, abs=0.02)
    spearman = found.scorers[MODEL].metrics["spearman_within_channel"]
    assert spearman.value == pytest.approx(6 / np.pi * np.arcsin(rho / 2), abs=0.04)
    kendall = found.scorers[MODEL].metrics["kendall_within_channel"]
    assert kendall.value == pytest.approx(2 / np.pi * np.arcsin(rho), abs=0.04)
    coin = found.scorers["coin"].metrics
    assert coin["pair_accuracy_micro"].low <= 0.5 <= coin["pair_accuracy_micro"].high
    assert coin["top_1_of_3"].low <= 1 / 3 <= coin["top_1_of_3"].high


def test_shuffled_labels_give_one_half_whatever_the_model():
    dataset, score = linear_gaussian(0.6)
    dealt = shuffled(dataset, score)
    for channel in (0, 7):
        inside = dataset.items.channel == channel
        assert sorted(dealt[inside]) == sorted(score[inside])
    found = measure("unseen", dataset, {MODEL: score, SHUFFLED: dealt}, {SHUFFLED: dealt}, dataset.of("test"))
    accuracy = found.scorers[SHUFFLED].metrics["pair_accuracy_micro"]
    assert accuracy.low <= 0.5 <= accuracy.high
    assert found.scorers[MODEL].metrics["pair_accuracy_micro"].low > 0.65


def test_ridge_equals_ridge_on_the_differences_formed():
    dataset, _ = planted(n_channels=30, videos=6)
    score = Linear(Learnt(dataset)).image()
    training = dataset.of("train")
    x = dataset.items.image.astype(float)
    learnt = np.unique(np.concatenate([training.a, training.b]))
    x = (x - x[learnt].mean(axis=0)) / x[learnt].std(axis=0)
    d = x[training.a] - x[training.b]
    normal, target = (d * training.weight[:, None]).T @ d, (d * training.weight[:, None]).T @ (2 * training.outcome - 1)
    scale = np.linalg.eigvalsh(normal).mean()
    candidates = [
        x @ np.linalg.solve(normal + s * scale * np.eye(len(normal)), target) for s in (1e-3, 1e-2, 0.1, 1, 10, 100)
    ]
    assert min(np.abs(score - candidate).max() for candidate in candidates) < 1e-3


def test_reference_models_learn_what_is_there_and_only_on_training_channels():
    dataset, _ = planted(n_channels=120, cut_day=CUT_DAY)
    test = dataset.of("test")

    def accuracy(score):
        return pair_accuracy_micro(score[test.a] - score[test.b], test.outcome)

    scores = reference_scores(dataset).items
    assert accuracy(scores["ridge on both"]) > 0.6
    assert accuracy(scores["boosting on both"]) > 0.58
    assert accuracy(scores["ridge on both"]) > accuracy(scores["ridge on title"])
    assert "CLIP image-title cosine" not in scores  # nobody measured it
    dataset.items.value[dataset.items.split == 2] = 1.0
    dataset.items.value[dataset.items.published >= 1.7e9 + CUT_DAY * 86_400] = 1.0
    for split in ("test", "after the cut"):
        hidden = dataset.pairs.period != 0 if split == "after the cut" else dataset.pairs.split == 2
        dataset.pairs.outcome[hidden] = 1 - dataset.pairs.outcome[hidden]
    again = reference_scores(dataset).items
    for name, score in again.items():
        assert np.array_equal(score, scores[name]), name


def test_the_hour_and_the_capitals_count_where_they_decide():
    dataset, _ = planted(0.0, n_channels=40)
    hour = dataset.items.published // 3600 % 24
    loud = np.random.default_rng(0).random(len(hour)) < 0.5
    dataset.items.title[:] = ["BIG NEWS" if is_loud else "small news" for is_loud in loud]
    pairs = dataset.pairs
    for planted_by, reference in ((hour < 12, publish_hour), (loud, title_capitals)):
        outcome = 0.5 + (planted_by[pairs.a].astype(float) - planted_by[pairs.b]) / 2
        told = dataclasses.replace(dataset, pairs=dataclasses.replace(pairs, outcome=outcome))
        test = told.of("test")
        score = reference(told)
        decided = test.outcome != 0.5
        assert pair_accuracy_micro((score[test.a] - score[test.b])[decided], test.outcome[decided]) > 0.95


def test_a_fit_takes_whole_channels_up_to_its_limit(monkeypatch):
    dataset, _ = planted(n_channels=60)
    monkeypatch.setattr("thumbrank_core.evaluation.learnt.MOST_ITEMS", 100)
    pairs = learnt_pairs(dataset)
    items = np.unique(np.concatenate([pairs.a, pairs.b]))
    assert 50 < len(items) <= 100
    whole = dataset.of("train")
    assert len(pairs) == np.isin(whole.channel, np.unique(pairs.channel)).sum()


def test_a_probability_that_is_true_is_calibrated_and_one_that_is_too_sure_is_mended():
    dataset, _ = linear_gaussian(0.0)
    pairs = dataset.of("test")
    rng = np.random.default_rng(3)
    logit = rng.normal(size=len(pairs))
    outcome = (rng.random(len(pairs)) < 1 / (1 + np.exp(-logit))).astype(float)
    pairs = dataclasses.replace(pairs, outcome=outcome)
    assert fit_temperature(logit * 4, outcome) == pytest.approx(4, rel=0.05)
    found = calibrate(logit * 4, pairs, 4.0)
    assert found.ece.value < 0.02 < 0.1 < found.ece_before.value
    assert found.brier.value < found.brier_before.value
    assert found.ece.low <= found.ece.value <= found.ece.high
    assert len(found.bins) == BINS
    assert sum(bin_.n_pairs for bin_ in found.bins) == len(pairs)
    assert all(0.5 <= bin_.confidence <= 1 for bin_ in found.bins)


def test_scores_that_say_nothing_have_a_temperature_that_says_so():
    assert fit_temperature(np.zeros(10), np.ones(10)) == 1.0
    rng = np.random.default_rng(0)
    difference = rng.normal(size=400)
    assert fit_temperature(difference, (difference < 0).astype(float)) > 100


def test_accuracy_rises_where_it_may_abstain():
    dataset, score = linear_gaussian(0.5)
    pairs = dataset.of("test")
    found = cover(score[pairs.a] - score[pairs.b], pairs)
    assert found[0].share == 1.0
    assert found[0].n_pairs == len(pairs)
    assert found[-1].accuracy.value > found[0].accuracy.value + 0.1
    assert [part.n_pairs for part in found] == sorted((part.n_pairs for part in found), reverse=True)


def test_an_owners_rates_are_measured_alone_and_only_on_videos_not_learnt_from(judged):
    dataset, _, found = judged
    assert found.owners == []
    score = found.scores[MODEL]
    rates = {}
    for owner, channel in (("UC" + "a" * 22, 8), ("UC" + "b" * 22, 0)):
        item = np.flatnonzero(dataset.items.channel == channel)
        rates[owner] = OwnerRates(item, 1 / (1 + np.exp(-score[item])), np.full(len(item), 1000.0))
    many = np.flatnonzero(dataset.items.split == 2)
    rates["UC" + "c" * 22] = OwnerRates(many, 1 / (1 + np.exp(-score[many])), np.ones(len(many)))
    few, seen, enough = owner_figures(dataclasses.replace(dataset, owners=rates), score)
    assert [figure.owner_id for figure in (few, seen, enough)] == sorted(rates)
    assert few.spearman is None  # twelve videos
    assert seen.n_videos < 12  # those before the cut were learnt from
    assert enough.spearman == pytest.approx(1.0)


def test_a_perfect_probability_of_few_pairs_is_within_the_gates_floor():
    """Plain expected calibration error is 0.04 here by chance alone."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(20):
        channel = np.repeat(np.arange(60), 17)
        logit = rng.normal(size=len(channel))
        pairs = dataclasses.replace(
            planted(n_channels=10)[0].pairs,
            channel=channel,
            outcome=(rng.random(len(channel)) < 1 / (1 + np.exp(-logit))).astype(float),
        )
        found.append(calibrate(logit, pairs, 1.0).ece)
    assert np.mean([ece.value for ece in found]) < 0.025
    assert all(ece.low <= ece.value <= ece.high for ece in found)


@pytest.fixture(scope="module")
def standing(judged):
    """The champion that the gate is told of, for another champion's scores."""
    dataset, bundle, _ = judged

    def made(scores, niches=("tech", "news")):
        found = evaluate(dataset, bundle, champion=scores)
        version = Version(3, "f" * 64, "w" * 64, bundle.folder, "run", niches)
        return found, champion_of(dataset, found, version, Rival(scores, dataset, ()), bundle.card, None)

    return made


def test_the_gate_is_told_model_minus_others_and_never_the_other_way(judged, standing):
    dataset, bundle, found = judged
    scores = found.scores[MODEL]
    evaluation, worse = standing(-scores)
    assert worse.lead.low > 0.1
    assert all(part.lead.value > 0 for part in worse.slices if part.name in ("tech", "news"))
    _, better = standing(np.log(dataset.items.value))
    assert better.lead.high < -0.05
    assert worse.test_set == better.test_set == evaluation.test_set
    figures = gate_inputs(evaluation, bundle.card, dataset, None)
    assert figures.above_newer.value > 0.05
    assert figures.above_newer.low <= figures.above_newer.value <= figures.above_newer.high
    ridge = evaluation.later.scorers["ridge on both"].above_model
    assert figures.above_ridge_later is not None
    assert (figures.above_ridge_later.value, figures.above_ridge_later.low) == (-ridge.value, -ridge.high)
    assert (figures.n_channels_later, figures.phase) == (evaluation.later.n_channels, 1)


def test_a_lead_is_taken_over_the_niches_that_the_champion_learnt(judged, standing):
    dataset, _, found = judged
    scores = np.where(dataset.items.niche == 0, found.scores[MODEL], -found.scores[MODEL])
    evaluation, champion = standing(scores, niches=("tech",))
    whole = {(part.by, part.name) for part in evaluation.later_slices if part.n_pairs == evaluation.later.n_pairs}
    assert whole, "or the next line says nothing"
    assert not whole & {(part.by, part.name) for part in champion.slices}, "it would say the lead over all once more"
    assert champion.lead.value == 0
    _, both = standing(scores)
    assert both.lead.value > 0.1


def test_nothing_is_measured_where_nothing_can_be_fitted(judged):
    dataset, bundle, _ = judged
    late = dataclasses.replace(dataset, pairs=dataclasses.replace(dataset.pairs, period=np.full(len(dataset.pairs), 2)))
    with pytest.raises(DatasetError, match="after the time cut"):
        evaluate(late, bundle)


def distinct(dataset):
    """Every item with a picture and a title of its own."""
    for number in range(len(dataset.items)):
        dataset.items.picture[number] = number.to_bytes(32, "big")
        dataset.items.title[number] = f"title {number}"
    return dataset


def test_a_memoriser_knows_nothing_of_unseen_channels_and_shines_on_random_pairs():
    """The effect is 0: whatever a split by pairs shows is memory and not skill."""
    dataset = distinct(planted(0.0, n_channels=80, videos=16)[0])
    alarm = leak_alarm(dataset, id_memoriser(dataset))
    assert (alarm.unseen.low, alarm.unseen.value, alarm.unseen.high) == (0.5, 0.5, 0.5)
    assert alarm.n_unseen == len(dataset.of("test"))
    assert alarm.random_pairs is not None and alarm.random_pairs.low > 0.8
    assert alarm.n_random == pytest.approx(0.2 * len(dataset.pairs), rel=0.1)


@pytest.mark.parametrize("mark", ["picture", "title"])
def test_the_memoriser_shows_what_stands_in_two_splits(mark):
    """Every video of a test channel is a copy of the one that ranks as high in a training channel."""
    dataset = distinct(planted(n_channels=100)[0])
    items, names = dataset.items, getattr(dataset.items, mark)
    ranked = {c: sorted(np.flatnonzero(items.channel == c).tolist(), key=lambda i: items.value[i]) for c in range(100)}
    first_of = {split: np.flatnonzero(np.arange(100) % 10 == split).tolist() for split in (0, 8, 9)}
    for test, training in [(8, 0), (9, 0)]:
        for copy, original in zip(first_of[test], first_of[training], strict=True):
            for ours, theirs in zip(ranked[copy], ranked[original], strict=True):
                names[ours] = names[theirs]
    assert leak_alarm(dataset, id_memoriser(dataset)).unseen.low > 0.55


def test_the_memoriser_orders_the_videos_it_has_seen():
    dataset = distinct(planted(n_channels=40)[0])
    training = dataset.of("train")
    score = id_memoriser(dataset)
    assert pair_accuracy_micro(score[training.a] - score[training.b], training.outcome) > 0.95
    assert set(score[dataset.items.split != 0]) == {0.0}


def test_two_pairs_are_too_few_for_a_random_split_and_it_says_so():
    dataset, _ = planted(n_channels=40)
    few = dataclasses.replace(dataset, pairs=dataset.pairs.take(np.isin(np.arange(len(dataset.pairs)), [0])))
    few = dataclasses.replace(few, pairs=dataclasses.replace(few.pairs, split=np.array([2])))
    assert leak_alarm(few, id_memoriser(few)).random_pairs is None
