"""A/B tests in an evaluation: figures on worlds whose truth is known, their intervals, and what is shown of whose tests."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.unit import evaluations as made
from tests.unit.synthetic import planted
from thumbrank_core.bootstrap import ratio_interval
from thumbrank_core.evaluation import cards, records, report
from thumbrank_core.evaluation.ab_reading import REASONS
from thumbrank_core.evaluation.ab_tests import (
    ALL_TESTS,
    MIN_OWNERS,
    SEEN,
    UNSEEN,
    AbPairs,
    Variants,
    measure_tests,
)
from thumbrank_core.evaluation.evaluate import evaluate
from thumbrank_core.evaluation.figures import CHAMPION, MODEL
from thumbrank_core.evaluation.pictures import pictures_of
from thumbrank_core.evaluation.summary import summary
from thumbrank_core.features.specs import load_set
from thumbrank_core.metrics import channel_sums
from thumbrank_core.model.bundle import load_bundle
from thumbrank_core.store.images import ImageStore
from thumbrank_core.training.recipe import load_recipe
from thumbrank_core.training.run import train_bundle


def ab_pairs(truth, owners, seen=(), variants=None, **changes):
    """Tests of two variants each, the first of which has the higher truth, (t, 2), dealt out to `owners` channels in turn; `seen`:
    which of those a model learnt from."""
    tests = len(truth)
    place = np.arange(2 * tests).reshape(tests, 2)
    order = np.argsort(-truth, axis=1)
    owner = np.arange(tests) % owners
    empty = np.zeros((2 * tests, 1), np.float32)
    pairs = AbPairs(
        variants=variants or Variants(empty, empty, ["a title"] * (2 * tests)),
        winner=np.take_along_axis(place, order, 1)[:, 0],
        other=np.take_along_axis(place, order, 1)[:, 1],
        test=np.arange(tests),
        owner=owner,
        seen=np.isin(owner, list(seen)),
        ctr=np.zeros(tests, np.bool_),
        n_same=0,
        left_out={},
    )
    return replace(pairs, **changes)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A small model of a planted world, and 120 tests in it of 12 channels: vectors drawn as the world draws them."""
    dataset, _ = planted(n_channels=100)
    recipe = load_recipe("default", {"epochs": 6, "hidden_dim": 32})
    run = train_bundle(dataset, recipe, load_set("tiny"), tmp_path_factory.mktemp("models"))
    assert run is not None
    bundle = load_bundle(run.folder)
    rng = np.random.default_rng(3)
    image = rng.normal(size=(240, dataset.items.image.shape[1])).astype(np.float32)
    text = rng.normal(size=(240, 6)).astype(np.float32)
    z = image.astype(float)
    truth = 0.6 * z[:, 0] - 0.4 * z[:, 1] + 0.4 * z[:, 2] * z[:, 3] + 0.25 * text[:, 0]
    return dataset, bundle, Variants(image, text, ["x" * int(k) for k in rng.integers(5, 60, 240)]), truth


def test_a_model_that_learnt_the_world_ranks_the_winners_right_and_a_coin_does_not(world):
    dataset, bundle, variants, truth = world
    noisy = truth + 0.3 * np.random.default_rng(1).normal(size=240)
    pairs = ab_pairs(noisy.reshape(120, 2), 12, variants=variants, champion=-truth)
    found = evaluate(dataset, bundle, tests=pairs).ab
    assert found is not None
    [everything] = found.sets
    assert (everything.name, everything.n_tests, everything.n_pairs, everything.n_channels) == (ALL_TESTS, 120, 120, 12)
    accuracy = everything.accuracy
    assert accuracy[MODEL].low > 0.6
    assert accuracy["ridge on both"].low > 0.6
    assert accuracy[CHAMPION].high < 0.2
    assert accuracy["coin"].low < 0.5 < accuracy["coin"].high
    assert list(accuracy) == [
        MODEL,
        "coin",
        "title length",
        "title capitals",
        "ridge on title",
        "ridge on image",
        "ridge on both",
        "boosting on both",
        CHAMPION,
    ]
    assert all(one.low <= one.value <= one.high for one in accuracy.values())
    assert accuracy["title capitals"].value == 0.5, "no title has a capital: every pair is a tie"


def test_outcomes_that_nothing_decides_are_at_one_half_whatever_the_model(world):
    dataset, bundle, variants, _ = world
    dealt = np.random.default_rng(2).normal(size=(120, 2))
    found = evaluate(dataset, bundle, tests=ab_pairs(dealt, 12, variants=variants)).ab
    assert found is not None
    [everything] = found.sets
    accuracy = everything.accuracy[MODEL]
    assert accuracy.low < 0.5 < accuracy.high


