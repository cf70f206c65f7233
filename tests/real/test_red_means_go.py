"""The main job on real thumbnails: 200 recorded rows and 198 pictures beside the project (make test-real)."""

import json
import re
from pathlib import Path

import pytest

from tests.e2e.processes import left_behind, new_home, run

pytestmark = pytest.mark.real
DATA = Path(__file__).resolve().parents[3] / "shared" / "real" / "red-means-go"


@pytest.fixture(scope="module")
def done():
    with new_home() as home:
        imported = run(
            home,
            "import",
            DATA / "fortnite_full_metadata.csv",
            "--images",
            DATA / "thumbnails",
            "--niche",
            "gaming",
            "--observed-at",
            "2020-04-17T00:00Z",
        )
        ran = run(home, "run", "--niche", "gaming", "--encoders", "tiny")
        assert left_behind(home) == []
        report = re.search(r"Report:\s+(\S+)", ran.stdout)
        assert report, ran.stdout + ran.stderr
        page = Path(report.group(1))
        yield imported, ran, page.read_text(), json.loads((page.parent / "evaluation.json").read_text())


def test_200_rows_come_in_and_two_without_views_are_reported(done):
    imported = done[0]
    assert imported.returncode == 0, imported.stderr
    assert re.search(r"rows read\W+200\b", imported.stdout)
    assert re.search(r"videos stored\W+198\b", imported.stdout)
    assert re.search(r"rows without views\W+2\b", imported.stdout)
    assert re.search(r"pictures stored\W+198\b", imported.stdout)
    assert "few_subscribers, inactive_channel" in imported.stdout


def test_338_pairs_in_35_channels_and_the_clock_alone_reaches_084(done):
    everywhere = done[3]["all_pairs"]
    assert (everywhere["n_pairs"], everywhere["n_channels"]) == (338, 35)
    assert everywhere["newer_wins"] == pytest.approx(0.84, abs=0.01)
    assert done[3]["label"] == "views_per_hour"
    assert "gaming: 338 pairs in 35 channels, 198 pictures embedded (197 distinct)" in done[1].stderr


def test_a_model_is_trained_and_the_report_says_how_little_it_proves(done):
    _, ran, page, figures = done
    assert ran.returncode == 0, ran.stderr
    assert "35 channels can prove little" in page
    assert "0.84" in page
    assert "A simulated world" not in page
    assert figures["verdict"] == "refused"
    assert figures["ceiling"] is None
