"""The weak signals on 198 real thumbnails beside the project (make test-real): what is covered and how they differ.

Title match is missing here: the tiny encoder's text tower knows only the simulator's words, so a cosine of its vectors
would mean nothing for a real title. A real CLIP gives it, from stored vectors.
"""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.contact_sheet import contact_sheet
from thumbrank_core.features.signals.combine import combine, correlations, mean_off_diagonal
from thumbrank_core.features.signals.definitions import MEASURES, SIGNALS
from thumbrank_core.features.signals.measure import measure

pytestmark = pytest.mark.real
DATA = Path(__file__).resolve().parents[3] / "shared" / "real" / "red-means-go"


@pytest.fixture(scope="module")
def jpegs() -> list[bytes]:
    return [path.read_bytes() for path in sorted((DATA / "thumbnails").glob("*.jpg"))]


@pytest.fixture(scope="module")
def readings(jpegs: list[bytes]) -> dict[str, np.ndarray]:
    read = [[np.nan if reading.value is None else reading.value for reading in measure(jpeg)] for jpeg in jpegs]
    return dict(zip(MEASURES, np.array(read).T, strict=True))


def test_every_picture_is_read_and_a_third_shows_a_frontal_face(readings: dict[str, np.ndarray]):
    coverage = dict(zip(SIGNALS, combine(readings).coverage.tolist(), strict=True))
    print({name: round(share, 3) for name, share in coverage.items()})  # noqa: T201
    assert coverage == pytest.approx(
        {"clarity": 1, "contrast": 1, "prominence": 1, "emotion": 0.32, "hierarchy": 1, "title_match": 0}, abs=0.03
    )
    assert np.mean(readings["hierarchy.text.1"] > 0) == pytest.approx(0.79, abs=0.05)


def test_the_signals_are_not_copies_of_one_another(readings: dict[str, np.ndarray]):
    table = correlations(combine(readings).values)
    print(np.round(table, 2), f"mean |off-diagonal| {mean_off_diagonal(table):.2f}")  # noqa: T201
    assert mean_off_diagonal(table) < 0.3


def test_a_contact_sheet_of_top_and_bottom_eight(jpegs: list[bytes], readings: dict[str, np.ndarray], tmp_path: Path):
    signals = combine(readings).values
    named = {name: signals[:, column] for column, name in enumerate(SIGNALS) if name != "title_match"}
    sheet = contact_sheet([Image.open(io.BytesIO(jpeg)) for jpeg in jpegs], named)
    sheet.save(tmp_path / "signals.png")
    print(tmp_path / "signals.png")  # noqa: T201
    assert sheet.size == (8 * 160, 2 * 5 * 104)
