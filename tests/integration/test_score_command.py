"""`thumbrank score` as a person types it."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from tests.integration.shipping import TITLE, crown, draw, train_tiny, with_tuned_encoder
from thumbrank_core.cli import app
from thumbrank_core.commands.score import NOTE
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.features.tuned import FOLDER
from thumbrank_core.model.bundle import CARD, WEIGHTS, BundleError, load_bundle, load_card, save_card
from thumbrank_core.model.exports import STATE, publish_state
from thumbrank_core.model.locate import bundle_at
from thumbrank_core.scoring import LoadedEncoders, score_candidates
from thumbrank_core.settings import Settings


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with a champion."""
    found = tmp_path_factory.mktemp("home")
    folder = train_tiny(found / "models")
    crown(Settings(THUMBRANK_HOME=found), folder)
    for name, number in (("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)):
        draw(found / name, number)
    return found


@pytest.fixture(scope="module")
def trained(home):
    [card] = home.glob(f"models/*/{CARD}")
    return card.parent


@pytest.fixture
def folder(trained, tmp_path):
    """A bundle of one's own to spoil."""
    return shutil.copytree(trained, tmp_path / "models" / trained.name)


@pytest.fixture
def score(home, monkeypatch):
    monkeypatch.setenv("THUMBRANK_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(home)

    def run(*words, title=(TITLE,)):
        titles = [part for each in title for part in ("--title", each)]
        return CliRunner().invoke(app, ["score", *map(str, words), *titles])

    return run


def sentence(done):
    """The one line that a failed command says."""
    assert done.exit_code == 1, done.output
    [line] = done.stderr.splitlines()
    assert done.stdout == ""
    return line


def test_the_champion_ranks_as_the_library_does(score, home, trained):
    done = score("a.jpg", "b.jpg", "c.jpg", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    bundle = load_bundle(trained)
    contents = [(home / name).read_bytes() for name in ("a.jpg", "b.jpg", "c.jpg")]
    expected = score_candidates(bundle, LoadedEncoders.of(bundle), contents, [TITLE])
    assert [each["picture"] for each in found["candidates"]] == [
        "abc"[c.position] + ".jpg" for c in expected.candidates
    ]
    assert np.allclose([each["p_beats"] for each in found["candidates"]], expected.beats, atol=1e-6)
    assert [each["p_beats_next"] for each in found["candidates"]][2] is None
    assert found["too_close_to_call"] is expected.too_close_to_call
    assert found["temperature"] == bundle.card.temperature
    assert (found["note"], found["fingerprint"]) == (NOTE, bundle.card.fingerprint)
    assert found["model"].startswith("the champion, version 1 (")
    for each, candidate in zip(found["candidates"], expected.candidates, strict=True):
        assert tuple(each["weak_sub_scores"]) == SIGNALS
        assert each["weak_sub_scores"] == pytest.approx(candidate.weak_sub_scores, abs=1e-6)
        assert [name for name, value in each["weak_sub_scores"].items() if value is None] == ["title_match"]


def with_temperature(folder, value):
    save_card(folder, load_card(folder).model_copy(update={"temperature": value}))


def test_a_person_reads_who_wins_and_what_it_is_not(score, folder):
    with_temperature(folder, 1e-6)
    done = score("a.jpg", "b.jpg", "--model", folder)
    assert done.exit_code == 0, done.output
    first, by, *rest = done.stdout.splitlines()
    assert first in [f"{x}.jpg is the likelier winner: over 99 % against {y}.jpg." for x, y in ("ab", "ba")]
    assert by == f"By model {load_card(folder).fingerprint[:12]}. {NOTE}"
    assert done.stdout.count(NOTE) == 1
    assert "CTR" not in done.stdout
    table = "\n".join(rest)
    assert all(word in table for word in ("rank", "against 1", "against 2", "under 1 %"))
    assert "Weak sub-scores" in table
    [agreement] = [line for line in rest if "follows its own measure" in line]
    assert agreement.endswith(", title match none."), "of the title nothing was learnt"


def test_a_model_without_sub_scores_says_so(score, folder):
    save_card(folder, load_card(folder).model_copy(update={"sub_score_agreement": {}}))
    assert score("a.jpg", "b.jpg", "--model", folder).stdout.endswith("This model learnt no sub-scores.\n")


def test_it_says_too_close_to_call_and_between_whom(score, folder):
    with_temperature(folder, 1e6)
    said = score("a.jpg", "b.jpg", "c.jpg", "--model", folder).stdout.splitlines()[0]
    assert said.startswith("Too close to call: any of ") and "50 %" in said
    assert all(name in said for name in ("a.jpg", "b.jpg", "c.jpg"))


def test_one_picture_twice_is_no_difference_and_of_two_titles_each_is_shown(score):
    said = score("a.jpg", "a.jpg").stdout
    assert said.startswith("Too close to call: the model sees no difference between a.jpg (1) and a.jpg (2).")
    both = score("a.jpg", "a.jpg", title=("One [red]title[/]", "Another")).stdout
    assert "One [red]title[/]" in both and "Another" in both


def test_more_than_four_have_no_column_each_and_names_alike_are_told_apart(score, home, tmp_path):
    paths = [draw(tmp_path / f"{number}.jpg", number) for number in range(10, 14)]
    found = score("a.jpg", *paths).stdout
    assert "against the next" in found and "against 1 " not in found
    other = draw(tmp_path / "a.jpg", 20)
    assert str(other) in score("a.jpg", other).stdout.replace("\n", "")


def test_four_long_names_fit_a_terminal_of_80_columns(score, tmp_path, monkeypatch):
    monkeypatch.setattr("thumbrank_core.commands.score.stdout", lambda: Console(file=sys.stdout, width=80))
    paths = [draw(tmp_path / f"w000000000{number}.jpg", number) for number in range(4)]
    found = score(*paths).stdout
    assert all(f" {path.name} " in found for path in paths), "no name is broken"
    assert all(f" {name} " in found for name in ("clarity", "prominence", "title match"))
    assert max(map(len, found.splitlines())) <= 80


def test_a_bundle_scores_with_the_tower_that_was_tuned_with_it(score, folder):
    before = json.loads(score("a.jpg", "b.jpg", "--json", "--model", folder).stdout)
    with_tuned_encoder(folder)
    after = json.loads(score("a.jpg", "b.jpg", "--json", "--model", folder).stdout)
    scores = [{each["picture"]: each["score"] for each in found["candidates"]} for found in (before, after)]
    assert all(abs(scores[0][name] - scores[1][name]) > 1e-5 for name in ("a.jpg", "b.jpg"))
    card = folder / FOLDER / "encoder.json"
    card.write_text(card.read_text().replace('"sha256": "', '"sha256": "0', 1)[:-1])
    assert "encoder.json" in sentence(score("a.jpg", "b.jpg", "--model", folder))


# Pictures and titles that cannot be scored


def test_bad_pictures_are_one_sentence_each(score, home, tmp_path):
    whole = (home / "a.jpg").read_bytes()
    bad = {
        "text.jpg": (b"no picture", "not a JPEG, PNG, WEBP or GIF"),
        "cut.jpg": (whole[: len(whole) // 2], "ends before its time"),
        "empty.jpg": (b"", "has no bytes"),
        "long.jpg": (whole + bytes(8 * 2**20), "at most 8,388,608"),
    }
    Image.new("1", (15_000, 10_000)).save(tmp_path / "bomb.png")  # 150 million pixels in 19 kB
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    Image.new("RGB", (900, 30)).save(tmp_path / "strip.png")
    cases = {"bomb.png": "at most 3840x2160", "strip.png": "900x30"}
    for name, (content, why) in bad.items():
        (tmp_path / name).write_bytes(content)
        cases[name] = why
    for name, why in cases.items():
        said = sentence(score("a.jpg", tmp_path / name))
        assert str(tmp_path / name) in said and why in said
    assert f"There is no file {tmp_path / 'absent.jpg'}" in sentence(score("a.jpg", tmp_path / "absent.jpg"))
    assert f"{tmp_path} is a folder" in sentence(score("a.jpg", tmp_path))


def test_one_picture_and_titles_that_do_not_fit_are_one_sentence_each(score):
    assert "nothing to be compared with" in sentence(score("a.jpg"))
    assert "3 pictures and 2 titles" in sentence(score("a.jpg", "b.jpg", "c.jpg", title=("one", "two")))
    assert "Title 1 is empty" in sentence(score("a.jpg", "b.jpg", title=(" ",)))
    none = score("a.jpg", "b.jpg", title=())
    assert none.exit_code == 2 and "--title" in none.stderr


# Models that cannot score


def test_without_a_champion_it_says_how_to_get_one_and_makes_no_registry(score, tmp_path, monkeypatch, home):
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path / "new"))
    assert "No model is the champion yet" in sentence(score(home / "a.jpg", home / "b.jpg"))
    assert not (tmp_path / "new").exists()


def test_a_bundle_whose_encoders_changed_or_that_is_none_is_one_sentence(score, folder, tmp_path):
    def said():
        return sentence(score("a.jpg", "b.jpg", "--model", folder))

    card = load_card(folder)
    save_card(folder, card.model_copy(update={"image_encoder": card.image_encoder.replace("squash", "crop")}))
    assert "The encoder set tiny is not the one the model was trained with" in said()
    save_card(folder, card)
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes() + b"x")
    assert "sha256 differs" in said()
    (folder / CARD).unlink()
    assert f"{folder} holds no {CARD}" in said()
    assert f"There is no {tmp_path / 'absent'}" in sentence(score("a.jpg", "b.jpg", "--model", tmp_path / "absent"))


# The guide's .pt


def test_the_guides_file_scores_where_a_json_beside_or_below_names_it(folder):
    models = folder.parent
    published = publish_state(folder, models)
    (models / "older").mkdir()
    (models / "older" / CARD).write_text("{}")
    (folder / WEIGHTS).rename(folder / "away")
    image, title = np.random.default_rng(0).normal(size=(3, 128)), np.random.default_rng(1).normal(size=(3, 384))
    vectors = image.astype(np.float32), title.astype(np.float32)
    found = [bundle_at(path) for path in (folder / STATE, published)]
    assert [bundle.folder for bundle in found] == [folder, folder]
    (folder / "away").rename(folder / WEIGHTS)
    expected = bundle_at(folder).score(*vectors)
    assert all(np.array_equal(bundle.score(*vectors), expected) for bundle in found)


def test_a_bare_or_changed_state_dict_is_refused(folder, tmp_path):
    bare = tmp_path / "elsewhere" / "x" / STATE
    bare.parent.mkdir(parents=True)
    shutil.copy(folder / STATE, bare)
    with pytest.raises(BundleError, match=r"has no bundle\.json beside it"):
        bundle_at(bare)
    (folder / STATE).write_bytes(b"not it")
    with pytest.raises(BundleError, match=r"is not the file that the bundle\.json beside it names"):
        bundle_at(folder / STATE)
    with pytest.raises(BundleError, match="is no model: name the bundle's folder"):
        bundle_at(folder / WEIGHTS)
