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
    """Imported once; then the graph with our labels, and with the guide's."""
    with new_home() as home, pytest.MonkeyPatch.context() as patch:
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
        ours = run(home, "run", "--niche", "gaming", "--encoders", "tiny")
        patch.setenv("THUMBRANK_PROFILE", "guide")
        guide = run(home, "run", "--niche", "gaming", "--encoders", "tiny")
        assert left_behind(home) == []
        report = re.search(r"Report:\s+(\S+)", guide.stdout)
        assert report, guide.stdout + guide.stderr
        page = Path(report.group(1))
        yield imported, ours, guide, page.read_text(), json.loads((page.parent / "evaluation.json").read_text())


def test_200_rows_come_in_and_two_without_views_are_reported(done):
    imported = done[0]
    assert imported.returncode == 0, imported.stderr
    assert re.search(r"rows read\W+200\b", imported.stdout)
    assert re.search(r"videos stored\W+198\b", imported.stdout)
    assert re.search(r"rows without views\W+2\b", imported.stdout)
    assert re.search(r"pictures stored\W+198\b", imported.stdout)
    assert "few_subscribers, inactive_channel" in imported.stdout


def test_videos_of_a_week_and_older_are_too_few_to_train_on_and_it_says_so(done):
    ours = done[1]
    assert ours.returncode == 1
    assert "gaming: 133 pairs in 13 channels" in ours.stderr
    assert "None of the 13 channels with pairs is a validation channel" in ours.stderr


def test_the_guide_s_label_is_a_clock_on_young_videos(done):
    guide, figures = done[2], done[4]
    assert "gaming: 313 pairs in 27 channels, 116 pictures embedded (116 distinct)" in guide.stderr
    everywhere = figures["all_pairs"]
    assert (everywhere["n_pairs"], everywhere["n_channels"]) == (313, 27)
    assert everywhere["newer_wins"] == pytest.approx(0.82, abs=0.01)
    assert figures["label"] == "views_per_hour"


def test_a_model_is_trained_and_the_report_says_how_little_it_proves(done):
    _, _, guide, page, figures = done
    assert guide.returncode == 0, guide.stderr
    assert "27 channels can prove little" in page
    assert "0.824" in page
    assert "A simulated world" not in page
    assert figures["verdict"] == "refused"
    assert figures["ceiling"] is None
