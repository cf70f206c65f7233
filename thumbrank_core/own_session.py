"""`python -m thumbrank_core.own_session PID …`: becomes `python …` in a session of its own, which ends when process PID does.

What belongs here: what a launcher of several processes is before it is torchrun or accelerate. A session of its own, because a signal
to the group of its parent would reach it beside its parent's: two of them, and its workers are ended in the middle of a step
instead of after it. The end with its parent, because it would otherwise wait for workers that nobody needs, half an hour long;
only Linux tells a child of that.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Take the place of this process."""
    parent = int(sys.argv[1])
    if os.getsid(0) != os.getpid():
        os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        sys.exit(1)
    os.execv(sys.executable, [sys.executable, *sys.argv[2:]])  # noqa: S606 our own interpreter


if __name__ == "__main__":
    main()
