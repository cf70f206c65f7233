"""INTEGRATION.md at the top: its service ranks an exported model as the library does, and answers in sentences."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.integration.shipping import TITLE, code_of, draw, train_tiny
from thumbrank_core.cli import app
from thumbrank_core.commands.score import RankingOut
from thumbrank_core.deployable import INTEGRATION
from thumbrank_core.model.bundle import load_bundle
from thumbrank_core.scoring import CALLED_FROM, LoadedEncoders, score_candidates
from thumbrank_core.store.picture import MAX_BYTES, MAX_PIXELS

PAGE = Path(__file__).parents[2] / INTEGRATION
ASK = """
import json, sys
ranker = Ranker(Path(sys.argv[1]))
pictures = [Path(name).read_bytes() for name in sys.argv[3:]]
print(json.dumps([ranker.rank(pictures, [sys.argv[2]]), ranker.rank(pictures[:1], [sys.argv[2]]), ranker.rank([b"no", b"picture"], ["t"])]))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """What `thumbrank export` writes, as the page tells it."""
    home = tmp_path_factory.mktemp("home")
    place = home / "app" / "models" / "thumbnails"
    done = CliRunner().invoke(app, ["export", str(place), "--model", str(train_tiny(home / "models"))])
    assert done.exit_code == 0, done.output
    return place


def test_the_service_of_the_page_ranks_as_the_library_does(exported, tmp_path):
    [service] = code_of(PAGE)
    pictures = [draw(tmp_path / f"{name}.jpg", number) for number, name in enumerate("abc", start=1)]
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "THUMBRANK_AUDIT_LOG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", service + ASK, str(exported), TITLE, *map(str, pictures)],
        cwd=tmp_path,
        env=kept | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ranked, too_few, broken = json.loads(done.stdout)
    bundle = load_bundle(exported)
    expected = score_candidates(bundle, LoadedEncoders.of(bundle), [path.read_bytes() for path in pictures], [TITLE])
    assert ranked["order"] == [candidate.position for candidate in expected.candidates]
    assert np.allclose(ranked["p_beats"], expected.beats, atol=1e-6)
    assert ranked["too_close_to_call"] is expected.too_close_to_call
    assert ranked["fingerprint"] == bundle.card.fingerprint
    assert "two or more" in too_few["error"]
    assert "Candidate 1 cannot be scored" in broken["error"]


def test_what_the_page_promises_is_what_the_code_does(exported):
    text = PAGE.read_text(encoding="utf-8")
    assert f"below {CALLED_FROM:.0%}".replace("%", " %") in text
    assert f"{MAX_BYTES / 1e6:.0f} MB" in text or f"{MAX_BYTES / 2**20:.0f} MB" in text
    assert MAX_PIXELS == 3840 * 2160 and "3840x2160" in text
    assert {"fingerprint", "too_close_to_call", "candidates"} <= set(RankingOut.model_fields)
    # What is true of one model stands in the folder; the two pages show no code twice.
    assert not set(code_of(PAGE)) & set(code_of(exported / INTEGRATION))
