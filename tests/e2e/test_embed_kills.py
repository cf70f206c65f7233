"""An embedding that is killed again and again ends with the rows of one that nobody touched, and computes hardly more."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.integration.embedding import BATCH, TINY, fill, stored
from thumbrank_core.features.embed import Embedding, embed_niche
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore

ROOT = Path(__file__).resolve().parents[2]
KILLS = 10
SEED = 20261123
CHANNELS, VIDEOS = 12, 20


def child(url: str, images: Path, journal: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.embedding", url, str(images), str(journal)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def rows(db: Database) -> int:
    with db.connection() as connection:
        [(number,)] = connection.execute(
            "select (select count(*) from thumbrank.embeddings) + (select count(*) from thumbrank.sub_score_signals)"
        ).fetchall()
    return number


def computed(journal: Path) -> Counter:
    counts: Counter = Counter()
    for line in journal.read_text().splitlines():
        kind, number = line.split()
        counts[kind] += int(number)
    return counts


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_kills_leave_the_same_rows_and_compute_at_most_the_batch_in_flight_again(
    database_url, postgres, migrated_template, tmp_path
):
    rng = random.Random(SEED)
    images = ImageStore(tmp_path / "images")
    undisturbed_url = postgres.create_database("undisturbed_embedding", template=migrated_template)
    with Database(undisturbed_url) as other:
        fill(other, images, CHANNELS, VIDEOS)
        whole = embed_niche(other, images, "tech", Embedding(TINY, offline=True))
        vectors, readings = stored(other)
        total = rows(other)
    journal = tmp_path / "journal"
    with Database(database_url) as db:
        fill(db, images, CHANNELS, VIDEOS)
        points = sorted(rng.sample(range(1, total), KILLS))
        for point in points:
            running = child(database_url, tmp_path / "images", journal)
            deadline = time.monotonic() + 60
            while rows(db) < point and running.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            assert running.poll() is None, f"it ended before {point} rows: {running.communicate()[1].decode()[-2000:]}"
            os.kill(running.pid, signal.SIGKILL)
            running.wait(10)
        last = child(database_url, tmp_path / "images", journal)
        assert last.wait(120) == 0, last.communicate()[1].decode()[-2000:]
        again, measured = stored(db)
    assert measured == readings
    assert again.keys() == vectors.keys()
    for key, vector in vectors.items():
        ours, theirs = (np.frombuffer(data, "<f2").astype(np.float32) for data in (again[key], vector))
        assert np.abs(ours - theirs).max() < 1e-3, "another batch moves the last bit of a float16, no more"
    counts = computed(journal)
    wanted = {
        "pictures": whole.pictures_computed,
        "titles": whole.titles_computed,
        "captions": whole.captions_computed,
        "measured": whole.measured,
    }
    assert sum(counts.values()) <= sum(wanted.values()) + KILLS * BATCH
    for kind, number in wanted.items():
        assert number <= counts[kind] <= number + KILLS * BATCH, kind
