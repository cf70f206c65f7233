"""A team's own data set through the command line: what is kept, what is missed, and what is said."""

import csv
import json
import subprocess
import sys

import pandas as pd
import pytest

from tests.integration.missing import miss_counts
from thumbrank_core.imports.dataset import import_dataset
from thumbrank_core.simulator.pictures import jpeg_bytes
from thumbrank_core.store.tombstones import record
from thumbrank_core.youtube.records import time_of

FIELDS = ["videoId", "channelId", "title", "publishedAt", "viewCount", "duration"]
SEEN = time_of("2026-08-01T00:00Z")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    return tmp_path


def rows(world, count=100):
    videos = [video for video in world.videos if video.state == "public"][:count]
    titles = ["=1+1", "+49", "-5 tricks", "@home", *(video.title for video in videos[4:])]
    return videos, [
        {
            "videoId": video.id,
            "channelId": video.channel.id,
            "title": title,
            "publishedAt": video.published_at.isoformat(),
            "viewCount": str(video.views),
            "duration": "PT4M13S",
        }
        for video, title in zip(videos, titles, strict=True)
    ]


def write(folder, world, videos, records):
    for video in videos:
        (folder / "pictures" / f"{video.id}.jpg").write_bytes(jpeg_bytes(world, video, "medium"))
    with (folder / "videos.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(records)
    return folder / "videos.csv"


def load(db, images, path, folder):
    return import_dataset(db, images, path, folder / "pictures", "gaming", SEEN, {})


def test_three_broken_rows_among_a_hundred_lose_only_themselves(db, images, world, folder):
    videos, records = rows(world)
    records[10]["viewCount"] = "lots"
    records[20]["publishedAt"] = "yesterday"
    records[30]["channelId"] = "not an id"
    result = load(db, images, write(folder, world, videos, records), folder)
    assert (result.rows, result.videos, result.pictures) == (100, 97, 97)
    assert result.row_misses == {"bad_view_count": 1, "bad_published_at": 1, "bad_channel_id": 1}
    with db.connection() as connection:
        assert miss_counts(connection, "gaming", "import_row") == result.row_misses
        titles = connection.execute("select title from thumbrank.thumbnails").fetchall()
    assert {("=1+1",), ("+49",), ("-5 tricks",), ("@home",)} <= set(titles)


def test_a_mended_file_takes_its_misses_back(db, images, world, folder):
    videos, records = rows(world, 5)
    records[0]["viewCount"] = "lots"
    load(db, images, write(folder, world, videos, records), folder)
    records[0]["viewCount"] = "1000"
    result = load(db, images, write(folder, world, videos, records), folder)
    assert (result.videos, result.videos_new, result.row_misses) == (5, 1, {})
    with db.connection() as connection:
        assert miss_counts(connection, "gaming", "import_row") == {}


def test_what_was_forgotten_does_not_come_back_with_an_import(db, images, world, folder):
    videos, records = rows(world, 5)
    path = write(folder, world, videos, records)
    with db.connection() as connection:
        record(connection, "video", [videos[0].id], "forgotten", SEEN)
    result = load(db, images, path, folder)
    assert (result.videos, result.pictures, result.row_misses) == (4, 4, {"forgotten": 1})
    with db.connection() as connection:
        stored = {video for (video,) in connection.execute("select video_id from thumbrank.thumbnails").fetchall()}
    assert stored == {video.id for video in videos[1:]}


def test_unreadable_and_absent_pictures_are_misses_and_their_rows_stay(db, images, world, folder):
    videos, records = rows(world, 6)
    path = write(folder, world, videos, records)
    (folder / "pictures" / f"{videos[0].id}.jpg").write_bytes(b"junk")
    (folder / "pictures" / f"{videos[1].id}.jpg").unlink()
    picture = folder / "pictures" / f"{videos[2].id}.jpg"
    picture.write_bytes(picture.read_bytes()[:800])
    result = load(db, images, path, folder)
    assert (result.videos, result.pictures) == (6, 3)
    assert result.picture_misses == {"not_a_picture": 1, "no_file": 1, "truncated": 1}


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_parquet_and_json_lines_say_the_same_as_csv(db, images, world, folder, kind):
    videos, records = rows(world, 8)
    write(folder, world, videos, [])
    path = folder / f"videos.{kind}"
    if kind == "parquet":
        frame = pd.DataFrame(records).assign(viewCount=lambda f: f.viewCount.astype("int64"))
        frame.assign(publishedAt=pd.to_datetime(frame.publishedAt, format="ISO8601")).to_parquet(path)
    else:
        items = [
            {
                "id": r["videoId"],
                "snippet": {"channelId": r["channelId"], "title": r["title"], "publishedAt": r["publishedAt"]},
                "statistics": {"viewCount": r["viewCount"]},
                "contentDetails": {"duration": r["duration"]},
            }
            for r in records
        ]
        path.write_text("\n".join(json.dumps(item) for item in items), encoding="utf-8")
    assert load(db, images, path, folder).videos == 8
    with db.connection() as connection:
        stored = connection.execute(
            "select t.video_id, t.title, s.view_count, t.duration_seconds from thumbrank.thumbnails t "
            "join thumbrank.latest_snapshots s using (video_key)"
        ).fetchall()
    assert set(stored) == {(r["videoId"], r["title"], int(r["viewCount"]), 253) for r in records}


def cli(tmp_path, database_url, *arguments):
    import os

    return subprocess.run(
        [sys.executable, "-m", "thumbrank_dagster", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "DATABASE_URL": database_url, "THUMBRANK_HOME": str(tmp_path / "home")},
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["no.csv", "--images", "pictures", "--niche", "gaming", "--observed-at", "2026-08-01"],
            "no.csv does not exist",
        ),
        (
            ["videos.csv", "--images", "nowhere", "--niche", "gaming", "--observed-at", "2026-08-01"],
            "nowhere is not a folder",
        ),
        (["videos.csv", "--images", "pictures", "--niche", "cooking"], "'cooking' is not a niche: use one of tech,"),
        (["videos.csv", "--images", "pictures", "--niche", "gaming"], "--observed-at TIME"),
        (
            ["short.csv", "--images", "pictures", "--niche", "gaming", "--observed-at", "2026-08-01"],
            "--map THEIRS=channel_id",
        ),
    ],
)
def test_what_cannot_be_imported_is_one_sentence_and_exit_status_1(tmp_path, database_url, arguments, says):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "videos.csv").write_text(",".join(FIELDS) + "\n")
    (tmp_path / "short.csv").write_text("videoId,title\nx,y\n")
    done = cli(tmp_path, database_url, "import", *arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_summary_says_what_came_in_and_which_criteria_are_skipped(tmp_path, database_url, world):
    (tmp_path / "pictures").mkdir()
    videos, records = rows(world, 6)
    records[5] = dict.fromkeys(FIELDS, "") | {"videoId": videos[5].id}
    path = write(tmp_path, world, videos, records)
    done = cli(
        tmp_path,
        database_url,
        "import",
        path,
        "--images",
        tmp_path / "pictures",
        "--niche",
        "gaming",
        "--observed-at",
        "2026-08-01T00:00Z",
    )
    assert done.returncode == 0, done.stderr
    for text in ("rows read", "6", "rows without views", "pictures stored", "few_subscribers, inactive_channel"):
        assert text in done.stdout
    assert ": it has no view count, and no channel_id, title, published_at either" in " ".join(done.stdout.split())


def test_a_wrong_database_url_is_one_sentence_without_the_password(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "videos.csv").write_text(",".join(FIELDS) + "\n")
    done = cli(
        tmp_path,
        "postgresql://me:s3cret-word@127.0.0.1:9/nowhere",
        "import",
        "videos.csv",
        "--images",
        "pictures",
        "--niche",
        "gaming",
        "--observed-at",
        "2026-08-01",
    )
    assert done.returncode == 1
    assert "127.0.0.1" in done.stderr
    assert "s3cret-word" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def brought_in(tmp_path, database_url, path):
    given = ("--images", tmp_path / "pictures", "--niche", "gaming", "--observed-at", "2026-08-01T00:00Z")
    return cli(tmp_path, database_url, "import", path, *given)


def test_columns_that_are_not_read_are_named(tmp_path, database_url, world):
    (tmp_path / "pictures").mkdir()
    videos, records = rows(world, 6)
    path = write(tmp_path, world, videos, records)
    path.write_text(path.read_text().replace("duration", "len_seconds"))
    done = brought_in(tmp_path, database_url, path)
    assert done.returncode == 0, done.stderr
    assert "Columns not read: len_seconds. Where one is ours by another name: --map THEIRS=OURS." in done.stdout


def test_a_folder_with_none_of_the_pictures_is_one_sentence_and_the_rows_stay(tmp_path, database_url, world):
    (tmp_path / "pictures").mkdir()
    _, records = rows(world, 6)
    done = brought_in(tmp_path, database_url, write(tmp_path, world, [], records))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "pictures holds no picture of any of these videos: name them <video_id>.jpg (.jpeg, .png, .webp), and import again."
    )
    assert "videos stored" in done.stdout and "Traceback" not in done.stderr