def test_an_evaluation_is_the_same_with_and_without_tests(world):
    dataset, bundle, variants, truth = world
    before, fingerprint = evaluate(dataset, bundle), dataset.fingerprint(owners=True)
    after = evaluate(dataset, bundle, tests=ab_pairs(truth.reshape(120, 2), 12, variants=variants))
    assert dataset.fingerprint(owners=True) == fingerprint
    for what in ("unseen", "later", "seen_later", "slices", "calibration", "leak", "test_set"):
        assert repr(getattr(after, what)) == repr(getattr(before, what)), what  # by their words: NaN is not NaN
    assert before.ab is None
    for name, score in before.scores.items():
        assert np.array_equal(after.scores[name], score), name


def test_a_handful_of_tests_that_all_came_out_right_proves_little(world):
    """Whichever channels are drawn, all of it is right; the interval must be one all the same."""
    pairs = ab_pairs(np.tile([1.0, 0.0], (4, 1)), 2)
    score = np.tile([1.0, 0.0], 4)
    accuracy = measure_tests(pairs, {MODEL: score}).sets[0].accuracy[MODEL]
    assert (accuracy.value, accuracy.high) == (1.0, 1.0)
    assert accuracy.low == pytest.approx(0.51, abs=0.01)  # Wilson's of four in four
    tied = measure_tests(pairs, {MODEL: np.zeros(8)}).sets[0].accuracy[MODEL]
    assert tied.value == 0.5


def test_the_interval_holds_the_truth_of_few_channels_that_differ_where_resampling_alone_does_not():
    """Three channels of about ten tests, each right in another share of them; 200 worlds."""
    rng, held, alone = np.random.default_rng(6), 0, 0
    truth = 0.62
    for _ in range(200):
        owner = np.repeat(np.arange(3), rng.poisson(10, 3) + 1)
        share = 1 / (1 + np.exp(-(np.log(truth / (1 - truth)) + 0.3 * rng.normal(size=3))))
        right = rng.random(len(owner)) < share[owner]
        pairs = replace(ab_pairs(np.tile([1.0, 0.0], (len(owner), 1)), 3), owner=owner)
        score = np.where(right, 1.0, -1.0).repeat(2) * np.tile([1.0, 0.0], len(owner))
        found = measure_tests(pairs, {MODEL: score}).sets[0].accuracy[MODEL]
        held += found.low <= truth <= found.high
        plain = ratio_interval(*channel_sums(right.astype(float), owner, 3))
        alone += plain.low <= truth <= plain.high
    assert held >= 0.92 * 200
    assert alone < 0.85 * 200


