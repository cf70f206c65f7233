"""Progress: plain lines where nobody watches, and one closing line for what took long."""

import io
import time

from thumbrank_core.explain import explain
from thumbrank_core.progress import LineSink, RichSink, console_sink, listen, say, track
from thumbrank_core.store.errors import StoreError


def test_work_in_a_pipe_is_plain_lines_with_what_is_left():
    lines = []
    with listen(LineSink(lines.append, every=0.0)), track("pictures", 10) as advance:
        time.sleep(0.01)
        advance(5)
    assert lines[0].startswith("pictures: 5 of 10, about 0 s left")


def test_quick_work_says_nothing():
    lines = []
    with listen(LineSink(lines.append)), track("pictures", 10) as advance:
        advance(10)
        say("news")
    assert lines == ["news"]


def test_a_terminal_gets_bars_and_a_pipe_does_not():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert isinstance(console_sink(Terminal()), RichSink)
    assert isinstance(console_sink(io.StringIO()), LineSink)


def test_an_error_is_explained_through_its_wrappers():
    try:
        try:
            raise StoreError("The cluster is gone: make another.")
        except StoreError as inner:
            raise RuntimeError("wrapped") from inner
    except RuntimeError as outer:
        assert explain(outer) == "The cluster is gone: make another."


def test_a_full_disk_is_explained_and_a_defect_is_not():
    assert "is full: free space" in str(explain(OSError(28, "No space left on device", "/data/x")))
    full = RuntimeError("could not extend file: No space left on device")
    assert "disk of the database is full" in str(explain(full))
    assert explain(KeyError("x")) is None


def test_a_cycle_of_causes_ends():
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert explain(first) is None
