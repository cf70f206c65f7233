"""A/B tests read by an evaluation, on a real database: their vectors, what is left out, and that nothing but it reads them."""

import csv
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tests.integration.conftest import SEEN
from tests.integration.retention_house import OWN
from thumbrank_core.assessment import assess
from thumbrank_core.automation.news import ab_news
from thumbrank_core.evaluation import ab_reading
from thumbrank_core.evaluation.ab_reading import read_ab_pairs
from thumbrank_core.evaluation.ab_tests import ALL_TESTS
from thumbrank_core.evaluation.figures import CHAMPION, MODEL
from thumbrank_core.features.cache import normalise_title
from thumbrank_core.features.drift import sketch
from thumbrank_core.features.inventory import coverage
from thumbrank_core.features.signals.definitions import MEASURES
from thumbrank_core.features.specs import EncoderError, load_set
from thumbrank_core.features.stored import read_niche
from thumbrank_core.features.wanted import wanted_items
from thumbrank_core.imports.ab import read_tests
from thumbrank_core.imports.ab_store import store_tests
from thumbrank_core.labels.splits import split_of
from thumbrank_core.policy import load_policy
from thumbrank_core.registry import Registry
from thumbrank_core.retention.prune import prune
from thumbrank_core.retention.removal import expire, forget
from thumbrank_core.retraining import Request, retrain
from thumbrank_core.simulator.pictures import jpeg_bytes
from thumbrank_core.training.loading import load_dataset

TINY = load_set("tiny")
FIELDS = (
    "test_id",
    "video_id",
    "channel_id",
    "variant",
    "picture",
    "title",
    "outcome",
    "winner",
    "first_day",
    "last_day",
)
STRANGER = "UC" + "s" * 22
"""A channel that is not stored."""


@pytest.fixture(scope="session")
def drawn(world):
    """Pictures that no video of the house shows: those are the world's first."""
    videos = [video for video in world.videos if video.state == "public"]
    return [jpeg_bytes(world, video, "medium") for video in videos[-12:]]


def row(test_id, video, channel, variant, *, picture="", title="", outcome="winner"):
    won = "yes" if variant == "A" and outcome == "winner" else ""
    return (test_id, video, channel, variant, picture, title, outcome, won, "2026-07-01", "2026-07-14")


def imported(house, folder, drawn, *tests):
    """Import tests given as rows; pictures are named by their number among the drawn."""
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(drawn):
        (folder / f"{number}.jpg").write_bytes(data)
    path = folder / "tests.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([FIELDS, *(one for test in tests for one in test)])
    with house.db.connection() as connection:
        stored = store_tests(
            connection, house.images, read_tests(path), folder, None, datetime.now(UTC) - timedelta(seconds=1)
        )
    assert not stored.rejected, stored.rejected
    return stored


def of_pictures(house, channel, first, number=2):
    video = house.made[channel][0]
    return [
        row(f"pictures {first}", video, channel, label, picture=f"{first + place}.jpg")
        for place, label in enumerate("ABC"[:number])
    ]


def of_titles(house, channel, outcome="winner"):
    video = house.made[channel][1]
    return [
        row(f"titles {outcome}", video, channel, label, title=f"{label}: another title", outcome=outcome)
        for label in "AB"
    ]


def channels(house, split):
    return [channel for channel in house.made if channel != OWN and split_of(channel) == split]


def read(house, niches=("tech",)):
    found = read_ab_pairs(house.db, house.images, TINY, niches, offline=True)
    assert found is not None
    return found


def vectors(house):
    return dict(
        house.rows(
            "select e.encoder_id || encode(v.sha256, 'hex'), v.vector from thumbrank.embeddings v "
            "join thumbrank.encoders e using (encoder_key)"
        )
    )


