"""`thumbrank export-data` on a real Postgres: what is in the files, of which moment, and what an ended run leaves."""

import contextlib
import csv
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg.rows import dict_row

from tests.integration.data_out import AS_OF, CUT, EXPIRES, TITLES, fill, fill_many
from thumbrank_core import exporting
from thumbrank_core.exporting import ExportError, export_niche, niches_to_export
from thumbrank_core.imports.columns import COLUMNS
from thumbrank_core.imports.dataset import import_dataset
from thumbrank_core.progress import listen
from thumbrank_core.store.database import Database
from thumbrank_core.store.versions import data_version

VIEWS = {"videos": "videos", "pairs": "pairs", "channels": "channels_with_baselines"}
FORMATS = ("parquet", "csv")


@pytest.fixture
def known(db):
    with db.connection() as connection:
        fill(connection)
    return db


@pytest.fixture(scope="module")
def many_url(postgres, migrated_template):
    """311,250 pairs of ten channels with 250 videos each."""
    url = postgres.create_database("export_many", template=migrated_template)
    with psycopg.connect(url) as connection:
        assert fill_many(connection, 10, 250) == 311_250
    return url


def view_rows(db, view, niche="tech"):
    with db.connection() as connection:
        return (
            connection.cursor(row_factory=dict_row)
            .execute(f"select * from thumbrank.{view} where niche = %s", (niche,))
            .fetchall()
        )


def parsed(name, text):
    """One field of our CSV as Python has it; the rest stays text."""
    if text == "" and name != "title":
        return None
    if name.endswith(("_at", "_from", "_until", "as_of")):
        return datetime.fromisoformat(text)
    if name == "made_for_kids":
        return {"true": True, "false": False}[text]
    with contextlib.suppress(ValueError):
        if name not in ("title", "category_id"):
            return float(text)
    return text


