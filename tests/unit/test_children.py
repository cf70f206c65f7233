"""What `thumbrank dev` starts: asked to end, waited for, and killed where it does not hear."""

import os
import signal
import sys
import time

from thumbrank_core.progress import LineSink, listen
from thumbrank_dagster import children
from thumbrank_dagster.children import Child

DEAF = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
HEARING = (
    "import time; print('hears', flush=True)\ntry: time.sleep(60)\nexcept KeyboardInterrupt: print('ended', flush=True)"
)


def started(code, tmp_path):
    """A child that has said its first word."""
    said = tmp_path / "said"
    line = f'exec {sys.executable} -c "$CODE" > {said}'
    child = Child("Deaf Dagster", ["/bin/sh", "-c", line], os.environ | {"CODE": code}, tmp_path)
    deadline = time.monotonic() + 30
    while not said.exists() or not said.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return child, said


def test_a_child_that_hears_ends_by_itself_and_nothing_is_said(tmp_path):
    child, said = started(HEARING, tmp_path)
    heard = []
    with listen(LineSink(heard.append)):
        child.stop()
    assert (child.status, said.read_text(), heard) == (0, "hears\nended\n", [])


def test_a_child_that_does_not_is_killed_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "STOP_SECONDS", 0.5)
    child, _ = started(DEAF, tmp_path)
    began, heard = time.monotonic(), []
    with listen(LineSink(heard.append)):
        child.stop()
    assert child.status is not None and time.monotonic() - began < 30, "its own end would come after a minute"
    assert heard == ["Deaf Dagster did not end within 0.5 s: what is left of it (1) is killed."]


def test_what_is_left_of_a_child_that_ended_by_itself_is_asked_as_well(tmp_path):
    """Its own children waited for it to ask them: nobody would, for a minute."""
    left = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {HEARING!r}]).wait()"
    child, said = started(left, tmp_path)
    os.kill(child._process.pid, signal.SIGKILL)
    child._process.wait()
    heard = []
    with listen(LineSink(heard.append)):
        child.stop()
    assert (said.read_text(), heard) == ("hears\nended\n", [])
