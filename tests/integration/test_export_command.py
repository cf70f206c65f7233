"""`thumbrank export` as a person types it, and the page it writes as a service follows it."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.integration.shipping import code_of, draw, train_tiny, with_tuned_encoder
from thumbrank_core import deployable
from thumbrank_core.cli import app
from thumbrank_core.deployable import INTEGRATION
from thumbrank_core.features.tuned import FOLDER
from thumbrank_core.model.bundle import CARD, WEIGHTS, load_bundle, load_card, save_card
from thumbrank_core.model.exports import STATE
from thumbrank_core.model.onnx_export import ONNX
from thumbrank_core.scoring import LoadedEncoders, score_candidates
from thumbrank_core.training.manifest import MANIFEST

PLAIN = {STATE, WEIGHTS, CARD, ONNX, INTEGRATION}
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("home") / "models")


@pytest.fixture
def folder(trained, tmp_path):
    """A bundle of one's own to spoil."""
    return shutil.copytree(trained, tmp_path / "models" / trained.name)


@pytest.fixture
def export(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(app, ["export", *map(str, words)])


def files_in(place):
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}


def sentence(done):
    assert done.exit_code == 1, done.output
    [line] = done.stderr.splitlines()
    return line


def test_what_is_written_is_the_bundle_without_anything_private_and_is_told(export, trained, tmp_path):
    assert {"owners/UC.json", MANIFEST} <= files_in(trained), "there is something to leave behind"
    place = tmp_path / "app" / "models"
    done = export(place, "--model", trained)
    assert done.exit_code == 0, done.output
    assert files_in(place) == PLAIN
    for name in PLAIN:
        content = (place / name).read_bytes()
        assert name == INTEGRATION or content == (trained / name).read_bytes()
        [line] = [line for line in done.stdout.splitlines() if f" {name} " in line]
        assert f" {len(content):,} " in line and hashlib.sha256(content).hexdigest() in line
    assert load_bundle(place).card == load_card(trained)
    assert [path.name for path in place.parent.iterdir()] == ["models"], "nothing is left beside it"
    assert place.stat().st_mode == (tmp_path / "app").stat().st_mode
    page = (place / INTEGRATION).read_text()
    assert "not a click-through rate" in page
    assert all(hashlib.sha256((place / name).read_bytes()).hexdigest() in page for name in PLAIN - {INTEGRATION})
    assert str(tmp_path) not in page and "\n\n\n" not in page


