"""A file takes the place of the last one whole or not at all, private and on the disk where that is asked for."""

import errno
import os
import signal
import stat
import subprocess
import sys
from itertools import product

import pytest

from tests.unit.test_tracking import facts
from thumbrank_core.explain import explain
from thumbrank_core.store.files import replacing, to_disk, write_bytes, write_text
from thumbrank_core.training import checkpoint
from thumbrank_core.training.tracking.history import HistoryTracker
from thumbrank_core.training.tracking.interface import TrackingError

TEXT = "Ünï\r\ncode\n"
ASKED = [{}, {"private": True}, {"durable": True}, {"private": True, "durable": True}]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path):
    """A file that is there already."""
    found = tmp_path / "file.json"
    found.write_text("old")
    return found


@pytest.fixture
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("asked", ASKED)
def test_text_takes_the_place_of_the_last_as_it_is(path, asked):
    write_text(path, TEXT, **asked)
    assert path.read_bytes() == TEXT.encode()
    assert names(path.parent) == ["file.json"]


@pytest.mark.parametrize("durable", [False, True])
def test_bytes_take_the_place_of_the_last_and_are_new_where_there_is_none(path, durable):
    for place in (path, path.with_name("new")):
        write_bytes(place, b"\x00\xff\r\n", durable=durable)
        assert place.read_bytes() == b"\x00\xff\r\n"
    assert names(path.parent) == ["file.json", "new"]


@pytest.mark.parametrize("asked", ASKED)
def test_until_the_block_has_ended_the_old_file_is_there(path, asked):
    with replacing(path, **asked) as part:
        part.write_text("new")
        assert (path.read_text(), part.parent) == ("old", path.parent)
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [OSError("broken"), KeyboardInterrupt(), GeneratorExit()])
@pytest.mark.parametrize("asked", ASKED)
def test_what_ends_in_the_middle_leaves_the_old_file_and_no_other(path, asked, error):
    for name, written in product(["file.json", "new"], [True, False]):
        with pytest.raises(type(error)) as caught, replacing(path.with_name(name), **asked) as part:
            if written:
                part.write_text("half")
            raise error
        assert caught.value is error
        assert names(path.parent) == ["file.json"]
        assert path.read_text() == "old"


def test_what_a_killed_process_left_is_taken_over(path):
    killed = (
        "import os, signal, sys; from pathlib import Path; from thumbrank_core.store.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as part:\n"
        "    part.write_text('a half that is longer'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", killed, path]).returncode == -signal.SIGKILL
    assert (path.read_text(), names(path.parent)) == ("old", ["file.json", "file.json.part"])
    write_text(path, "new")
    assert (path.read_text(), names(path.parent)) == ("new", ["file.json"])


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], indirect=True)
def test_a_private_file_is_so_from_its_first_moment_and_any_other_as_the_umask_says(path, umask):
    path.chmod(0o644)
    left = path.with_name("file.json.part")
    left.touch()
    left.chmod(0o666)
    with left.open() as opened, replacing(path, private=True) as part:
        assert (mode(part), part.read_bytes()) == (0o600, b"")
        part.write_text("secret")
        assert opened.read() == "", "who had opened what a killed process left sees nothing"
    assert mode(path) == 0o600
    write_text(path, "secret", private=True)
    assert mode(path) == 0o600
    write_text(path, "new")
    assert mode(path) == 0o666 & ~umask


@pytest.mark.parametrize("private", [False, True])
def test_durable_is_the_content_before_the_name_and_the_folder_after_it(path, monkeypatch, private):
    seen = []

    def watch(handle):
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        seen.append((is_folder, os.fstat(handle).st_size if not is_folder else None, path.read_text()))
        real(handle)

    real = os.fsync
    monkeypatch.setattr(os, "fsync", watch)
    write_text(path, "newer", private=private)
    assert seen == []
    write_text(path, "newest", private=private, durable=True)
    assert seen == [(False, 6, "newer"), (True, None, "newest")]


def test_content_that_does_not_reach_the_disk_never_takes_the_name(path, monkeypatch):
    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new", durable=True)
    assert (path.read_text(), names(path.parent)) == ("old", ["file.json"])


def test_to_disk_leaves_no_file_open(path, monkeypatch):
    handles = []
    monkeypatch.setattr(os, "fsync", handles.append)
    to_disk(path)
    to_disk(path.parent)
    assert len(handles) == 2
    for handle in handles:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(handle)


@pytest.mark.parametrize("asked", ASKED)
def test_a_place_that_is_not_there_is_the_system_s_own_error(path, asked):
    with pytest.raises(FileNotFoundError):
        write_text(path.parent / "absent" / "file", "new", **asked)
    with pytest.raises(NotADirectoryError):
        write_text(path / "file", "new", **asked)
    assert names(path.parent) == ["file.json"]


def test_a_block_that_wrote_nothing_is_an_error_and_the_old_file_stays(path):
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"


def test_a_full_disk_leaves_the_old_file_and_is_what_the_callers_make_of_it(path):
    def fill():
        path.with_name("file.json.part").symlink_to("/dev/full")

    fill()
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    fill()
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    fill()
    with pytest.raises(TrackingError, match=r"file\.json cannot be written \(No space left"):
        HistoryTracker(path).begin(facts(), [])
    fill()
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoint.save(path, checkpoint.Origin({}, "data", {}, 1), {})
    assert "is full" in (explain(caught.value) or "")
    assert (path.read_text(), names(path.parent)) == ("old", ["file.json"])


def test_the_callers_that_make_their_folder_still_do(tmp_path):
    HistoryTracker(tmp_path / "a" / "history.json").begin(facts(), [])
    checkpoint.save(tmp_path / "b" / "checkpoint", checkpoint.Origin({}, "data", {}, 1), {})
    assert names(tmp_path / "a") == ["history.json"]
    assert names(tmp_path / "b") == ["checkpoint"]
