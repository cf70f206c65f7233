"""Studio's exports into `reach_daily`: whose they are, what a second import changes, and what the command says."""

import os
from datetime import UTC, date, datetime, timedelta

import pytest
from typer.testing import CliRunner

from tests.unit.studio_exports import VIDEOS, WORDS, export, simple
from thumbrank_core.cli import app
from thumbrank_core.imports.studio import StudioError, parse_period, read_export
from thumbrank_core.imports.studio_store import store_export
from thumbrank_core.store.catalog import ChannelSeen, VideoSeen, record_channels, record_videos
from thumbrank_core.store.tombstones import record

JANUARY, YEAR = parse_period("2026-01-01..2026-01-31"), parse_period("2026-01-01..2026-12-31")
EXPORTED = datetime(2026, 4, 3, 12, tzinfo=UTC)
LATER = EXPORTED + timedelta(days=1)
MINE, THEIRS = "UC" + "m" * 22, "UC" + "t" * 22
A, B, C = "aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc"


def store(db, path, owner: str | None = MINE, issued_at=EXPORTED, period=JANUARY, **options):
    exported = read_export(path, {}, period)
    with db.connection() as connection:
        return store_export(connection, exported, owner, issued_at, **options)


def write(tmp_path, *rows, name="table.csv"):
    path = tmp_path / name
    path.write_bytes(simple(*rows))
    return path


def rows(db):
    with db.connection() as connection:
        return connection.execute(
            "select owner_id, source, video_id, first_day, last_day, impressions, click_rate, issued_at "
            "from thumbrank.reach_daily order by owner_id, video_id, first_day, last_day"
        ).fetchall()


def collected(db, channel, *videos):
    """A channel with videos, as a collection leaves them."""
    seen = datetime(2026, 2, 1, tzinfo=UTC)
    with db.connection() as connection:
        record_channels(connection, "tech", [ChannelSeen(channel, "t", "import", seen)])
        record_videos(connection, [VideoSeen(video, channel, "t", seen, "import", seen) for video in videos])


def test_rows_are_stored_as_ratios_under_their_owner_and_period(db, tmp_path):
    stored = store(db, write(tmp_path, "Total,500,4.5", f"{A},500,4.5", f"{B},0,"))
    assert (stored.new, stored.updated, stored.unchanged, stored.rejected) == (2, 0, 0, [])
    first, last = date(2026, 1, 1), date(2026, 1, 31)
    assert rows(db) == [
        (MINE, "studio", A, first, last, 500, pytest.approx(0.045), EXPORTED),
        (MINE, "studio", B, first, last, 0, None, EXPORTED),
    ]


def test_the_same_content_in_seven_languages_is_stored_once(db, tmp_path):
    for number, (language, words) in enumerate(WORDS.items()):
        path = tmp_path / words.table_file
        path.write_bytes(export(language))
        stored = store(db, path)
        assert (stored.new, stored.unchanged) == ((4, 0) if number == 0 else (0, 4)), language
    assert [row[2] for row in rows(db)] == sorted(video for video, _, _ in VIDEOS)


def test_importing_a_file_twice_changes_nothing(db, tmp_path):
    path = write(tmp_path, f"{A},500,4.5", f"{B},600,5")
    store(db, path)
    before = rows(db)
    stored = store(db, path)
    assert (stored.new, stored.updated, stored.unchanged) == (0, 0, 2)
    assert rows(db) == before


def test_of_two_exports_of_one_period_the_later_stays_whichever_comes_first(db, tmp_path):
    old, new = write(tmp_path, f"{A},500,4.5", name="old.csv"), write(tmp_path, f"{A},700,5", name="new.csv")
    store(db, old)
    assert store(db, new, issued_at=LATER).updated == 1
    assert store(db, old).unchanged == 1
    assert [row[5:] for row in rows(db)] == [(700, 0.05, LATER)]


def test_overlapping_periods_of_one_video_are_separate_rows(db, tmp_path):
    path = write(tmp_path, f"{A},500,4.5")
    store(db, path)
    store(db, path, period=YEAR)
    assert [row[3:5] for row in rows(db)] == [
        (date(2026, 1, 1), date(2026, 1, 31)),
        (date(2026, 1, 1), date(2026, 12, 31)),
    ]


def test_a_dry_run_counts_the_same_and_stores_nothing(db, tmp_path):
    path = write(tmp_path, f"{A},500,4.5", f"{B},600,5")
    assert store(db, path, dry_run=True).new == 2
    assert rows(db) == []


def test_without_an_owner_it_is_the_channel_of_the_stored_videos(db, tmp_path):
    collected(db, MINE, A, B)
    assert store(db, write(tmp_path, f"{A},500,4.5", f"{C},600,5"), owner=None).owner_id == MINE
    assert [row[0] for row in rows(db)] == [MINE, MINE]


def test_an_owner_that_cannot_be_told_is_one_sentence_and_nothing_is_stored(db, tmp_path):
    path = write(tmp_path, f"{A},500,4.5", f"{B},600,5")
    with pytest.raises(StudioError) as caught:
        store(db, path, owner=None)
    assert (
        str(caught.value)
        == "table.csv: none of its videos is stored, so that its owner cannot be told; add --owner UC…."
    )
    collected(db, MINE, A)
    collected(db, THEIRS, B)
    with pytest.raises(StudioError, match=r"its videos belong to 2 channels .*figures of two owners are never mixed"):
        store(db, path, owner=None)
    with pytest.raises(StudioError, match="that is not a channel id"):
        store(db, path, owner="My channel")
    assert rows(db) == []


