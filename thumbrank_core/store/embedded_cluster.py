"""The embedded Postgres cluster on disk and the child process that serves it.

What belongs here: making a cluster, its files (password, log, version) and how a child is started so that it ends with
us. What does not: when to start, attach or stop (embedded.py), and where the cluster lies (embedded_place.py).
"""

import contextlib
import ctypes
import errno
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thumbrank_core.store.embedded_place import Account, Place
from thumbrank_core.store.errors import EmbeddedPostgresError
from thumbrank_core.store.files import replacing

USER = "postgres"
LOG_LIMIT_BYTES = 5 * 1024 * 1024

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: a forked child of a threaded process must not load anything.
_prctl: Callable[..., int] | None = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


_DISK_FULL = r"No space left|Disk quota exceeded|wrote only \d+ of|free disk space"
"""What PostgreSQL says of a full disk; the last two when part of a page still went in."""


def explain_failure(output: str, folder: Path, log: Path) -> str:
    """One sentence for what PostgreSQL or initdb wrote before it ended."""
    line = next((line for line in output.splitlines() if re.search(rf"FATAL|PANIC|error:|{_DISK_FULL}", line)), "")
    if re.search(_DISK_FULL, output):
        where = "/dev/shm" if "shared memory" in line else str(folder)  # noqa: S108 named, not used
        return f"The disk of {where} is full: free space there, or set THUMBRANK_HOME to a folder on another disk."
    if "Address already in use" in output:
        port = re.search(r"port (\d+)", output)
        number = f" {port[1]}" if port else ""
        return f"The port{number} on 127.0.0.1 is taken: choose another one, or none for a free one."
    if "could not look up effective user ID" in output:
        return f"PostgreSQL needs a name for the user id {os.geteuid()}: add it to /etc/passwd, or set DATABASE_URL."
    reason = re.sub(r"^.*?(?:FATAL|PANIC|error): *", "", line).strip() or "it said nothing"
    return f"PostgreSQL did not start in {folder} ({reason}): {log} has the rest."


def explain_os_error(error: OSError, folder: Path) -> EmbeddedPostgresError:
    """One sentence for a file system that refuses: full, or not ours."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EmbeddedPostgresError(explain_failure("No space left", folder, folder))
    path = error.filename or folder
    return EmbeddedPostgresError(
        f"The embedded PostgreSQL cannot use {path} ({error.strerror or error}): run as the owner of {folder}, "
        "or set THUMBRANK_HOME to a folder of yours."
    )


def make_cluster(place: Place, folder: Path, running: int, *, durable: bool) -> None:
    """initdb beside the place, then one rename: a cluster is there whole or not at all.

    initdb and its children inherit the lock `running`: what a killed run left is only cleared away once they are gone.
    """
    for halfway in place.base.glob("making-*"):
        shutil.rmtree(halfway)
    work = Path(tempfile.mkdtemp(prefix="making-", dir=place.base))
    password = secrets.token_urlsafe(24)
    password_file = work / "password"
    _write_private(password_file, password, durable=False)
    if place.account is not None:
        for path in (work, password_file):
            os.chown(path, place.account.uid, place.account.gid)
    arguments = [str(place.binaries / "initdb"), "-D", str(work / "data"), "-U", USER, f"--pwfile={password_file}"]
    arguments += [
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--data-checksums",
        "--no-instructions",
    ]
    if program_major(place) >= 16:
        # The password is 24 random bytes: hashing it 4,096 times protects nothing and costs every connection 2 ms.
        arguments.append("--set=scram_iterations=1")
    done = subprocess.run(
        arguments if durable else [*arguments, "--no-sync"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        preexec_fn=dying_with_parent(signal.SIGKILL),
        start_new_session=True,
        pass_fds=(running,),
        **child_options(place.account),
    )
    if done.returncode != 0:
        shutil.rmtree(work, ignore_errors=True)
        raise EmbeddedPostgresError(
            explain_failure(done.stdout + done.stderr, place.base, folder.parent / "postgres.log")
        )
    _write_private(folder / "password", password, durable=durable)
    (work / "data").rename(place.data)
    shutil.rmtree(work)


def read_password(folder: Path, place: Place) -> str:
    """The cluster's password; a missing file is an error with the way out."""
    try:
        return (folder / "password").read_text(encoding="ascii")
    except FileNotFoundError:
        raise EmbeddedPostgresError(
            f"{folder / 'password'} is missing, so the database in {place.data} cannot be opened: restore that file, "
            "or move both folders away to begin anew."
        ) from None


def _write_private(path: Path, text: str, *, durable: bool) -> None:
    """Write whole and readable by the folder's owner alone."""
    with replacing(path, private=True, durable=durable) as part:
        part.write_text(text, encoding="ascii")
        _give_to_owner_of_folder(part)


def _give_to_owner_of_folder(path: Path) -> None:
    """What root writes into a user's home must stay usable by that user."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def trim_log(log: Path) -> None:
    """Keep at most two logs of the limit's size. The server appends, so that emptying the file under it is safe."""
    if not log.exists():
        log.touch(mode=0o600)
        _give_to_owner_of_folder(log)
    elif log.stat().st_size > LOG_LIMIT_BYTES:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def check_version(place: Place) -> None:
    """Refuse programs of another major version than the one that made the cluster."""
    made_by = (place.data / "PG_VERSION").read_text().strip()
    if str(program_major(place)) != made_by:
        raise EmbeddedPostgresError(
            f"The database in {place.data} was made by PostgreSQL {made_by}, but {place.binaries} is another version: "
            f"set PG_BIN to the bin folder of PostgreSQL {made_by}."
        )


def program_major(place: Place) -> int:
    """The major version of the programs; 0 where they do not say."""
    program = subprocess.run(
        [str(place.binaries / "postgres"), "--version"], capture_output=True, text=True, check=True, cwd="/"
    )
    major = re.search(r"(\d+)", program.stdout)
    return int(major.group(1)) if major else 0


def version_options(place: Place) -> dict[str, str]:
    """Settings that only some versions know."""
    made_by = int((place.data / "PG_VERSION").read_text())
    return {"io_method": "sync"} if made_by >= 18 else {}  # 18 would start three more processes for I/O


def remove_stale_pid_file(data: Path) -> None:
    """No server of ours lives (we hold its lock), so a postmaster.pid is left from a crash.

    PostgreSQL would still refuse if its number now belongs to another process of the same account. A server that was
    started by hand works in the data folder: then the file stays, and PostgreSQL refuses as it should.
    """
    pid_file = data / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
        pid = int(pid_file.read_text().splitlines()[0])
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cwd").samefile(data):
                return
        pid_file.unlink()


def child_options(account: Account | None) -> dict[str, Any]:
    """Account, folder and environment of PostgreSQL's programs: none of the caller's settings leak in."""
    options: dict[str, Any] = {
        "cwd": "/",
        "env": {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
    }
    if account is not None:
        options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return options


def dying_with_parent(sign: signal.Signals) -> Callable[[], None] | None:
    """What the child does before it becomes Postgres: ask Linux for `sign` when its parent ends, however it ends.

    It runs after the change of account, which would cancel the request.
    """
    prctl, parent = _prctl, os.getpid()
    if prctl is None:
        return None

    def ask() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nohup and background shells hand down an ignored one
        prctl(_PR_SET_PDEATHSIG, int(sign), 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask
