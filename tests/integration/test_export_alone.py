"""Two exports of a bundle into one place: the second one is told, and nothing of the first is touched."""

import fcntl
import os

import pytest
from typer.testing import CliRunner

from tests.integration.shipping import train_tiny
from thumbrank_core.cli import app
from thumbrank_core.deployable import INTEGRATION


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("home") / "models")


def test_an_export_beside_one_that_is_under_way_is_refused_in_one_sentence(trained, tmp_path):
    place = tmp_path / "app" / "models"
    place.parent.mkdir()
    words = ["export", str(place), "--model", str(trained)]
    handle = os.open(place.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        done = CliRunner().invoke(app, words)
    finally:
        os.close(handle)
    assert done.exit_code == 1
    [line] = done.stderr.splitlines()
    assert f"Another export is writing in {place.parent}: wait for it to end, and repeat." in line
    assert list(place.parent.iterdir()) == []
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (place / INTEGRATION).is_file()