def wanted(house):
    """Everything that says what a niche has to embed, has, looks like and is trained on."""
    with house.db.connection() as connection:
        items = wanted_items(connection, "tech")
        niche = read_niche(connection, "tech", TINY)
        figures = sketch(niche.image)
        covered = coverage(connection, "tech", TINY)
    dataset = load_dataset(house.db, ["tech"], TINY)
    counts = house.count("training_pairs", "video_labels", "sub_score_signals", "misses")
    return (
        items,
        niche.version,
        niche.coverage,
        figures.to_bytes(),
        covered,
        dataset.fingerprint(owners=True),
        dataset.versions,
        counts,
    )


@pytest.fixture
def tested(house, tmp_path, drawn):
    """A test of three pictures and one of titles of an unseen channel, one of two pictures of a seen one."""
    unseen, seen = channels(house, "test")[0], channels(house, "train")[0]
    before = wanted(house)
    imported(
        house,
        tmp_path / "variants",
        drawn,
        of_pictures(house, unseen, 0, 3),
        of_titles(house, unseen),
        of_titles(house, unseen, "performed_same"),
        of_pictures(house, seen, 3),
    )
    assert wanted(house) == before
    return house, before


def test_a_test_that_was_imported_is_measured_at_the_next_evaluation_and_nothing_else_changes(tested):
    house, before = tested
    found = assess(house.db, house.settings, Registry(house.settings.tracking_uri))
    ab = found.evaluation.ab
    assert ab is not None
    assert (ab.n_tests, ab.n_pairs, ab.n_channels, ab.n_seen, ab.n_same, ab.left_out) == (3, 4, 2, 1, 1, {})
    [everything] = ab.sets
    assert {MODEL, "coin", "ridge on image", "ridge on both"} < set(everything.accuracy)
    figures = json.loads((found.page.parent / "evaluation.json").read_text())["ab_tests"]
    assert figures["sets"][ALL_TESTS]["n_tests"] == 3
    assert "3 tests of 2 channels" in found.page.read_text(encoding="utf-8")
    rows = house.rows(
        "select label, n_pairs, n_channels, ci_low <= value, value <= ci_high from thumbrank.model_evaluations "
        "where split = 'A/B tests' and scorer = 'model'"
    )
    assert rows == [("ab_outcome", 4, 2, True, True)]
    assert wanted(house) == before
    for channel in house.made:
        assert channel not in (found.page.parent / "MODEL_CARD.md").read_text(encoding="utf-8")
    with house.db.connection() as connection:
        assert ab_news(connection) is None


def test_a_champion_with_the_same_encoders_stands_beside_the_challenger(tested):
    house, _ = tested
    registry = Registry(house.settings.tracking_uri)
    registry.point("champion", 1)
    request = Request(("tech",), overrides={"epochs": 2, "hidden_dim": 8, "seed": 1}, encoders="tiny")
    done = retrain(request, house.db, house.settings, SEEN)
    assert done is not None and done.version.number == 2
    found = assess(house.db, house.settings, registry)
    assert found.evaluation.ab is not None and CHAMPION in found.evaluation.ab.sets[0].accuracy
    assert not [condition.name for condition in found.verdict.conditions if "A/B" in condition.name + condition.says]


def test_vectors_of_pictures_are_kept_and_those_of_titles_are_not(tested, monkeypatch):
    house, _ = tested
    before = vectors(house)
    first = read(house)
    new = vectors(house).keys() - before.keys()
    assert len(new) == 5
    assert all(name.startswith(TINY.image.encoder_id) for name in new)
    monkeypatch.setattr(ab_reading, "ImageEncoder", None)
    again = read(house)
    assert len(vectors(house)) == len(before) + 5
    for one, other in ((first.variants.image, again.variants.image), (first.variants.text, again.variants.text)):
        assert np.allclose(one, other, atol=1e-3)  # what is kept is float16
    assert first.variants.title == again.variants.title


def test_a_variant_shows_what_its_test_does_not_vary_as_the_video_does(tested):
    house, _ = tested
    pairs = read(house)
    unseen = channels(house, "test")[0]
    assert pairs.variants.title.count(normalise_title(house.title_of(house.made[unseen][0]))) == 3
    titles = [place for place, title in enumerate(pairs.variants.title) if "another title" in title]
    shown = vectors(house)[TINY.image.encoder_id + house.picture_of(house.made[unseen][1]).hex()]
    for place in titles:
        assert np.array_equal(pairs.variants.image[place], np.frombuffer(shown, "<f2").astype(np.float32))
    winner = pairs.variants.title[pairs.winner[pairs.other == titles[1]].item()]
    assert winner == "A: another title"