def file_rows(path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: parsed(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


def in_order(rows):
    return sorted(rows, key=repr)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_files_hold_what_the_views_show(known, tmp_path, file_format):
    manifest = export_niche(known, "tech", tmp_path / "new" / "tech", file_format, 30)
    assert names(tmp_path / "new" / "tech") == sorted([*(f"{name}.{file_format}" for name in VIEWS), "manifest.json"])
    for name, view in VIEWS.items():
        rows, expected = file_rows(tmp_path / "new" / "tech" / f"{name}.{file_format}"), view_rows(known, view)
        assert list(rows[0]) == list(expected[0])
        assert len(rows) == manifest.files[f"{name}.{file_format}"].rows
        # psycopg reads a float4 as the float8 of its shortest text; equal as float4 is equal.
        close: list[dict[str, Any]] = [
            {k: pytest.approx(v, rel=1e-7) if isinstance(v, float) else v for k, v in row.items()} for row in expected
        ]
        key = next(k for k in ("video_id", "a_video_id", "channel_id") if k in rows[0])
        assert sorted(rows, key=lambda r: r[key]) == sorted(close, key=lambda r: r[key])


@pytest.mark.parametrize("file_format", FORMATS)
def test_titles_survive_byte_for_byte(known, tmp_path, file_format):
    export_niche(known, "tech", tmp_path, file_format, 30)
    found = {row["video_id"]: row["title"] for row in file_rows(tmp_path / f"videos.{file_format}")}
    assert [found[f"own-{number:02d}"].encode() for number in range(len(TITLES))] == [
        title.encode() for title in TITLES
    ]
    assert found["api-01"] == ""


@pytest.mark.parametrize("file_format", FORMATS)
def test_no_title_is_not_an_empty_one(known, tmp_path, file_format):
    with known.connection() as connection:
        connection.execute("update thumbrank.thumbnails set title = null where video_id = 'api-00'")
    export_niche(known, "tech", tmp_path, file_format, 30)
    if file_format == "parquet":
        found = {row["video_id"]: row["title"] for row in file_rows(tmp_path / "videos.parquet")}
        assert (found["api-00"], found["api-01"]) == (None, "")
    else:
        text = (tmp_path / "videos.csv").read_text(encoding="utf-8")
        assert ",api-00,," in text
        assert ',api-01,"",' in text


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_title_as_long_as_a_piece_passes(known, tmp_path, file_format, monkeypatch):
    monkeypatch.setattr(exporting, "PIECE_BYTES", 4096)
    long = "é\n" * 500_000
    with known.connection() as connection:
        connection.execute("update thumbrank.thumbnails set title = %s where video_id = 'own-03'", (long,))
    export_niche(known, "tech", tmp_path, file_format, 30)
    csv.field_size_limit(2**24)
    assert {row["video_id"]: row["title"] for row in file_rows(tmp_path / f"videos.{file_format}")}["own-03"] == long


def test_the_server_s_and_the_user_s_settings_change_no_byte(known, tmp_path):
    first = export_niche(known, "tech", tmp_path / "a", "csv", 30)
    with known.connection() as connection:
        for setting in ("timezone to 'Asia/Kolkata'", "datestyle to 'SQL, DMY'", "extra_float_digits to -5"):
            connection.execute(f"alter role current_user set {setting}")
        url = known._url
    try:
        with Database(url) as other:
            second = export_niche(other, "tech", tmp_path / "b", "csv", 30)
    finally:
        with known.connection() as connection:
            connection.execute("alter role current_user reset all")
    assert first.files == second.files


def test_the_manifest_says_what_the_files_are(known, tmp_path):
    made = export_niche(known, "tech", tmp_path, "parquet", 30)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["niche"], manifest["format"], manifest["label"]) == ("tech", "parquet", "age_adjusted")
    assert datetime.fromisoformat(manifest["as_of"]) == AS_OF
    assert datetime.fromisoformat(manifest["cut"]) == CUT
    assert abs((datetime.fromisoformat(manifest["exported_at"]) - datetime.now(UTC)).total_seconds()) < 60
    # Two videos and their channel are of the API; the older count expires first but is in no row.
    assert (manifest["api_rows"], datetime.fromisoformat(manifest["delete_or_refresh_by"])) == (3, EXPIRES)
    with known.connection() as connection:
        assert manifest["data_version"] == {
            step: data_version(connection, step, "tech") for step in ("videos", "pictures", "baselines", "pairs")
        }
    assert {name: file["rows"] for name, file in manifest["files"].items()} == {
        "videos.parquet": len(TITLES) + 4,
        "pairs.parquet": 4,
        "channels.parquet": 3,
    }
    for name, file in manifest["files"].items():
        data = (tmp_path / name).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        schema = pq.read_schema(tmp_path / name)
        assert {field.name: field.metadata[b"description"].decode() for field in schema} == file["columns"]
        assert list(file["columns"]) == schema.names
        assert all(file["columns"].values())
    assert json.loads(made.model_dump_json()) == manifest


def test_api_rows_without_a_date_expire_by_the_policy(known, tmp_path):
    with known.connection() as connection:
        connection.execute("update thumbrank.thumbnails set expires_at = null")
        connection.execute("update thumbrank.channels set expires_at = null")
        connection.execute("update thumbrank.view_snapshots set expires_at = null")
    manifest = export_niche(known, "tech", tmp_path, "csv", 7)
    assert manifest.delete_or_refresh_by is not None
    assert (manifest.api_rows, (manifest.delete_or_refresh_by - AS_OF).days) == (3, 7)


def test_a_team_s_own_niche_owes_nothing_and_has_no_label_yet(known, tmp_path):
    manifest = export_niche(known, "gaming", tmp_path, "parquet", 30)
    assert (manifest.api_rows, manifest.delete_or_refresh_by, manifest.label, manifest.cut) == (0, None, None, None)
    assert [file.rows for file in manifest.files.values()] == [2, 0, 1]
    assert pq.read_schema(tmp_path / "pairs.parquet").field("outcome").type == pa.float32()


def test_an_export_is_imported_again(known, tmp_path, images, postgres, migrated_template):
    export_niche(known, "tech", tmp_path, "csv", 30)
    export_niche(known, "gaming", tmp_path / "gaming", "parquet", 30)
    with (tmp_path / "videos.csv").open(newline="", encoding="utf-8") as file:
        assert {column.name for column in COLUMNS} <= set(next(csv.reader(file)))
    url = postgres.create_database("export_again", template=migrated_template)
    try:
        with Database(url) as other:
            done = import_dataset(other, images, tmp_path / "videos.csv", tmp_path, "tech", None, {})
            assert (done.videos, done.row_misses) == (len(TITLES) + 3, {"no_title": 1})
            assert all(ours == theirs for ours, theirs in done.columns.items())
            games = import_dataset(other, images, tmp_path / "gaming" / "videos.parquet", tmp_path, "gaming", AS_OF, {})
            assert (games.videos, games.row_misses, games.without_views) == (2, {}, 1)
            same = [column.name for column in COLUMNS]
            for niche in ("tech", "gaming"):
                before = [{c: row[c] for c in same} for row in view_rows(known, "videos", niche) if row["title"] != ""]
                after = [{c: row[c] for c in same} for row in view_rows(other, "videos", niche)]
                assert in_order(after) == in_order(before)
            assert {row["source"] for row in view_rows(other, "videos")} == {"import"}
    finally:
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute("drop database export_again with (force)")


class Hook:
    """A listener that does something when a piece of work begins, and looks around whenever it advances."""

    def __init__(self, begun=lambda description: None, advanced=lambda: None):
        self._begun, self._advanced = begun, advanced
        self.work = {}

    def begin(self, description, total):
        self._begun(description)
        self.work[description] = [total, 0]
        return len(self.work)

    def advance(self, handle, amount):
        list(self.work.values())[handle - 1][1] += amount
        self._advanced()

    def end(self, handle):
        pass

    def say(self, text):
        pass


def test_all_files_of_a_niche_are_of_one_moment(known, tmp_path):
    def begun(description):
        if description == "tech: exporting pairs":
            with known.connection() as connection:
                connection.execute("delete from thumbrank.training_pairs")
                connection.execute("update thumbrank.channels set country = 'FR'")
                connection.execute("update thumbrank.pair_builds set label = 'views_per_hour'")

    with listen(Hook(begun)):
        manifest = export_niche(known, "tech", tmp_path, "csv", 30)
    assert (manifest.files["pairs.csv"].rows, manifest.label) == (4, "age_adjusted")
    assert {row["country"] for row in file_rows(tmp_path / "channels.csv")} == {"DE"}


def test_pairs_that_are_swapped_while_an_export_runs_wait_for_it(known, tmp_path):
    """A swap is no change of rows: in a snapshot made before it the pairs would be none."""
    waited = []

    def begun(description):
        if description == "tech: exporting videos":
            with pytest.raises(psycopg.errors.LockNotAvailable), known.connection() as connection:
                connection.execute("set local lock_timeout to '50ms'")
                connection.execute("truncate thumbrank.training_pairs_tech")
            with known.connection() as connection:
                connection.execute("truncate thumbrank.training_pairs_gaming")
            waited.append(True)

    with listen(Hook(begun)):
        assert export_niche(known, "tech", tmp_path, "csv", 30).files["pairs.csv"].rows == 4
    assert waited


def test_an_export_that_begins_while_pairs_are_swapped_has_the_new_ones(known, tmp_path):
    made = []
    with known.connection() as connection:
        connection.execute("create temporary table kept as select * from thumbrank.training_pairs limit 1")
        connection.execute("truncate thumbrank.training_pairs_tech")
        connection.execute("insert into thumbrank.training_pairs select * from kept")
        thread = threading.Thread(target=lambda: made.append(export_niche(known, "tech", tmp_path, "csv", 30)))
        thread.start()
        with known.connection() as other:
            waiting = (
                "select count(*) from pg_locks l join pg_database d on d.oid = l.database "
                "where not l.granted and d.datname = current_database()"
            )
            deadline = time.monotonic() + 30
            while other.execute(waiting).fetchone() == (0,):
                assert time.monotonic() < deadline
                time.sleep(0.01)
    thread.join()
    assert [manifest.files["pairs.csv"].rows for manifest in made] == [1]


def test_progress_is_told_by_rows(known, tmp_path):
    hook = Hook()
    with listen(hook):
        export_niche(known, "tech", tmp_path, "csv", 30)
    assert hook.work == {
        "tech: exporting videos": [16, 16],
        "tech: exporting pairs": [4, 4],
        "tech: exporting channels": [3, 3],
    }


def test_doing_it_again_replaces_ours_in_either_format_and_nothing_else(known, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    first = export_niche(known, "tech", tmp_path, "parquet", 30)
    with known.connection() as connection:
        connection.execute("delete from thumbrank.training_pairs")
    second = export_niche(known, "tech", tmp_path, "csv", 30)
    assert names(tmp_path) == ["channels.csv", "manifest.json", "notes.txt", "pairs.csv", "videos.csv"]
    assert (tmp_path / "pairs.csv").read_text().count("\n") == 1
    assert first.data_version["videos"] == second.data_version["videos"]
    assert first.data_version["pairs"] != second.data_version["pairs"]


def test_a_file_that_only_has_our_name_stays(known, tmp_path):
    (tmp_path / "videos.csv").write_text("mine")
    export_niche(known, "tech", tmp_path, "parquet", 30)
    assert (tmp_path / "videos.csv").read_text() == "mine"


@pytest.mark.parametrize("file_format", FORMATS)
def test_memory_stays_flat(many_url, tmp_path, file_format, monkeypatch):
    monkeypatch.setattr(exporting, "PIECE_BYTES", 2**20)
    held = []
    pa.default_memory_pool().release_unused()
    before = pa.total_allocated_bytes()
    with Database(many_url) as db, listen(Hook(advanced=lambda: held.append(pa.total_allocated_bytes() - before))):
        tracemalloc.start()
        try:
            manifest = export_niche(db, "tech", tmp_path, file_format, 30)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert manifest.files[f"pairs.{file_format}"].rows == 311_250
    if file_format == "csv":
        assert manifest.files["pairs.csv"].bytes > 30e6
    assert peak < 8e6
    assert max(held) < 16e6


def start(many_url, out, file_format="csv"):
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "thumbrank_dagster",
            "export-data",
            "--niche",
            "tech",
            "--format",
            file_format,
            "--out",
            out,
        ],
        env={**os.environ, "DATABASE_URL": many_url, "THUMBRANK_HOME": str(out) + "-home"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path, process):
    deadline = time.monotonic() + 60
    while not (path.exists() and path.stat().st_size > 0):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.001)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_an_export_that_is_ended_leaves_no_file_under_its_name(many_url, tmp_path, sign):
    process = start(many_url, tmp_path)
    wait_for(tmp_path / "tech" / "pairs.csv.part", process)
    process.send_signal(sign)
    _, said = process.communicate(timeout=30)
    left = names(tmp_path / "tech")
    assert not [name for name in left if not name.endswith(".part")]
    if sign == signal.SIGINT:
        assert (process.returncode, left) == (130, [])
        assert "Traceback" not in said
    again = start(many_url, tmp_path)
    out, said = again.communicate(timeout=60)
    assert again.returncode == 0, said
    assert names(tmp_path / "tech") == ["channels.csv", "manifest.json", "pairs.csv", "videos.csv"]
    assert "311,250" in out