def test_a_video_of_another_channel_is_rejected_by_name_and_the_others_stay(db, tmp_path):
    collected(db, THEIRS, B)
    stored = store(db, write(tmp_path, f"{A},500,4.5", f"{B},600,5"))
    assert (stored.new, [row[2] for row in rows(db)]) == (1, [A])
    assert [(entry.reason, entry.sentence) for entry in stored.rejected] == [
        ("other_owner", f"Row 3: video {B} belongs to channel {THEIRS}, not to {MINE}.")
    ]


def test_what_was_forgotten_is_not_stored_and_counted(db, tmp_path):
    with db.connection() as connection:
        record(connection, "video", [A], "forgotten", EXPORTED)
        record(connection, "video", [B], "expired", EXPORTED)
        record(connection, "channel", [THEIRS], "forgotten", EXPORTED)
    path = write(tmp_path, f"{A},500,4.5", f"{B},600,5")
    assert (store(db, path).forgotten, [row[2] for row in rows(db)]) == (1, [B])
    forgotten = store(db, path, owner=THEIRS)
    assert (forgotten.forgotten, forgotten.used) == (2, 0)
    assert {row[0] for row in rows(db)} == {MINE}


# The command


@pytest.fixture
def cli(tmp_path, database_url, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path / "home"))

    def run(*arguments):
        return CliRunner().invoke(app, ["import-studio", *map(str, arguments)])

    return run


def figures_of(output, name):
    return next(line.replace("│", " ").split(name)[1].split()[0] for line in output.splitlines() if name in line)


def test_the_command_prints_the_rows_in_and_out_and_one_sentence_per_rejected_row(cli, db, tmp_path):
    path = write(tmp_path, "Total,9,9.5", f"{A},500,4.5", f"{B},,", f"{C},12.5,4", "Showing top 500 results")
    done = cli(path, "--owner", MINE, "--period", "2026-01-01..2026-01-31", "--exported-at", "2026-04-03T12:00Z")
    assert done.exit_code == 0, done.output
    counts = [("rows read", "5"), ("stored", "1"), ("total rows skipped", "1"), ("remarks skipped", "1")]
    counts += [("rejected: bad_impressions", "1"), ("rejected: no_impressions", "1")]
    assert [(name, figures_of(done.stdout, name)) for name, _ in counts] == counts
    assert "Row 4: it has no impressions." in done.stdout
    assert "Row 5: its impressions '12.5' is not a whole number." in done.stdout
    assert "Days: 2026-01-01..2026-01-31 (Pacific), both included." in done.stdout
    assert "'Impressions click-through rate (%)' as click_rate" in done.stdout
    assert [row[2:] for row in rows(db)] == [
        (A, date(2026, 1, 1), date(2026, 1, 31), 500, pytest.approx(0.045), EXPORTED)
    ]


def test_at_most_fifty_rejected_rows_are_named_and_the_rest_counted(cli, tmp_path):
    path = write(tmp_path, f"{A},500,4.5", *["x,1,1" for _ in range(60)])
    done = cli(path, "--owner", MINE, "--period", "2026-01-01..2026-01-31")
    assert done.stdout.count("is not a video id") == 50
    assert "And 10 more rejected rows." in done.stdout


def test_several_files_are_stored_apart_and_one_that_fails_keeps_none_of_the_others_back(cli, db, tmp_path):
    good, bad = write(tmp_path, f"{A},500,4.5", name="good.csv"), tmp_path / "bad.csv"
    bad.write_text("Content,Views\naaaaaaaaaaa,5\n")
    last = write(tmp_path, f"{B},500,4.5", name="last.csv")
    done = cli(good, bad, last, "--owner", MINE, "--period", "2026-01-01..2026-01-31")
    assert done.exit_code == 1
    assert done.stderr.count("thumbrank: ") == 1
    assert "thumbrank: bad.csv: it has no column impressions" in done.stderr
    assert [row[2] for row in rows(db)] == [A, B]


def test_the_time_of_the_export_is_that_of_the_file_unless_said(cli, db, tmp_path):
    path = write(tmp_path, f"{A},500,4.5", name="Content 2026-01-01_2026-02-01 Me.csv")
    os.utime(path, (EXPORTED.timestamp(), EXPORTED.timestamp()))
    assert cli(path, "--owner", MINE).exit_code == 0
    assert [(row[4], row[7]) for row in rows(db)] == [(date(2026, 1, 31), EXPORTED)]


def test_a_dry_run_says_what_would_be_stored(cli, db, tmp_path):
    path = write(tmp_path, f"{A},500,4.5", f"{B},0,")
    done = cli(path, "--owner", MINE, "--period", "2026-01-01..2026-01-31", "--dry-run")
    assert (done.exit_code, figures_of(done.stdout, "would be stored")) == (0, "2")
    assert f"{A}  2026-01-01..2026-01-31  500 impressions  click rate 0.0450" in done.stdout
    assert f"{B}  2026-01-01..2026-01-31  0 impressions  no click rate" in done.stdout
    assert "Nothing was stored" in done.stdout
    assert rows(db) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no.csv"], "no.csv: there is no such file"),
        (["table.csv"], "table.csv: it does not say which days it is about"),
        (["table.csv", "--period", "January"], "'January' is not a period"),
        (["table.csv", "--period", "2026-01-01..2026-01-31"], "its owner cannot be told; add --owner"),
        (["table.csv", "--map", "CTR"], "--map CTR: write it as THEIRS=OURS"),
        (["empty.csv", "--period", "2026-01-01..2026-01-31", "--owner", MINE], "empty.csv: no row could be used"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_status_1(cli, tmp_path, arguments, says):
    write(tmp_path, f"{A},500,4.5")
    write(tmp_path, "Total,0,", name="empty.csv")
    done = cli(*arguments)
    assert done.exit_code == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_help_has_examples(cli):
    assert "thumbrank import-studio" in cli("--help").stdout.replace("\n", " ")
