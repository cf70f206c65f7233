"""Ctrl-C and SIGTERM at awkward moments: each program below is interrupted where Python or a library would swallow or print it."""

import subprocess
import sys
import textwrap

import pytest

BEGIN = """
import os, signal, sys, time
from thumbrank_core.interrupts import end_on_signals
end_on_signals()
def wait():
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit("ended")
"""
FINALIZER = """
class Held:
    def __del__(self):
        os.kill(os.getpid(), signal.{0})
        time.sleep(60)
Held()
wait()
"""
RUN = """
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._utils.interrupts import capture_interrupts, raise_interrupts_as
def wait():
    try:
        time.sleep(60)
    except DagsterExecutionInterruptedError:
        sys.exit("ended")
with capture_interrupts(), raise_interrupts_as(DagsterExecutionInterruptedError):
"""
POOL = """
from sqlalchemy import create_engine, event
engine = create_engine("sqlite://")
event.listen(engine.pool, "reset", lambda *_: os.kill(os.getpid(), signal.{0}))
try:
    engine.connect().close()
except KeyboardInterrupt:
    sys.exit("ended")
"""
BACKGROUND = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
from dagster._utils.interrupts import capture_interrupts
from thumbrank_core.interrupts import sigterm_kept
with sigterm_kept(), capture_interrupts():
    pass
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)
except KeyboardInterrupt:
    sys.exit("ended")
"""
DEFECT = """
class Held:
    def __del__(self):
        raise ValueError("a defect")
Held()
import logging
try:
    raise ValueError("another")
except ValueError:
    logging.getLogger("library").error("said", exc_info=True)
"""


def said(code, begin=BEGIN):
    done = subprocess.run([sys.executable, "-c", begin + code], capture_output=True, text=True, timeout=50)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_one_that_fell_into_a_finalizer_comes_again(name):
    assert said(FINALIZER.format(name)) == (1, "ended\n")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_one_that_fell_into_a_finalizer_while_dagster_runs_a_graph_comes_again(name):
    assert said(RUN + textwrap.indent(FINALIZER.format(name), "    ")) == (1, "ended\n")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_so_it_does_in_a_process_that_dagster_starts_for_a_run(name):
    """It has Dagster's handlers and the code location, and none of ours."""
    begin = "import os, sys, signal, time\nimport thumbrank_dagster.definitions\n"
    assert said(RUN + textwrap.indent(FINALIZER.format(name), "    "), begin) == (1, "ended\n")


def test_one_in_a_finalizer_comes_again_where_nobody_handles_sigterm():
    """As in a program that only imports the code location."""
    code = "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n" + FINALIZER.format("SIGINT")
    assert said(code) == (1, "ended\n")


def test_one_in_a_finalizer_comes_again_where_ctrl_c_is_ignored():
    """As below nohup, where only SIGTERM is heard."""
    code = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + FINALIZER.format("SIGTERM")
    assert said(code) == (1, "ended\n")


def test_a_background_job_ends_on_sigterm_also_after_dagster_ran():
    assert said(BACKGROUND) == (1, "ended\n")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_one_while_a_library_cleans_up_is_not_logged_as_a_failure(name):
    assert said(POOL.format(name)) == (1, "ended\n")


def test_a_defect_in_either_place_is_still_printed():
    status, text = said(DEFECT)
    assert status == 0
    assert "ValueError: a defect" in text
    assert "ValueError: another" in text
