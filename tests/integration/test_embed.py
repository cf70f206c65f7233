"""Embedding a niche: only what its pairs need, each once in its life, by as many workers as were asked for."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.integration.embedding import TINY, fill, stored
from thumbrank_core.features import cache, precision
from thumbrank_core.features.embed import Embedding, embed_niche
from thumbrank_core.features.encoders import ImageEncoder
from thumbrank_core.features.precision import as_trained, settle
from thumbrank_core.features.signals.definitions import MEASURES
from thumbrank_core.features.specs import load_set
from thumbrank_core.features.stored import read_niche
from thumbrank_core.features.wanted import Shard, pictures_of, titles_of, wanted_items
from thumbrank_core.features.workers import Task, start, work
from thumbrank_core.launch import WorkersError
from thumbrank_core.retention.prune import prune
from thumbrank_core.settings import Settings
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.opening import open_database, running_servers
from thumbrank_dagster.defs.embed.checks import check_embeddings

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
    monkeypatch.setattr("thumbrank_core.features.embed.caption_encoder", None)
    second = embed_niche(db, images, "tech", HOW)
    assert (second.pictures_computed, second.titles_computed, second.captions_computed, second.measured) == (0, 0, 0, 0)
    assert (second.pictures_wanted, second.misses) == (18, {})
    assert stored(db) == before


WITHOUT_TORCH = """
import sys
from thumbrank_core.features.embed import Embedding, embed_niche
from thumbrank_core.features.precision import settle
from thumbrank_core.features.specs import load_set
from thumbrank_core.features.stored import read_niche
from thumbrank_core.settings import Settings
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore
import os
with Database(os.environ["DATABASE_URL"]) as database:
    with database.connection() as connection:
        encoders = settle(connection, load_set("tiny"))
    done = embed_niche(database, ImageStore(Settings.read().images), "tech", Embedding(encoders, offline=True))
    with database.connection() as connection:
        read_niche(connection, "tech", encoders)
