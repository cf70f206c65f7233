"""Embedding a niche: only what its pairs need, each once in its life, by as many workers as were asked for."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.integration.embedding import TINY, fill, stored
from thumbrank_core.features import cache, precision
from thumbrank_core.features.embed import Embedding, embed_niche
from thumbrank_core.features.precision import as_trained, settle
from thumbrank_core.features.specs import load_set
from thumbrank_core.features.wanted import Shard, pictures_of, titles_of, wanted_items
from thumbrank_core.features.workers import Task, WorkersError, start, work
from thumbrank_core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
HOW = Embedding(TINY, offline=True)
CHANNELS, VIDEOS = 3, 6


@pytest.fixture
def niche(db, images):
    return fill(db, images, CHANNELS, VIDEOS)


def test_a_second_run_computes_nothing_and_loads_no_model(db, images, niche, monkeypatch):
    first = embed_niche(db, images, "tech", HOW)
    assert (first.pictures_computed, first.titles_computed, first.captions_computed, first.measured) == (18, 18, 18, 18)
    before = stored(db)
    assert {encoder.split(":")[0] for encoder, _ in before[0]} == {"clip", "clip-text", "sentence"}
    monkeypatch.setattr("thumbrank_core.features.embed.image_encoder", None)
    monkeypatch.setattr("thumbrank_core.features.embed.title_encoder", None)
    second = embed_niche(db, images, "tech", HOW)
    assert (second.pictures_computed, second.titles_computed, second.captions_computed, second.measured) == (0, 0, 0, 0)
    assert (second.pictures_wanted, second.coverage) == (18, 1.0)
    assert stored(db) == before


def test_a_changed_picture_computes_one(db, images, niche):
    embed_niche(db, images, "tech", HOW)
    with db.connection() as connection:
        items = wanted_items(connection, "tech")
        other = images.put(_recompressed(images.read(items[0].picture)))
        connection.execute(
            "update thumbrank.video_labels set picture_sha256 = %s where picture_sha256 = %s",
            (other.sha256, items[0].picture),
        )
    again = embed_niche(db, images, "tech", HOW)
    assert (again.pictures_computed, again.titles_computed, again.measured) == (1, 0, 1)


def _recompressed(data: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def test_only_videos_in_pairs_are_embedded(db, images, niche):
    alone = niche["UC0000000000000000000000"][0]
    with db.connection() as connection:
        (key,) = connection.execute(
            "select video_key from thumbrank.thumbnails where video_id = %s", (alone,)
        ).fetchone()
        connection.execute("delete from thumbrank.training_pairs where a_key = %(k)s or b_key = %(k)s", {"k": key})
        items = wanted_items(connection, "tech")
    assert alone not in {item.video_id for item in items}
    assert embed_niche(db, images, "tech", HOW).pictures_computed == 17


def test_another_resize_is_another_encoder_and_both_stay(db, images, niche):
    embed_niche(db, images, "tech", HOW)
    cropping = TINY.model_copy(update={"image": TINY.image.model_copy(update={"resize": "crop"})})
    second = embed_niche(db, images, "tech", Embedding(cropping, offline=True))
    assert (second.pictures_computed, second.titles_computed, second.captions_computed) == (18, 0, 0)
    vectors, _ = stored(db)
    squashed, cropped = (
        {digest: vector for (encoder, digest), vector in vectors.items() if encoder == spec.encoder_id}
        for spec in (TINY.image, cropping.image)
    )
    assert squashed.keys() == cropped.keys()
    assert all(squashed[digest] != cropped[digest] for digest in squashed)


def test_a_picture_that_is_gone_or_damaged_is_a_miss_and_is_had_when_it_is_mended(db, images, niche):
    with db.connection() as connection:
        items = wanted_items(connection, "tech")
    whole = images.read(items[0].picture)
    images.delete([items[0].picture])
    first = embed_niche(db, images, "tech", HOW)
    assert first.misses == {"file_missing": 1}
    assert first.unmeasured == {"file_missing": 1}
    assert first.coverage == pytest.approx(17 / 18)
    with db.connection() as connection:
        missed = connection.execute("select item_id, reason from thumbrank.misses where kind = 'embedding'").fetchall()
        assert missed == [(items[0].video_id, "file_missing")]
    assert images.put(whole).sha256 == items[0].picture
    second = embed_niche(db, images, "tech", HOW)
    assert (second.pictures_computed, second.misses, second.measured) == (1, {}, 1)
    with db.connection() as connection:
        assert connection.execute("select count(*) from thumbrank.misses where kind = 'embedding'").fetchone() == (0,)


def test_shards_are_everything_once(db, images, niche):
    with db.connection() as connection:
        digests = list(pictures_of(wanted_items(connection, "tech")))
    shares = [Shard(rank, 3).of(digests) for rank in range(3)]
    assert sorted(digest for share in shares for digest in share) == sorted(digests)
    done = [embed_niche(db, images, "tech", Embedding(TINY, offline=True, shard=Shard(rank, 3))) for rank in range(3)]
    assert [part.pictures_computed for part in done] == [len(share) for share in shares]
    assert embed_niche(db, images, "tech", HOW).pictures_computed == 0


@pytest.fixture
def environment(database_url, images, monkeypatch, tmp_path):
    for name, value in {
        "DATABASE_URL": database_url,
        "THUMBRANK_IMAGES": images.place,
        "THUMBRANK_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return Settings.read()


def test_two_torchrun_workers_leave_the_rows_of_one(db, images, niche, environment, postgres, capfd):
    start(Task("tech", "tiny", 2))
    assert "2 workers embedded 18 pictures, 0 missed" in capfd.readouterr().err
    two = stored(db)
    with db.connection() as connection:
        connection.execute("truncate thumbrank.embeddings, thumbrank.sub_score_signals")
    embed_niche(db, images, "tech", HOW)
    one = stored(db)
    assert two[0].keys() == one[0].keys()
    assert two[1] == one[1]
    for key, vector in one[0].items():
        there, here = (np.frombuffer(data, "<f2").astype(np.float32) for data in (two[0][key], vector))
        assert np.abs(there - here).max() < 1e-3


def test_a_world_of_another_size_than_asked_for_is_refused(environment):
    with pytest.raises(WorkersError, match=r"--world-size is 4, and 1 is running: start them with torchrun"):
        work(Task("tech", "tiny", 4), environment)


def test_a_worker_that_fails_says_why_and_the_start_says_that_it_failed(environment, capfd):
    with pytest.raises(WorkersError, match="a worker of 2 failed"):
        start(Task("tech", "huge", 2))
    assert "'huge' is not an encoder set" in capfd.readouterr().err


def test_a_worker_s_bad_arguments_are_one_sentence(environment):
    done = subprocess.run(
        [sys.executable, "-m", "thumbrank_core.features.workers", "--niche", "cooking", "--world-size", "1"],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert "cooking" in done.stderr


def test_an_open_precision_follows_what_is_stored_and_the_machine_only_where_nothing_is(db, images, niche, monkeypatch):
    open_set = load_set("production")
    monkeypatch.setattr(precision, "gains", lambda device: precision.Choice("bfloat16", "a test says so"))
    cpu = torch.device("cpu")
    with db.connection() as connection:
        fresh = settle(connection, open_set, cpu)
        assert fresh.image.encoder_id.endswith(":squash:bfloat16")
        assert fresh.caption.encoder_id.endswith(":nfc:bfloat16")
        key = cache.encoder_key(connection, open_set.image.model_copy(update={"precision": "float16"}))
        cache.write(connection, key, [bytes(32)], np.ones((1, 768), dtype=np.float32))
        kept = settle(connection, open_set, cpu)
        assert (kept.image.precision, kept.title.precision) == ("float16", "bfloat16")
        assert settle(connection, TINY, cpu) == TINY, "a configured precision is not asked"
    trained = as_trained(open_set, kept.image.encoder_id, kept.title.encoder_id)
    assert (trained.image, trained.title) == (kept.image, kept.title)


def test_titles_that_read_alike_are_one_vector(db, images, niche):
    with db.connection() as connection:
        connection.execute("update thumbrank.thumbnails set title = 'One   title' where video_key % 2 = 0")
        connection.execute("update thumbrank.thumbnails set title = ' One title ' where video_key % 2 = 1")
        assert list(titles_of(wanted_items(connection, "tech")).values()) == ["One title"]
    assert embed_niche(db, images, "tech", HOW).titles_computed == 1
