"""Outcomes of A/B tests: what is stored, which gold pairs they give, and what a removal takes."""

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thumbrank_core.cli import app
from thumbrank_core.imports.ab import read_tests
from thumbrank_core.imports.ab_store import store_tests
from thumbrank_core.labels.gold import gold_pairs
from thumbrank_core.policy import load_policy
from thumbrank_core.retention.removal import FileStores, expire, forget
from thumbrank_core.simulator.pictures import jpeg_bytes
from thumbrank_core.store.catalog import (
    ChannelSeen,
    PictureSeen,
    Source,
    VideoSeen,
    record_channels,
    record_pictures,
    record_videos,
)
from thumbrank_core.store.tombstones import record

NOW = datetime(2026, 4, 3, tzinfo=UTC)
MINE, THEIRS = "UC" + "m" * 22, "UC" + "t" * 22
A, B = "aaaaaaaaaaa", "bbbbbbbbbbb"
FIELDS = ("test_id", "video_id", "variant", "picture", "title", "share", "outcome", "winner", "first_day", "last_day")


@pytest.fixture(scope="session")
def drawn(world):
    return [jpeg_bytes(world, video, "medium") for video in world.videos if video.state == "public"][:4]


@pytest.fixture
def folder(tmp_path, drawn):
    (tmp_path / "variants").mkdir()
    for name, data in zip("abcd", drawn, strict=True):
        (tmp_path / "variants" / f"{name}.jpg").write_bytes(data)
    return tmp_path


def variants(test_id, shares, outcome="winner", *, video=A, pictures: Sequence[str] = "abc", titles=None):
    """A test's rows; the first variant won where one did."""
    rows = []
    for n, (label, share) in enumerate(zip("ABC", shares, strict=False)):
        shown = ("", titles[n]) if titles else (f"{pictures[n]}.jpg", "")
        won = "yes" if outcome == "winner" and n == 0 else ""
        rows.append((test_id, video, label, *shown, share, outcome, won, "2026-03-01", "2026-03-14"))
    return rows


def write(folder, *tests):
    path = folder / "tests.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([FIELDS, *(row for test in tests for row in test)])
    return path


def store(db, images, folder, *tests, owner: str | None = MINE):
    file = read_tests(write(folder, *tests))
    with db.connection() as connection:
        return store_tests(connection, images, file, folder / "variants", owner, NOW)


def rows(db, query):
    with db.connection() as connection:
        return connection.execute(query).fetchall()


def collected(db, channel, *videos, picture=None, source: Source = "import"):
    with db.connection() as connection:
        record_channels(connection, "tech", [ChannelSeen(channel, "t", source, NOW)])
        record_videos(connection, [VideoSeen(video, channel, f"title {video}", NOW, source, NOW) for video in videos])
        if picture is not None:
            record_pictures(connection, [PictureSeen(video, picture, None, NOW) for video in videos])


WON = variants("won", ["50%", "30%", "20%"])
SAME = variants("same", ["34%", "33%", "33%"], "performed_same")
UNCLEAR = variants("unclear", ["55%", "45%"], "inconclusive")


def test_a_test_is_stored_with_its_variants_and_their_pictures(db, images, folder):
    stored = store(db, images, folder, WON)
    assert (stored.new, stored.pictures, stored.rejected) == (1, 3, [])
    assert rows(
        db,
        "select owner_id, test_id, video_id, metric, outcome, first_day, last_day, source from thumbrank.ab_outcomes",
    ) == [(MINE, "won", A, "watch_time_share", "winner", date(2026, 3, 1), date(2026, 3, 14), "import")]
    kept = rows(db, "select label, sha256, value, is_winner from thumbrank.ab_variants order by label")
    assert [(label, value, won) for label, _, value, won in kept] == [
        ("A", 0.5, True),
        ("B", 0.3, False),
        ("C", 0.2, False),
    ]
    assert all(images.exists(bytes(sha256)) for _, sha256, _, _ in kept)


def test_importing_twice_changes_nothing_and_a_mended_test_replaces_itself(db, images, folder):
    everything = "select o, v from thumbrank.ab_outcomes o join thumbrank.ab_variants v using (owner_id, test_id) order by 2::text"
    store(db, images, folder, WON, SAME)
    before = rows(db, everything)
    again = store(db, images, folder, WON, SAME)
    assert (again.new, again.updated, again.unchanged) == (0, 0, 2)
    assert rows(db, everything) == before
    mended = store(db, images, folder, variants("won", ["60%", "40%"]), SAME)
    assert (mended.updated, mended.unchanged) == (1, 1)
    assert rows(db, "select count(*)::int from thumbrank.ab_variants where test_id = 'won'") == [(2,)]


def test_gold_pairs_are_the_winner_over_each_other_ties_and_nothing_of_an_unclear_test(db, images, folder):
    store(db, images, folder, WON, SAME, UNCLEAR)
    with db.connection() as connection:
        pairs = gold_pairs(connection)
    assert [(pair.test_id, pair.a.label, pair.b.label, pair.outcome) for pair in pairs] == [
        ("same", "A", "B", 0.5),
        ("same", "A", "C", 0.5),
        ("same", "B", "C", 0.5),
        ("won", "A", "B", 1.0),
        ("won", "A", "C", 1.0),
    ]
    assert all(images.exists(side.picture) and side.title is None for pair in pairs for side in (pair.a, pair.b))
    assert {(pair.owner_id, pair.video_id, pair.metric) for pair in pairs} == {(MINE, A, "watch_time_share")}


def test_what_a_test_does_not_vary_is_the_video_s_own(db, images, folder, drawn):
    picture = images.put(drawn[3])
    collected(db, MINE, A, B, picture=picture)
    store(db, images, folder, WON, variants("titles", ["60%", "40%"], video=B, titles=["One", "Two"]), owner=None)
    with db.connection() as connection:
        pairs = {pair.test_id: pair for pair in gold_pairs(connection)}
    assert {pairs["won"].a.title, pairs["won"].b.title} == {f"title {A}"}
    assert (pairs["titles"].a.title, pairs["titles"].b.title) == ("One", "Two")
    assert {pairs["titles"].a.picture, pairs["titles"].b.picture} == {picture.sha256}


@pytest.mark.parametrize(
    ("test", "owner", "sentence"),
    [
        (variants("t", ["60%", "40%"], pictures="ax"), MINE, "Test t: variants/ has no file 'x.jpg'."),
        (
            variants("t", ["60%", "40%"], pictures=["a", "../tests"]),
            MINE,
            "Test t: variants/ has no file '../tests.jpg'.",
        ),
        (variants("t", ["60%", "40%"], pictures="aa"), MINE, "Test t: two of its variants show the same."),
        (
            variants("t", ["60%", "40%"], pictures="aj"),
            MINE,
            "Test t: j.jpg: the bytes are not a JPEG",
        ),
        (variants("t", ["60%", "40%"], video="../x"), MINE, "Test t: its video_id '../x' is not an id of letters"),
        (variants("t", ["60%", "40%"], video="unknown-vid"), None, "its owner cannot be told: add --owner UC…."),
        (
            variants("t", ["60%", "40%"], video=B),
            MINE,
            f"Test t: video {B} belongs to channel {THEIRS}, not to {MINE}.",
        ),
    ],
)
def test_a_test_that_cannot_be_stored_has_one_sentence_and_the_others_stay(db, images, folder, test, owner, sentence):
    collected(db, THEIRS, B)
    collected(db, MINE, A)
    (folder / "variants" / "j.jpg").write_bytes(b"junk")
    stored = store(db, images, folder, test, WON, owner=owner)
    [rejected] = stored.rejected
    assert sentence in rejected.sentence
    assert (stored.new, rows(db, "select test_id from thumbrank.ab_outcomes")) == (1, [("won",)])


def test_a_forgotten_video_or_channel_is_not_stored_and_its_pictures_are_not_kept(db, images, folder):
    with db.connection() as connection:
        record(connection, "video", [A], "forgotten", NOW)
        record(connection, "channel", [THEIRS], "forgotten", NOW)
    stored = store(db, images, folder, WON)
    assert (stored.forgotten, stored.pictures, stored.used) == (1, 0, 0)
    assert store(db, images, folder, variants("x", ["60%", "40%"], video=B), owner=THEIRS).forgotten == 1
    assert rows(db, "select from thumbrank.ab_outcomes") == []
    assert list(images.known(datetime.now(UTC))) == []


def test_forgetting_a_video_takes_its_tests_and_the_pictures_that_nothing_else_names(db, images, folder):
    titles = variants("titles", ["60%", "40%"], titles=["One", "Two"])
    store(db, images, folder, WON, titles, variants("other", ["60%", "40%"], video=B, pictures="ad"))
    digests = dict(
        rows(db, "select distinct test_id || label, sha256 from thumbrank.ab_variants where sha256 is not null")
    )
    removal = forget(db, FileStores(images, ()), "unaudited", "video", A)
    assert (removal.counts["ab_outcomes"], removal.counts["picture_files"]) == (2, 2)
    assert rows(db, "select test_id from thumbrank.ab_outcomes") == [("other",)]
    assert rows(db, "select distinct test_id from thumbrank.ab_variants") == [("other",)]
    assert [images.exists(bytes(digests[name])) for name in ("wonA", "wonB", "wonC", "otherB")] == [
        True,
        False,
        False,
        True,
    ]


def test_forgetting_a_channel_takes_its_tests_also_of_videos_that_were_never_stored(db, images, folder):
    store(db, images, folder, WON)
    removal = forget(db, FileStores(images, ()), "unaudited", "channel", MINE)
    assert (removal.counts["ab_outcomes"], removal.counts["ab_variants"], removal.counts["picture_files"]) == (1, 3, 3)


def test_expiry_leaves_a_team_s_own_tests_and_their_pictures(db, images, folder):
    store(db, images, folder, WON)
    expire(db, FileStores(images, ()), load_policy(), now=datetime(2030, 1, 1, tzinfo=UTC))
    kept = rows(db, "select sha256 from thumbrank.ab_variants")
    assert len(kept) == 3
    assert all(images.exists(bytes(sha256)) for (sha256,) in kept)


# The command


@pytest.fixture
def cli(folder, database_url, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(folder / "home"))
    return lambda *arguments: CliRunner().invoke(app, ["import-ab", *map(str, arguments)])


def test_the_command_counts_and_names_what_it_rejects(cli, db, folder):
    path = write(folder, WON, SAME, variants("bad", ["60%", "30%"]))
    done = cli(path, "--images", folder / "variants", "--owner", MINE)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "Test bad: its shares add up to 90.0% where they are 100 %." in done.stdout
    for name, count in (("rows read", "8"), ("tests", "3"), ("stored", "2"), ("rejected: shares", "1")):
        assert any(
            line.replace("│", " ").split()[: len(name.split()) + 1] == [*name.split(), count] for line in lines
        ), name
    assert rows(db, "select count(*)::int from thumbrank.ab_outcomes") == [(2,)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no.csv"], "no.csv does not exist"),
        (["tests.csv", "--owner", MINE], "tests.csv: no test could be used"),
        (["tests.csv", "--images", "variants"], "tests.csv: no test could be used"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_status_1(cli, folder, arguments, says):
    write(folder, WON)
    done = cli(*arguments)
    assert done.exit_code == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_picture_that_cannot_be_read_rejects_its_test_and_no_other(db, images, folder, monkeypatch):
    read_bytes = Path.read_bytes

    def refuse(path):
        if path.name == "a.jpg":
            raise PermissionError(13, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    done = store(
        db,
        images,
        folder,
        variants("t1", (0.6, 0.4), pictures="ab"),
        variants("t2", (0.6, 0.4), pictures="cd"),
        variants("t3", (0.6, 0.4), pictures=("x" * 300, "d")),
    )
    assert done.new == 1
    assert [(rejected.test_id, rejected.reason) for rejected in done.rejected] == [
        ("t1", "unreadable"),
        ("t3", "unreadable"),
    ]
    assert "a.jpg cannot be read (Permission denied)" in done.rejected[0].sentence