print(done.pictures_wanted, done.pictures_computed, sorted({"torch", "transformers", "scipy.stats"} & set(sys.modules)))
"""


def test_a_niche_that_has_its_vectors_is_done_without_torch(db, images, niche, environment):
    """Its import is most of what a launched run of such a niche waits for."""
    embed_niche(db, images, "tech", HOW)
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout.strip(), done.stderr) == ("18 0 []", "")


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
    with db.connection() as connection:
        assert read_niche(connection, "tech", TINY).coverage == {"pictures": 17 / 18, "titles": 1.0, "captions": 1.0}
        missed = connection.execute("select item_id, reason from thumbrank.misses where kind = 'embedding'").fetchall()
        assert missed == [(items[0].video_id, "file_missing")]
    assert images.put(whole).sha256 == items[0].picture
    second = embed_niche(db, images, "tech", HOW)
    assert (second.pictures_computed, second.misses, second.measured) == (1, {}, 1)
    with db.connection() as connection:
        assert connection.execute("select count(*) from thumbrank.misses where kind = 'embedding'").fetchone() == (0,)


def test_a_missing_picture_is_a_miss_of_every_video_that_shows_it_until_it_is_there_or_unwanted(db, images, niche):
    with db.connection() as connection:
        items = wanted_items(connection, "tech")
        connection.execute(
            "update thumbrank.video_labels set picture_sha256 = %s where picture_sha256 = %s",
            (items[0].picture, items[1].picture),
        )
    whole = images.read(items[0].picture)
    images.delete([items[0].picture])

    def missed():
        with db.connection() as connection:
            rows = connection.execute("select item_id from thumbrank.misses where kind = 'embedding' order by 1")
            return [video for (video,) in rows]

    assert embed_niche(db, images, "tech", HOW).misses == {"file_missing": 1}
    assert missed() == sorted([items[0].video_id, items[1].video_id])
    with db.connection() as connection:
        connection.execute("delete from thumbrank.video_labels where picture_sha256 = %s", (items[0].picture,))
    embed_niche(db, images, "tech", HOW)
    assert missed() == []
    images.put(whole)


def test_a_picture_that_the_model_makes_nothing_of_is_a_miss_and_the_others_of_its_batch_are_kept(
    db, images, niche, monkeypatch
):
    """Not a mock of the model: what it gives is spoilt on its way, as half precision spoils it when it overflows."""
    compute = ImageEncoder._forward

    def overflown(self, pixels):
        vectors = compute(self, pixels).clone()
        vectors[2], vectors[4] = float("inf"), 0.0
        return vectors

    monkeypatch.setattr(ImageEncoder, "_forward", overflown)
    first = embed_niche(db, images, "tech", HOW)
    assert (first.pictures_computed, first.misses) == (16, {"not_encodable": 2})
    monkeypatch.undo()
    second = embed_niche(db, images, "tech", HOW)
    assert (second.pictures_computed, second.misses) == (2, {})


def test_a_hundred_runs_use_up_no_key(db, images, niche):
    embed_niche(db, images, "tech", HOW)

    def last_keys():
        with db.connection() as connection:
            return connection.execute(
                "select (select last_value from thumbrank.encoders_encoder_key_seq), "
                "(select last_value from thumbrank.measures_measure_key_seq)"
            ).fetchone()

    before = last_keys()
    for _ in range(100):
        with db.connection() as connection:
            read_niche(connection, "tech", TINY)
    assert last_keys() == before


def test_where_the_text_tower_knows_words_prompts_are_embedded_kept_and_read(db, images, niche):
    """The tiny tower knows none of these words: here it only has to be asked."""
    speaking = TINY.model_copy(update={"speaks": True})
    done = embed_niche(db, images, "tech", Embedding(speaking, offline=True))
    assert done.captions_computed == 18 + 4
    assert prune(db, speaking.specs, MEASURES, dry_run=False) == []
    with db.connection() as connection:
        stored_niche = read_niche(connection, "tech", speaking)
        silent = read_niche(connection, "tech", TINY)
    assert stored_niche.signal_coverage["title_match"] == 1.0
    assert silent.signal_coverage["title_match"] == 0.0
    assert stored_niche.signal_coverage["emotion"] == 1.0 > silent.signal_coverage["emotion"]


def test_the_version_changes_with_the_encoder_and_with_what_has_a_vector(db, images, niche):
    embed_niche(db, images, "tech", HOW)
    cropping = TINY.model_copy(update={"image": TINY.image.model_copy(update={"resize": "crop"})})
    with db.connection() as connection:
        first = read_niche(connection, "tech", TINY).version
        assert read_niche(connection, "tech", TINY).version == first
        assert read_niche(connection, "tech", cropping).version != first
        connection.execute(
            "delete from thumbrank.embeddings where ctid in (select min(ctid) from thumbrank.embeddings)"
        )
        assert read_niche(connection, "tech", TINY).version != first


def test_a_niche_without_pairs_passes_its_checks_and_says_nothing_it_does_not_know(db, images):
    done = embed_niche(db, images, "news", HOW)
    with db.connection() as connection:
        checks = check_embeddings(connection, "news", done, read_niche(connection, "news", TINY))
    assert all(check.passed for check in checks)
    assert "NaN" not in json.dumps([{name: str(value) for name, value in check.metadata.items()} for check in checks])
    assert "nan" not in str([check.metadata for check in checks])


def test_the_checks_see_vectors_that_something_else_wrote(db, images, niche):
    done = embed_niche(db, images, "tech", HOW)
    with db.connection() as connection:
        names = {
            check.check_name: check
            for check in check_embeddings(connection, "tech", done, read_niche(connection, "tech", TINY))
        }
        assert all(check.passed for check in names.values())
        connection.execute(
            "update thumbrank.embeddings set vector = (select min(vector) from thumbrank.embeddings e "
            "where e.encoder_key = embeddings.encoder_key) where length(vector) = 256 and encoder_key = 1"
        )
        same = check_embeddings(connection, "tech", done, read_niche(connection, "tech", TINY))
        assert [check.check_name for check in same if not check.passed] == ["duplicates"]
        connection.execute("update thumbrank.embeddings set vector = decode(repeat('00', length(vector)), 'hex')")
        zero = check_embeddings(connection, "tech", done, read_niche(connection, "tech", TINY))
        assert [check.check_name for check in zero if not check.passed] == ["norms", "duplicates"]
        connection.execute("delete from thumbrank.embeddings where length(vector) = 768")
        gone = check_embeddings(connection, "tech", done, read_niche(connection, "tech", TINY))
        assert "coverage" in [check.check_name for check in gone if not check.passed]


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_workers_on_an_embedded_database_do_not_take_it_from_one_another(tmp_path, monkeypatch, capfd):
    """The worker that starts the server has the smaller share and ends first."""
    home = Path(tempfile.mkdtemp(prefix="thumbrank-workers-"))
    home.chmod(0o755)
    try:
        for name, value in {
            "THUMBRANK_HOME": str(home),
            "THUMBRANK_IMAGES": str(tmp_path),
            "HF_HUB_OFFLINE": "1",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("DATABASE_URL", raising=False)
        settings = Settings.read()
        with running_servers(settings) as servers, open_database(servers.thumbrank) as db:
            fill(db, ImageStore(settings.images), CHANNELS, VIDEOS)
        start(Task("tech", "tiny", 2))
        assert "2 workers embedded 18 pictures, 0 missed" in capfd.readouterr().err
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_a_world_of_another_size_than_asked_for_is_refused(environment):
    with pytest.raises(WorkersError, match=r"--world-size is 4, and there is 1 running: start them with torchrun"):
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
    monkeypatch.setattr(precision, "gains", lambda device: precision.PrecisionChoice("bfloat16", "a test says so"))
    with db.connection() as connection:
        fresh = settle(connection, open_set)
        assert fresh.image.encoder_id.endswith(":squash:bfloat16")
        assert fresh.caption.encoder_id.endswith(":nfc:bfloat16")
        key = cache.encoder_key(connection, open_set.image.model_copy(update={"precision": "float16"}))
        cache.write(connection, key, [bytes(32)], np.ones((1, 768), dtype=np.float32))
        kept = settle(connection, open_set)
        assert (kept.image.precision, kept.title.precision) == ("float16", "bfloat16")
        assert settle(connection, TINY) == TINY, "a configured precision is not asked"
    trained = as_trained(open_set, kept.image.encoder_id, kept.title.encoder_id)
    assert (trained.image, trained.title) == (kept.image, kept.title)


def test_titles_that_read_alike_are_one_vector(db, images, niche):
    with db.connection() as connection:
        connection.execute("update thumbrank.thumbnails set title = 'One   title' where video_key % 2 = 0")
        connection.execute("update thumbrank.thumbnails set title = ' One title ' where video_key % 2 = 1")
        assert list(titles_of(wanted_items(connection, "tech")).values()) == ["One title"]
    assert embed_niche(db, images, "tech", HOW).titles_computed == 1
