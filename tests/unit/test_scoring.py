"""Candidates ranked with made-up vectors: what the matrix, the ranks and the words "too close to call" mean."""

import hashlib
import io

import numpy as np
import pytest
import torch
from PIL import Image

from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.model.bundle import Bundle, BundleCard
from thumbrank_core.model.encoders import EncodersChanged
from thumbrank_core.model.network import NetworkShape, ThumbnailRankingModel
from thumbrank_core.scoring import CALLED_FROM, CandidateError, ScoringError, score_candidates

SHAPE = NetworkShape(
    clip_dim=8, text_dim=4, hidden_dim=8, norm="layer", dropout=0.0, head_dropout=0.0, wide=True, read_out="shared"
)
AGREEMENT = dict.fromkeys(SIGNALS, 0.4) | {"title_match": None}


class Drawn:
    """Stands for encoders: a vector drawn from each picture's pixels and each title's text."""

    ids: tuple[str, str] = ("image", "title")

    def __init__(self):
        self.seen = []

    def square(self, picture):
        return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB").resize((4, 4)))

    def pictures(self, squares):
        self.seen.append(len(squares))
        return self._vectors([square.tobytes() for square in squares], 8)

    def titles(self, titles):
        self.seen.append(list(titles))
        return self._vectors([title.encode() for title in titles], 4)

    def _vectors(self, contents, width):
        seeds = [int.from_bytes(hashlib.sha256(content).digest()[:4], "big") for content in contents]
        return np.stack([np.random.default_rng(seed).normal(size=width) for seed in seeds]).astype(np.float32)


def bundle(tmp_path, temperature=1.0, agreement=AGREEMENT, sub_scores="signals"):
    torch.manual_seed(0)
    model = ThumbnailRankingModel.of(SHAPE).eval()
    assert model.wide is not None
    with torch.no_grad():
        model.wide.weight.normal_()
    card = BundleCard.model_construct(
        network=SHAPE,
        image_encoder="image",
        title_encoder="title",
        encoder_set="drawn",
        temperature=temperature,
        sub_score_agreement=agreement,
        recipe={"sub_scores": sub_scores},
    )
    return Bundle(tmp_path, card, model)


def picture(colour, size=(64, 36), kind="PNG"):
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, kind)
    return content.getvalue()


COLOURS = ("red", "green", "blue", "yellow", "white")
PICTURES = [picture(colour) for colour in COLOURS]


def test_the_matrix_is_antisymmetric_and_of_the_scores_by_the_temperature(tmp_path):
    for temperature in (0.5, 1.0, 3.0):
        found = score_candidates(bundle(tmp_path, temperature), Drawn(), PICTURES, ["a title"])
        assert found.beats.shape == (5, 5)
        assert np.allclose(found.beats + found.beats.T, 1, atol=1e-12)
        assert (np.diag(found.beats) == 0.5).all()
        scores = np.array([candidate.score for candidate in found.candidates])
        odds = np.log(found.beats / (1 - found.beats))
        assert np.allclose(odds, (scores[:, None] - scores[None, :]) / temperature, atol=1e-9)
    assert np.ptp(scores) > 0.1


def test_candidates_are_best_first_with_the_scores_of_the_bundle(tmp_path):
    made, drawn = bundle(tmp_path), Drawn()
    titles = [f"title {number}" for number in range(5)]
    found = score_candidates(made, drawn, PICTURES, titles)
    expected = made.score(drawn.pictures([drawn.square(p) for p in PICTURES]), drawn.titles(titles))
    assert [candidate.position for candidate in found.candidates] == np.argsort(-expected).tolist()
    assert [candidate.rank for candidate in found.candidates] == [1, 2, 3, 4, 5]
    for candidate in found.candidates:
        assert candidate.score == pytest.approx(expected[candidate.position], abs=1e-6)
    assert (np.diff(found.beats[0]) >= 0).all()


def test_one_title_is_everybody_s_and_is_normalised_as_in_training(tmp_path):
    drawn = Drawn()
    one = score_candidates(bundle(tmp_path), drawn, PICTURES[:2], ["  a\u0301  title "])
    assert drawn.seen == [2, ["á title"]]
    two = score_candidates(bundle(tmp_path), Drawn(), PICTURES[:2], ["á title", "a\u0301 title"])
    assert np.array_equal(one.beats, two.beats)


