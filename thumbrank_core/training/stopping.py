"""Ctrl-C and SIGTERM during training: the step in hand is finished, the state is saved, and then the signal has its way."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether somebody asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def pass_on(self) -> None:
        """Let the signal do what it would have done; to be called outside of `stop_requests`."""
        if self.signal is not None:
            signal.raise_signal(self.signal)


@contextmanager
def stop_requests() -> Generator[StopRequest]:
    """Hold the signals back while the block runs. A second one is not held: whoever presses Ctrl-C twice means it.

    Only the main thread can hold signals; in another one the request is never asked.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    former = {number: signal.getsignal(number) for number in SIGNALS}

    def hold(number: int, frame: FrameType | None) -> None:
        request.signal = number
        _restore(former)

    for number in SIGNALS:
        signal.signal(number, hold)
    try:
        yield request
    finally:
        _restore(former)


def _restore(former: "dict[signal.Signals, signal._HANDLER]") -> None:  # pyright: ignore[reportPrivateUsage]
    for number, handler in former.items():
        signal.signal(number, handler)
