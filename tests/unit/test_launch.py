"""How a worker's process ends."""

import pytest

from thumbrank_core import launch
from thumbrank_core.errors import ThumbrankError


def raising(error):
    def work():
        raise error

    return work


def test_work_that_is_done_ends_with_0_and_says_nothing(capsys):
    assert launch.exit_status(lambda: "whatever it gives") == 0
    assert capsys.readouterr() == ("", "")


def test_a_mendable_error_is_one_sentence_on_stderr_and_ends_with_1(capsys):
    assert launch.exit_status(raising(ThumbrankError("Name a niche."))) == 1
    assert capsys.readouterr() == ("", "Name a niche.\n")


def test_ctrl_c_ends_with_130():
    assert launch.exit_status(raising(KeyboardInterrupt())) == 130


def test_a_defect_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        launch.exit_status(raising(ZeroDivisionError()))