def test_what_is_equal_is_at_one_half_exactly_shares_a_rank_and_is_encoded_once(tmp_path):
    drawn = Drawn()
    a, b = PICTURES[:2]
    found = score_candidates(bundle(tmp_path), drawn, [a, b, a, b, a], ["title"])
    assert drawn.seen == [2, ["title"]]
    same = [[x.position % 2 == y.position % 2 for y in found.candidates] for x in found.candidates]
    assert (found.beats[np.array(same)] == 0.5).all()
    assert (found.beats[~np.array(same)] != 0.5).all()
    first = [c for c in found.candidates if c.rank == 1]
    assert [c.position for c in first] in ([0, 2, 4], [1, 3])
    assert {c.rank for c in found.candidates} == {1, len(first) + 1}
    assert found.too_close_to_call


def test_the_same_picture_under_two_titles_is_two_candidates(tmp_path):
    found = score_candidates(bundle(tmp_path), Drawn(), [PICTURES[0]] * 2, ["one", "another"])
    assert found.beats[0, 1] > 0.5


def test_it_is_too_close_to_call_below_the_threshold_and_the_contenders_are_named(tmp_path):
    sharp = score_candidates(bundle(tmp_path, 1e-3), Drawn(), PICTURES[:3], ["t"])
    assert not sharp.too_close_to_call
    assert sharp.contenders == sharp.candidates[:1]
    flat = score_candidates(bundle(tmp_path, 1e3), Drawn(), PICTURES[:3], ["t"])
    assert flat.too_close_to_call
    assert flat.contenders == flat.candidates
    assert [c.position for c in flat.candidates] == [c.position for c in sharp.candidates]
    gap = sharp.candidates[0].score - sharp.candidates[1].score
    at = gap / np.log(CALLED_FROM / (1 - CALLED_FROM))  # the temperature at which the best stands at the threshold
    for factor, close in ((0.999, False), (1.001, True)):
        assert score_candidates(bundle(tmp_path, at * factor), Drawn(), PICTURES[:3], ["t"]).too_close_to_call is close


def test_sub_scores_are_named_as_the_signals_and_absent_where_none_was_learnt(tmp_path):
    def weak(**changes):
        found = score_candidates(bundle(tmp_path, **changes), Drawn(), PICTURES[:2], ["t"])
        return [candidate.weak_sub_scores for candidate in found.candidates]

    for scores in weak():
        assert tuple(scores) == SIGNALS
        assert scores["title_match"] is None
        assert all(value is not None and 0 < value < 1 for name, value in scores.items() if name != "title_match")
    assert all(set(scores.values()) == {None} for scores in weak(agreement={}))
    assert all(None not in scores.values() for scores in weak(agreement={}, sub_scores="engagement"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no picture at all", "not a JPEG, PNG, WEBP or GIF"),
        (b"", "no bytes"),
        (picture("red", (1280, 720), "JPEG")[:-2000], "ends before its time"),
        (picture("red", (12_000, 12_000)), "at most 3840x2160"),
        (b"\xff" * (8 * 2**20 + 1), "at most 8,388,608"),
        (picture("grey", (120, 90), "JPEG"), "placeholder"),
    ],
)
def test_a_picture_that_is_none_says_which_and_why_and_nothing_is_scored(tmp_path, content, sentence):
    drawn = Drawn()
    with pytest.raises(CandidateError, match=f"Candidate 2 cannot be scored.*{sentence}") as error:
        score_candidates(bundle(tmp_path), drawn, [PICTURES[0], content], ["t"])
    assert error.value.position == 1
    assert drawn.seen == []


@pytest.mark.parametrize(
    ("count", "titles", "sentence"),
    [
        (1, ["t"], "nothing to be compared with"),
        (0, ["t"], "nothing to be compared with"),
        (3, ["t", "u"], "3 pictures and 2 titles"),
        (2, [], "2 pictures and 0 titles"),
        (2, ["t", " \u00a0\n"], "Title 2 is empty"),
        (2, ["\udce9t\udce9"], "Title 1 is not UTF-8"),
    ],
)
def test_too_few_pictures_and_titles_that_do_not_fit_are_one_sentence_each(tmp_path, count, titles, sentence):
    with pytest.raises(ScoringError, match=sentence):
        score_candidates(bundle(tmp_path), Drawn(), PICTURES[:count], titles)


def test_encoders_of_another_bundle_are_refused(tmp_path):
    drawn = Drawn()
    drawn.ids = ("image", "another")
    with pytest.raises(EncodersChanged, match="not the bundle's"):
        score_candidates(bundle(tmp_path), drawn, PICTURES[:2], ["t"])
