"""References, the report and what it admits."""

import dataclasses
import re

import numpy as np
import pytest

from tests.unit.synthetic import planted
from thumbrank_core.evaluation import report
from thumbrank_core.evaluation.evaluate import evaluate
from thumbrank_core.evaluation.gate import decide
from thumbrank_core.evaluation.leak_alarm import id_memoriser, leak_alarm
from thumbrank_core.evaluation.references import ridge_on_differences
from thumbrank_core.evaluation.truth import Truth
from thumbrank_core.features.specs import load_set
from thumbrank_core.labels.growth import GrowthFit
from thumbrank_core.metrics import pair_accuracy_micro
from thumbrank_core.model.bundle import load_bundle
from thumbrank_core.store.images import ImageStore
from thumbrank_core.training.recipe import load_recipe
from thumbrank_core.training.run import train_bundle


def page(tmp_path, titles=None, **kwargs):
    dataset, truth = planted(**kwargs)
    if titles:
        dataset.items.title[:] = titles * len(dataset.items)
    run = train_bundle(dataset, load_recipe("default", {"epochs": 2, "hidden_dim": 16}), load_set("tiny"), tmp_path)
    evaluation = evaluate(
        dataset,
        load_bundle(run.folder),
        Truth(effects=truth, growth={}) if "simulator" in dataset.sources else None,
    )
    verdict = decide(evaluation)
    html = report.render(evaluation, verdict, run.card, dataset, ImageStore(tmp_path), {"tech": GrowthFit().curve()})
    return evaluation, verdict, html


def test_ridge_on_differences_equals_ridge_on_the_differences_formed():
    dataset, _ = planted(n_channels=30, videos=6)
    score = ridge_on_differences(dataset, dataset.items.image)
    training = dataset.of("train")
    x = dataset.items.image.astype(float)
    inside = dataset.items.split == 0
    x = (x - x[inside].mean(axis=0)) / x[inside].std(axis=0)
    d = x[training.a] - x[training.b]
    normal, target = (d * training.weight[:, None]).T @ d, (d * training.weight[:, None]).T @ (2 * training.outcome - 1)
    scale = np.linalg.eigvalsh(normal).mean()
    candidates = [
        x @ np.linalg.solve(normal + s * scale * np.eye(len(normal)), target) for s in (1e-3, 1e-2, 0.1, 1, 10, 100)
    ]
    assert min(np.abs(score - candidate).max() for candidate in candidates) < 1e-6


def test_every_scorer_has_every_metric_with_an_interval(tmp_path):
    evaluation, _, _ = page(tmp_path, n_channels=60)
    for scored in evaluation.overall.scorers.values():
        for found in scored.metrics.values():
            assert found.low <= found.value <= found.high or not np.isfinite(found.value)
    assert set(evaluation.per_niche) == {"tech", "news"}
    assert sum(part.n_pairs for part in evaluation.per_niche.values()) == evaluation.overall.n_pairs


def test_the_page_asks_nothing_of_any_other_host_and_starts_with_the_verdict(tmp_path):
    _, verdict, html = page(tmp_path, n_channels=60)
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", html)
    assert "default-src 'none'" in html
    body = html[html.index("<main>") :]
    assert body.index(verdict.sentence[:40]) < body.index("<img")


def test_few_channels_are_admitted_with_their_number(tmp_path):
    evaluation, verdict, html = page(tmp_path, n_channels=40)
    assert verdict.status == "refused"
    assert "40 channels can prove little" in html
    assert "not a click-through rate" in html
    assert evaluation.too_few_channels


@pytest.mark.parametrize(("sources", "shown"), [(("simulator",), True), (("import",), False)])
def test_a_simulated_world_is_never_shown_as_youtube(tmp_path, sources, shown):
    _, _, html = page(tmp_path, n_channels=40, sources=sources)
    assert ("A simulated world." in html) is shown
    assert ("ceiling" in html) is shown


def test_titles_are_shown_as_text_and_never_as_markup(tmp_path):
    _, _, html = page(tmp_path, n_channels=40, titles=["<script>alert(1)</script>"])
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def distinct(dataset):
    """Every item with a picture and a title of its own."""
    for number in range(len(dataset.items)):
        dataset.items.picture[number] = number.to_bytes(32, "big")
        dataset.items.title[number] = f"title {number}"
    return dataset


def test_a_memoriser_knows_nothing_of_unseen_channels_and_shines_on_random_pairs():
    """The effect is 0: whatever a split by pairs shows is memory and not skill."""
    dataset = distinct(planted(0.0, n_channels=80, videos=16)[0])
    alarm = leak_alarm(dataset)
    assert (alarm.unseen.low, alarm.unseen.value, alarm.unseen.high) == (0.5, 0.5, 0.5)
    assert alarm.n_unseen == len(dataset.of("test"))
    assert alarm.random_pairs.low > 0.8
    assert alarm.n_random == pytest.approx(0.2 * len(dataset.pairs), rel=0.1)


@pytest.mark.parametrize("mark", ["picture", "title"])
def test_the_memoriser_shows_what_stands_in_two_splits(mark):
    """Every video of a test channel is a copy of the one that ranks as high in a training channel."""
    dataset = distinct(planted(n_channels=100)[0])
    items, names = dataset.items, getattr(dataset.items, mark)
    ranked = {c: sorted(np.flatnonzero(items.channel == c), key=lambda i: items.value[i]) for c in range(100)}
    first_of = {split: np.flatnonzero(np.arange(100) % 10 == split) for split in (0, 8, 9)}
    for test, training in [(8, 0), (9, 0)]:
        for copy, original in zip(first_of[test], first_of[training], strict=True):
            for ours, theirs in zip(ranked[copy], ranked[original], strict=True):
                names[ours] = names[theirs]
    assert leak_alarm(dataset).unseen.low > 0.55


def test_the_memoriser_orders_the_videos_it_has_seen():
    dataset = distinct(planted(n_channels=40)[0])
    training = dataset.of("train")
    score = id_memoriser(dataset)
    assert pair_accuracy_micro(score[training.a] - score[training.b], training.outcome) > 0.95
    assert set(score[dataset.items.split != 0]) == {0.0}


def test_two_pairs_are_too_few_for_a_random_split_and_it_says_so(tmp_path):
    dataset, _ = planted(n_channels=40)
    few = dataclasses.replace(dataset, pairs=dataset.pairs.take(np.isin(np.arange(len(dataset.pairs)), [0])))
    few = dataclasses.replace(few, pairs=dataclasses.replace(few.pairs, split=np.array([2])))
    assert leak_alarm(few).random_pairs is None


def test_the_page_tells_the_clock_the_leak_alarm_and_the_growth(tmp_path):
    evaluation, _, html = page(tmp_path, n_channels=60)
    assert f"a memoriser of ids, pictures and titles gets {evaluation.leak.unseen.value:.3f}" in html
    assert f"{evaluation.leak.random_pairs.value:.3f} (" in html
    assert f"reaches {evaluation.all_pairs.newer_wins.value:.3f}" in html
    assert "How views grow with age" in html
    assert "times its channel&#39;s usual views at that age" in html