def test_an_ended_export_leaves_the_one_before_as_it_was(known, tmp_path):
    export_niche(known, "tech", tmp_path, "csv", 30)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def begun(description):
        if "channels" in description:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listen(Hook(begun)):
        export_niche(known, "tech", tmp_path, "csv", 30)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(known, tmp_path, file_format):
    (tmp_path / f"pairs.{file_format}.part").symlink_to("/dev/full")
    with pytest.raises(ExportError, match="is full: free space there"):
        export_niche(known, "tech", tmp_path, file_format, 30)
    assert names(tmp_path) == []
    with known.connection() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_folder_that_cannot_be_written_is_one_sentence(known, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "tech"):
        with pytest.raises(ExportError, match="is a file or lies below one: name a folder with --out"):
            export_niche(known, "tech", folder, "csv", 30)

    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ExportError, match=r"cannot be written \(Permission denied\)"):
        export_niche(known, "tech", tmp_path / "new", "csv", 30)


def test_two_exports_into_one_folder_do_not_mix(known, tmp_path):
    refused = []

    def begun(description):
        if "pairs" in description and not refused:
            refused.append(None)
            with pytest.raises(ExportError, match="Another export is writing to"):
                export_niche(known, "tech", tmp_path, "csv", 30)

    with listen(Hook(begun)):
        export_niche(known, "tech", tmp_path, "csv", 30)
    assert refused
    assert names(tmp_path) == ["channels.csv", "manifest.json", "pairs.csv", "videos.csv"]