def test_three_variants_are_two_pairs_of_one_test():
    pairs = replace(ab_pairs(np.tile([1.0, 0.0], (8, 1)), 4), test=np.arange(8) // 2, owner=np.arange(8) // 2)
    found = measure_tests(pairs, {MODEL: np.tile([1.0, 0.0], 8)})
    assert (found.n_tests, found.n_pairs, found.n_channels) == (4, 8, 4)
    whole = measure_tests(ab_pairs(np.tile([1.0, 0.0], (8, 1)), 4), {MODEL: np.tile([1.0, 0.0], 8)})
    assert found.sets[0].accuracy[MODEL].low < whole.sets[0].accuracy[MODEL].low, "eight pairs of four tests say less"


@pytest.mark.parametrize(
    ("owners", "seen", "shown"),
    [
        (1, (), []),
        (2, (), [ALL_TESTS]),
        (3, (0,), [ALL_TESTS]),  # the whole less two channels would be the third one's
        (4, (0, 1, 2), [ALL_TESTS]),
        (4, (0, 1), [ALL_TESTS, UNSEEN, SEEN]),
    ],
)
def test_no_figure_is_a_single_owner_s_nor_tells_it_by_a_difference(owners, seen, shown):
    found = measure_tests(ab_pairs(np.tile([1.0, 0.0], (12, 1)), owners, seen), {MODEL: np.ones(24)})
    assert [tests.name for tests in found.sets] == shown
    assert (found.n_tests, found.n_channels, found.n_seen) == (12, owners, 12 * len(seen) // owners)
    assert all(tests.n_channels >= MIN_OWNERS for tests in found.sets)


def test_channels_that_the_model_learnt_from_are_told_apart():
    """Right on the channels that it saw, wrong on the others."""
    pairs = ab_pairs(np.tile([1.0, 0.0], (40, 1)), 8, seen=range(4))
    score = np.where(pairs.seen, 1.0, -1.0).repeat(2) * np.tile([1.0, 0.0], 40)
    found = {tests.name: tests for tests in measure_tests(pairs, {MODEL: score}).sets}
    assert [found[name].accuracy[MODEL].value for name in (ALL_TESTS, UNSEEN, SEEN)] == [0.5, 0.0, 1.0]
    assert found[UNSEEN].n_tests + found[SEEN].n_tests == found[ALL_TESTS].n_tests == 40


# What is shown


def evaluated(owners, **changes):
    evaluation = made.evaluation(made.dataset())
    pairs = ab_pairs(np.tile([1.0, 0.0], (12, 1)), owners, seen=(0, 1), **changes)
    scores = {MODEL: np.tile([0.7, 0.2], 12), "coin": np.random.default_rng(0).random(24)}
    return replace(evaluation, ab=measure_tests(pairs, scores))


def pages(evaluation, tmp_path):
    """Everything that is written of an evaluation for people and programs."""
    dataset = made.dataset()
    page = report.render(
        evaluation,
        made.verdict(),
        made.card(),
        dataset,
        ImageStore(tmp_path),
        pictures_of(evaluation, made.card()),
    )
    model_card = cards.model_card(evaluation, made.verdict(), made.card(), dataset)
    return page, model_card, summary(evaluation, made.verdict())


def test_tests_of_several_owners_are_shown_with_their_n_their_interval_and_a_reference(tmp_path):
    evaluation = evaluated(4, n_same=2, left_out={"no_vector": 1, "no_niche": 3})
    page, model_card, figures = pages(evaluation, tmp_path)
    for text in (page, model_card):
        assert "12 pairs of a winner and another variant, in 12 tests of 4 channels" in text
        assert "no verdict hangs on them" in text
        assert "2 tests ended without a difference" in text
        assert "1 test with a winner is left out" in text
        assert "3 tests with a winner are left out" in text
        assert "Below 50 channels" in text
        assert "seen channels" in text
    assert "| all tests | 12 | 12 | 4 | 1.000 (0.758 to 1.000) |" in model_card
    assert evaluation.ab is not None
    [everything, unseen, seen] = evaluation.ab.sets
    shown = figures["ab_tests"]["sets"][ALL_TESTS]
    assert (shown["n_tests"], shown["n_pairs"], shown["n_channels"]) == (12, 12, 4)
    assert shown["scorers"][MODEL]["ci_low"] == everything.accuracy[MODEL].low
    assert set(figures["ab_tests"]["sets"]) == {ALL_TESTS, UNSEEN, SEEN}
    assert (unseen.n_tests, seen.n_tests) == (6, 6)
    json.dumps(figures, allow_nan=False)


def test_of_a_single_owner_s_tests_no_figure_is_written_anywhere(tmp_path):
    evaluation = evaluated(1)
    page, model_card, figures = pages(evaluation, tmp_path)
    for text in (page, model_card):
        assert "A/B tests" in text
        assert "Below 50 channels even these" not in text
    assert 'aria-label="A/B tests"' not in page
    assert figures["ab_tests"]["sets"] == {}
    assert not [row for row in records._figures(evaluation) if row.split.startswith(records.AB_TESTS)]


def test_without_tests_nothing_is_said_of_them(tmp_path):
    page, model_card, figures = pages(made.evaluation(made.dataset()), tmp_path)
    assert "A/B test" not in page + model_card
    assert figures["ab_tests"] is None


def test_rows_of_tests_have_a_split_and_a_label_of_their_own():
    rows = [row for row in records._figures(evaluated(4)) if row.split.startswith(records.AB_TESTS)]
    assert {row.split for row in rows} == {"A/B tests", "A/B tests, unseen channels", "A/B tests, seen channels"}
    assert {(row.label, row.niche, row.metric) for row in rows} == {("ab_outcome", "all", "pair_accuracy_micro")}
    assert {(row.scorer, row.n_pairs) for row in rows if row.split == "A/B tests"} == {(MODEL, 12), ("coin", 12)}


def test_every_reason_has_its_words():
    found = evaluated(2, left_out=dict.fromkeys(REASONS, 2)).ab
    assert found is not None
    facts = report.ab_facts(found)
    assert all(any(says in fact for fact in facts) for says in REASONS.values())
    assert report.ab_facts(replace(found, n_tests=0, n_pairs=0, sets=[]))[0] == (
        "Tests are stored, and none can be measured."
    )
