"""Loaded by every Python child of the tests: writes down each attempt to reach another machine.

One line an attempt (process, test, argv, event, address) in the file named by THUMBRANK_AUDIT_LOG; without that
variable it does nothing. conftest.py puts this folder on PYTHONPATH and fails the session when the file is not empty.
It only records: the attempt goes on, so that the code under test behaves as it would.
"""

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path

LOCAL = {None, "", "localhost", "::1", "0.0.0.0", "::", b"localhost", b"127.0.0.1", b"::1"}


def _is_local(host: object) -> bool:
    # Netlink and packet addresses begin with a number; they name no machine.
    return isinstance(host, int) or host in LOCAL or (isinstance(host, str) and host.startswith("127."))


def _target(event: str, arguments: tuple) -> object:
    if event == "socket.getaddrinfo":
        return arguments[0]
    address = arguments[1]
    return address[0] if isinstance(address, tuple) else None  # a text is a Unix socket, None a connected socket


def install(log: str) -> None:
    """Watch this process from now on; a hook cannot be taken out again."""

    def hook(event: str, arguments: tuple) -> None:
        if event not in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"):
            return
        host = _target(event, arguments)
        if _is_local(host):
            return
        test = os.environ.get("PYTEST_CURRENT_TEST", "outside a test")
        argv = " ".join(getattr(sys, "argv", []))[:200].replace("\n", " ")
        line = f"pid {os.getpid()}\t{test}\t{argv}\t{event}\t{host!r}\n"
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(handle, line.encode(errors="replace"))
        finally:
            os.close(handle)

    sys.addaudithook(hook)


def _load_the_next_one() -> None:
    """This file hides any other sitecustomize behind it on the path; run that one too."""
    here = Path(__file__).resolve().parent
    others = [folder for folder in sys.path if Path(folder or ".").resolve() != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    if os.environ.get("THUMBRANK_AUDIT_LOG"):
        install(os.environ["THUMBRANK_AUDIT_LOG"])
    _load_the_next_one()