def test_what_cannot_be_measured_is_counted_by_its_reason(tested, tmp_path, drawn):
    house, _ = tested
    third = channels(house, "train")[1]
    video = house.made[third][0]
    stranger = [
        row("of a stranger", "never-seen1", STRANGER, label, picture=f"{5 + n}.jpg", title="a title")
        for n, label in enumerate("AB")
    ]
    no_title = [
        row("no title", house.made[third][1], third, label, picture=f"{7 + n}.jpg") for n, label in enumerate("AB")
    ]
    gone = [row("gone", video, third, label, picture=f"{9 + n}.jpg") for n, label in enumerate("AB")]
    imported(house, tmp_path / "variants", drawn, stranger, no_title, gone)
    house.rows("update thumbrank.thumbnails set title = null where video_id = %s", house.made[third][1])
    house.images.delete([bytes(house.value("select min(sha256) from thumbrank.ab_variants where test_id = 'gone'"))])
    found = read(house)
    assert (found.left_out, len(np.unique(found.test))) == ({"no_niche": 1, "nothing_to_show": 1, "no_vector": 1}, 3)
    assert read(house, ["news"]).left_out == {"no_niche": 1, "other_niche": 5}


def test_one_owner_s_tests_are_not_measured_at_all(house, tmp_path, drawn):
    before = vectors(house)
    imported(house, tmp_path / "variants", drawn, of_pictures(house, OWN, 0), of_titles(house, OWN))
    found = read(house)
    assert (len(found), found.left_out) == (0, {"one_owner": 2})
    assert vectors(house) == before
    ab = assess(house.db, house.settings, Registry(house.settings.tracking_uri)).evaluation.ab
    assert ab is not None and (ab.n_tests, ab.sets) == (0, [])


def test_where_the_encoders_cannot_be_loaded_the_model_is_judged_all_the_same(tested, monkeypatch, caplog):
    house, _ = tested
    real = ab_reading.ImageEncoder

    def away(spec, **options):
        raise EncoderError("There is no such model here.")

    monkeypatch.setattr(ab_reading, "ImageEncoder", away)
    found = read(house)
    assert (len(found), found.left_out) == (0, {"one_owner": 1, "no_encoder": 2})
    assert "There is no such model here." in caplog.text
    monkeypatch.setattr(ab_reading, "ImageEncoder", real)
    assert read(house).left_out == {}


def test_kept_vectors_outlive_prune_and_expiry_and_go_with_the_video(tested):
    house, _ = tested
    read(house)
    assert not [row for row in prune(house.db, TINY.specs, MEASURES, dry_run=True) if row.kind == "vectors"]
    after = vectors(house)
    expire(house.db, house.stores, load_policy(), now=datetime.now(UTC))
    kept = house.rows("select distinct sha256 from thumbrank.ab_variants where sha256 is not null")
    assert all(TINY.image.encoder_id + bytes(digest).hex() in vectors(house) for (digest,) in kept)
    seen = channels(house, "train")[0]
    digests = house.rows("select sha256 from thumbrank.ab_variants where owner_id = %s", seen)
    assert len(digests) == 2
    forget(house.db, house.stores, "unaudited", "video", house.made[seen][0])
    assert not [digest for (digest,) in digests if TINY.image.encoder_id + bytes(digest).hex() in vectors(house)]
    assert len(after) > len(vectors(house))


def test_a_forgotten_video_s_tests_are_in_no_later_evaluation(tested):
    house, _ = tested
    seen = channels(house, "train")[0]
    forget(house.db, house.stores, "unaudited", "video", house.made[seen][0])
    found = read(house)
    assert (len(found), found.left_out) == (0, {"one_owner": 2}), "the other owner is alone now"
