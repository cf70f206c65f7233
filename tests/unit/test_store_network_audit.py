"""The watch on the network would catch what it is there to catch."""

import os
import subprocess
import sys
from pathlib import Path

AUDIT_FOLDER = Path(__file__).parents[1] / "audit"


def run_child(code: str, log: Path, *more_path: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(folder) for folder in (AUDIT_FOLDER, *more_path))
    environment = os.environ | {"THUMBRANK_AUDIT_LOG": str(log), "PYTHONPATH": path}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30)


def test_a_child_that_tries_another_machine_is_written_down(tmp_path: Path) -> None:
    code = "import socket; s = socket.socket(); s.setblocking(False); s.connect_ex(('192.0.2.1', 9))"
    run_child(code, tmp_path / "log")
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert "socket.connect" in line and "192.0.2.1" in line and "test_a_child_that_tries" in line


def test_a_datagram_and_a_name_are_written_down(tmp_path: Path) -> None:
    code = (
        "import socket\n"
        "s = socket.socket(type=socket.SOCK_DGRAM); s.setblocking(False)\n"
        "for act in (lambda: s.sendto(b'', ('192.0.2.1', 9)), lambda: socket.getaddrinfo('name.invalid', 9)):\n"
        "    try: act()\n"
        "    except OSError: pass\n"
    )
    run_child(code, tmp_path / "log")
    text = (tmp_path / "log").read_text()
    assert "socket.sendto" in text and "socket.getaddrinfo" in text and "name.invalid" in text


def test_a_grandchild_is_watched_too(tmp_path: Path) -> None:
    inner = "import socket; s = socket.socket(); s.setblocking(False); s.connect_ex(('192.0.2.1', 9))"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    run_child(code, tmp_path / "log")
    assert "192.0.2.1" in (tmp_path / "log").read_text()


def test_this_machine_and_unix_sockets_are_not_written_down(tmp_path: Path) -> None:
    code = (
        "import socket\n"
        "socket.getaddrinfo('localhost', 80); socket.getaddrinfo('127.0.0.1', 80); socket.getaddrinfo(None, 80)\n"
        "socket.socket().connect_ex(('127.0.0.1', 1))\n"
        "socket.socket(socket.AF_INET6).connect_ex(('::1', 1))\n"
        "socket.socket(socket.AF_UNIX).connect_ex('/nonexistent')\n"
    )
    assert run_child(code, tmp_path / "log").returncode == 0
    assert not (tmp_path / "log").exists()


def test_another_sitecustomize_still_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('the other one')")
    assert run_child("pass", tmp_path / "log", tmp_path).stdout == "the other one\n"


def test_a_session_with_an_attempt_fails_and_names_the_test(tmp_path: Path) -> None:
    conftest = Path(__file__).parents[1] / "conftest.py"
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "sitecustomize.py").write_text((AUDIT_FOLDER / "sitecustomize.py").read_text())
    (tmp_path / "conftest.py").write_text(conftest.read_text())
    (tmp_path / "test_bad.py").write_text(
        "import socket\n"
        "def test_looks_harmless():\n"
        "    s = socket.socket(); s.setblocking(False); s.connect_ex(('192.0.2.1', 9))\n"
    )
    inherited = os.environ["PYTHONPATH"].split(os.pathsep)
    path = [str(Path(__file__).parents[2]), *(folder for folder in inherited if folder != str(AUDIT_FOLDER))]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        env=own | {"PYTHONPATH": os.pathsep.join(path), "THUMBRANK_AUDIT_LOG": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 passed" in done.stdout and "192.0.2.1" in done.stdout and "test_looks_harmless" in done.stdout
