"""The most memory that a process and its children used together."""

import subprocess
import sys
import time

from thumbrank_dagster.memory import PeakMemory

CHILD = "held = bytearray(b'x') * (256 * 2**20); print('held', flush=True); input()"


def test_what_a_child_holds_is_counted_also_after_its_end():
    with PeakMemory() as before:
        pass
    with (
        PeakMemory() as memory,
        subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child,
    ):
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        deadline = time.monotonic() + 30
        while memory.megabytes < before.megabytes + 256 and time.monotonic() < deadline:
            time.sleep(0.05)
        child.communicate("\n")
    assert before.megabytes > 10
    assert 256 <= memory.megabytes - before.megabytes < 256 + 64