def test_which_niches_there_are_to_export(db, known):
    assert niches_to_export(known, []) == ["tech", "gaming"]
    assert niches_to_export(known, ["gaming", "gaming"]) == ["gaming"]
    with pytest.raises(ExportError, match=r"No video of niche news is stored.*thumbrank collect --niche news"):
        niches_to_export(known, ["tech", "news"])
    with db.connection() as connection:
        connection.execute("delete from thumbrank.thumbnails")
    with pytest.raises(ExportError, match="No video is stored"):
        niches_to_export(known, [])


def cli(database_url, home, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "thumbrank_dagster", "export-data", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "DATABASE_URL": database_url, "THUMBRANK_HOME": str(home)},
    )


def test_the_command_says_what_it_wrote_and_what_the_terms_ask(database_url, db, known, tmp_path):
    done = cli(database_url, tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "home" / "exports") == ["gaming", "tech"]
    assert names(tmp_path / "home" / "exports" / "tech") == [
        "channels.parquet",
        "manifest.json",
        "pairs.parquet",
        "videos.parquet",
    ]
    said = " ".join(done.stdout.split())
    assert "has to be deleted, or refreshed by exporting again, within 30 days" in said
    assert "the first of it by 2026-08-31" in said
    assert "No labels or pairs yet in gaming" in said
    own = cli(database_url, tmp_path / "home", "--niche", "gaming", "--format", "csv", "--out", tmp_path / "own")
    assert own.returncode == 0
    assert "YouTube API" not in own.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--niche", "cooking"], "'cooking' is not a niche: use one of tech,"),
        (["--niche", "news"], "No video of niche news is stored"),
        ([], "No video is stored, so there is nothing to export"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence_and_exit_status_1(database_url, tmp_path, arguments, says):
    done = cli(database_url, tmp_path, *arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "exports").exists()