def run_in(place, code):
    """Run the page's code as a service would: another process, with nothing of this one's paths or settings."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "THUMBRANK_AUDIT_LOG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env=kept | {"HOME": str(place)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "tuned", [pytest.param(False, id="frozen"), pytest.param(True, id="tuned", marks=pytest.mark.slow)]
)
def test_a_service_that_follows_the_page_scores_as_the_bundle_does(export, folder, tmp_path, tuned):
    if tuned:
        with_tuned_encoder(folder)
    place = tmp_path / "served"
    assert export(place, "--model", folder).exit_code == 0
    assert (FOLDER in {path.name for path in place.iterdir()}) is tuned
    pictures = [draw(place / name, number).read_bytes() for name, number in (("a.jpg", 1), ("b.jpg", 2))]
    bundle = load_bundle(folder)
    encoders = LoadedEncoders.of(bundle)
    title = "The title that the video will have"
    image, text = encoders.pictures([encoders.square(p) for p in pictures]), encoders.titles([title] * 2)
    score = bundle.score(image, text)
    ranking = score_candidates(bundle, encoders, pictures, [title])
    with_thumbrank, with_onnx = code_of(place / INTEGRATION)
    assert len([line for line in with_thumbrank.splitlines() if line]) <= 10

    first, second, verdict = run_in(place, with_thumbrank)
    for line, candidate in zip((first, second), ranking.candidates, strict=True):
        rank, position, told = line.split()
        assert (int(rank), int(position)) == (candidate.rank, candidate.position)
        assert float(told) == pytest.approx(score[candidate.position], abs=1e-5)
    told = "too close to call" if ranking.too_close_to_call else f"P(best beats second) = {ranking.beats[0, 1]:.3f}"
    assert verdict == told

    if tuned:
        return  # the network takes vectors, whatever made them
    np.save(place / "image.npy", image)
    np.save(place / "title.npy", text)
    [line] = run_in(place, with_onnx)
    numbers = [float(text) for text in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", line)]
    assert numbers[:2] == pytest.approx(score.tolist(), abs=1e-4)
    order = [candidate.position for candidate in ranking.candidates]
    beats = np.array(numbers[2:]).reshape(2, 2)[np.ix_(order, order)]
    assert np.allclose(beats, ranking.beats, atol=1e-4)


def test_the_page_in_docs_shows_the_same_code(export, trained, tmp_path):
    assert export(tmp_path / "there", "--model", trained).exit_code == 0
    shown = code_of(DOCS / "serving.md")
    assert shown and set(shown) <= set(code_of(tmp_path / "there" / INTEGRATION))


def test_a_dry_run_says_the_same_and_writes_nothing(export, trained, tmp_path):
    dry = export(tmp_path / "new" / "there", "--model", trained, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert list(tmp_path.iterdir()) == []
    wet = export(tmp_path / "new" / "there", "--model", trained)
    assert dry.stdout.splitlines()[1:-1] == wet.stdout.splitlines()[1:-1]
    assert "Nothing was written" in dry.stdout


def test_an_earlier_export_is_replaced_whole_and_an_empty_folder_is_taken(export, folder, tmp_path):
    place = tmp_path / "there"
    place.mkdir()
    before = load_card(folder)
    with_tuned_encoder(folder)
    assert export(place, "--model", folder).exit_code == 0
    assert f"{FOLDER}/model.safetensors" in files_in(place)
    save_card(folder, before)
    assert export(place, "--model", folder).exit_code == 0
    assert files_in(place) == PLAIN


def test_a_folder_with_anything_else_in_it_is_left_as_it_is(export, trained, tmp_path):
    def refused(place):
        before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
        said = sentence(export(place, "--model", trained))
        assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
        assert sentence(export(place, "--model", trained, "--dry-run")) == said
        return said

    for name, why in (("notes.txt", "holds notes.txt"), (STATE, f"holds no {CARD} and {INTEGRATION}")):
        place = tmp_path / name.partition(".")[0]
        place.mkdir()
        (place / name).write_text("mine")
        assert f"{place} is not empty and no earlier export ({why})" in refused(place)
    place = tmp_path / "app"
    assert export(place, "--model", trained).exit_code == 0
    (place / "service.py").write_text("mine")
    assert "holds service.py" in refused(place)
    assert "is not empty" in refused(trained)
    for file in (place / CARD, place / CARD / "below"):
        assert "is a file or lies below one" in sentence(export(file, "--model", trained))


def test_a_write_that_fails_leaves_the_earlier_export(export, folder, tmp_path, monkeypatch):
    place = tmp_path / "there"
    assert export(place, "--model", folder).exit_code == 0
    before = (place / INTEGRATION).read_bytes()

    def fail(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(deployable, "write_bytes", fail)
    assert "cannot be written (Permission denied)" in sentence(export(place, "--model", folder))
    assert files_in(place) == PLAIN and (place / INTEGRATION).read_bytes() == before
    monkeypatch.undo()
    place.rename(tmp_path / ".there.thumbrank-old")  # killed between the two renames
    (tmp_path / ".there.thumbrank-part").mkdir()
    assert export(place, "--model", folder).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "there"]


def test_a_bundle_that_is_not_whole_is_not_exported(export, folder, tmp_path):
    place = tmp_path / "there"

    def said():
        line = sentence(export(place, "--model", folder))
        assert not place.exists()
        return line

    onnx = (folder / ONNX).read_bytes()
    (folder / ONNX).write_bytes(onnx + b"x")
    assert f"{folder / ONNX} is not the file that {CARD} names" in said()
    (folder / ONNX).unlink()
    assert f"{folder} has no {ONNX}" in said()
    (folder / ONNX).write_bytes(onnx)
    card = load_card(folder)
    save_card(folder, card.model_copy(update={"files": {**card.files, "../../secret": "0" * 64}}))
    assert "names '../../secret', which no bundle has" in said()
    save_card(folder, card.model_copy(update={"title_encoder": "another"}))
    assert "is not the one the model was trained with" in said()
    save_card(folder, card)
    with_tuned_encoder(folder)
    (folder / FOLDER / "model.safetensors").write_bytes(b"not it")
    assert "not those that the encoder.json beside them pins" in said()


def test_without_a_champion_nothing_is_exported(export, tmp_path, monkeypatch):
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path / "new"))
    assert "No model is the champion yet" in sentence(export(tmp_path / "there"))
    assert list(tmp_path.iterdir()) == []
