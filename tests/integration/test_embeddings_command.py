"""`thumbrank embeddings status | prune` as a person types them."""

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.integration.conftest import store_videos
from tests.integration.test_labels import label
from thumbrank_core.cli import app
from thumbrank_core.features import cache, signal_store
from thumbrank_core.features.signals.definitions import MEASURES
from thumbrank_core.features.specs import load_set
from thumbrank_core.features.tuned import CARD, FOLDER, TunedCard, tuned_set
from thumbrank_core.features.wanted import pictures_of, titles_of, wanted_items
from thumbrank_core.model.bundle import CARD as BUNDLE_CARD
from thumbrank_core.retention.prune import NO_CODE, NOTHING_STORED, UNNAMED, Pruned, prune

ENCODERS = load_set("tiny")
CHANNEL = "UCtest0000000000000000-0"
FORGED = ENCODERS.image.model_copy(update={"model": "forged", "sha256": "0" * 64})
"""An encoder that no set names."""
MEASURE = next(iter(MEASURES))


@pytest.fixture
def thumbrank(tmp_path, database_url, monkeypatch):
    for name, value in (
        ("DATABASE_URL", database_url),
        ("THUMBRANK_HOME", str(tmp_path)),
        ("THUMBRANK_ENCODERS", "tiny"),
        ("COLUMNS", "160"),
    ):
        monkeypatch.setenv(name, value)
    return lambda *words: CliRunner().invoke(app, ("embeddings", *words))


@pytest.fixture
def made(db, images, world):
    """A channel whose four videos are compared; three of its pictures and one of its titles have vectors, one a reading."""
    made = store_videos(db, images, world, {CHANNEL: [(10 + d, 5_000 + d) for d in range(4)]})
    label(db, "tech")
    with db.connection() as connection:
        items = wanted_items(connection, "tech")
        pictures, titles = list(pictures_of(items)), list(titles_of(items))
        write(connection, ENCODERS.image, pictures[:3])
        write(connection, ENCODERS.title, titles[:1])
        keys = signal_store.measure_keys(connection, {MEASURE: MEASURES[MEASURE]})
        signal_store.write_readings(connection, [(keys[MEASURE], pictures[0], 0.5, None)])
    return made


def write(connection, spec, digests):
    vectors = np.random.default_rng(0).normal(size=(len(digests), spec.dimension)).astype(np.float32)
    cache.write(connection, cache.encoder_key(connection, spec), digests, vectors)


def litter(db):
    """One of everything that nothing uses."""
    with db.connection() as connection:
        [(picture,)] = connection.execute("select min(sha256::text)::bytea from thumbrank.picture_versions").fetchall()
        write(connection, FORGED, [bytes(picture)])
        write(connection, ENCODERS.image, [b"p" * 32, b"q" * 32])
        write(connection, ENCODERS.title, [b"t" * 32])
        keys = signal_store.measure_keys(connection, {"old": "clarity", MEASURE: MEASURES[MEASURE]})
        rows = [(keys["old"], bytes(picture), 0.5, None), (keys[MEASURE], b"p" * 32, None, "no face")]
        signal_store.write_readings(connection, rows)


def counts(db):
    with db.connection() as connection:
        return connection.execute(
            "select (select count(*)::int from thumbrank.embeddings), "
            "(select count(*)::int from thumbrank.sub_score_signals)"
        ).fetchone()


def line(done, *names):
    """The one line of a table with these words."""
    [found] = [text for text in done.output.splitlines() if all(name in text for name in names)]
    return [cell.strip() for cell in found.split("│") if cell.strip()]


def test_an_empty_database_says_so(thumbrank):
    done = thumbrank("status")
    assert done.exit_code == 0
    assert done.output == "Nothing embedded yet.\n"


def test_status_shows_encoders_niches_and_measures(thumbrank, made):
    done = thumbrank("status")
    assert ":package:" in done.stdout, "an id is no markup"
    assert done.exit_code == 0, done.output
    assert line(done, ENCODERS.image.encoder_id) == [ENCODERS.image.encoder_id, "image", "3", "< 0.1"]
    assert line(done, "tech ") == ["tech", "3 of 4", "1 of 4", "0 of 4"]
    assert line(done, "news ") == ["news", "0 of 0", "0 of 0", "0 of 0"]
    assert line(done, MEASURE) == [MEASURE, MEASURES[MEASURE], "1", "0", "3"]


def test_status_writes_nothing(thumbrank, db, made):
    def encoders():
        with db.connection() as connection:
            return connection.execute("select * from thumbrank.encoders order by 1").fetchall()

    before = encoders()
    assert line(thumbrank("status", "--encoders", "production"), "tech ") == ["tech", "0 of 4", "0 of 4", "0 of 4"]
    assert encoders() == before


def test_an_unknown_set_is_one_sentence(thumbrank):
    done = thumbrank("status", "--encoders", "huge")
    assert done.exit_code == 1
    assert "'huge' is not an encoder set: use one of" in done.output


def test_prune_says_what_would_go_and_removes_it_only_when_told(thumbrank, db, made):
    kept = counts(db)
    litter(db)
    before = counts(db)
    said = thumbrank("prune")
    assert said.exit_code == 0, said.output
    assert "Would be removed: vectors and readings" in said.output
    assert "Nothing was removed: add --yes to remove it." in said.output
    assert line(said, FORGED.encoder_id) == [FORGED.encoder_id, UNNAMED, "1", "< 0.1"]
    assert line(said, ENCODERS.image.encoder_id) == [ENCODERS.image.encoder_id, NOTHING_STORED, "2", "< 0.1"]
    assert line(said, "old") == ["old", NO_CODE, "1"]
    assert counts(db) == before
    done = thumbrank("prune", "--yes")
    assert "Removed: vectors and readings" in done.output
    assert counts(db) == kept
    assert "Every vector and reading is of something stored" in thumbrank("prune").output


def test_what_is_referenced_stays_and_everything_else_is_counted(db, made):
    litter(db)
    expected = [
        Pruned("vectors", FORGED.encoder_id, UNNAMED, 1, 2 * FORGED.dimension),
        Pruned("readings", "old", NO_CODE, 1, 0),
        Pruned("vectors", ENCODERS.image.encoder_id, NOTHING_STORED, 2, 2 * 2 * ENCODERS.image.dimension),
        Pruned("vectors", ENCODERS.title.encoder_id, NOTHING_STORED, 1, 2 * ENCODERS.title.dimension),
        Pruned("readings", MEASURE, NOTHING_STORED, 1, 0),
    ]
    assert prune(db, ENCODERS.specs, MEASURES, dry_run=True) == expected
    assert prune(db, ENCODERS.specs, MEASURES, dry_run=False) == expected
    assert prune(db, ENCODERS.specs, MEASURES, dry_run=False) == []


def test_a_set_with_an_open_precision_keeps_its_vectors_in_any(db, made):
    opened = ENCODERS.model_copy(
        update={
            "image": ENCODERS.image.model_copy(update={"precision": "auto"}),
            "title": ENCODERS.title.model_copy(update={"precision": "auto"}),
        }
    )
    assert prune(db, opened.specs, MEASURES, dry_run=True) == []
    assert sum(row.rows for row in prune(db, [], MEASURES, dry_run=True)) == 4


# A tuned encoder is named by its folder


@pytest.fixture
def tuned(tmp_path, db, made):
    """A bundle with a tuned encoder of which one picture has a vector; the encoder's card and what it is as an encoder."""
    folder = tmp_path / "models" / "0123456789ab" / FOLDER
    folder.mkdir(parents=True)
    (folder.parent / BUNDLE_CARD).write_text("{}")
    card = TunedCard(base=ENCODERS.image, sha256="1" * 64, precision="float32")
    (folder / CARD).write_text(card.model_dump_json())
    spec = tuned_set(ENCODERS, folder).image
    with db.connection() as connection:
        write(connection, spec, list(pictures_of(wanted_items(connection, "tech")))[:1])
    return folder / CARD, spec


def test_vectors_of_a_tuned_encoder_stay_where_its_bundle_can_no_longer_be_read(thumbrank, db, tuned):
    before = counts(db)
    done = thumbrank("prune", "--yes")
    assert (done.exit_code, counts(db)) == (0, before), done.output
    assert "Every vector and reading is of something stored" in done.output
    card, spec = tuned
    card.unlink()
    assert line(thumbrank("prune", "--yes"), spec.encoder_id) == [spec.encoder_id, UNNAMED, "1", "< 0.1"]


@pytest.mark.parametrize("broken", ["{", "a folder"])
def test_a_tuned_encoder_s_card_that_cannot_be_read_is_one_sentence_and_nothing_goes(thumbrank, db, tuned, broken):
    card, _ = tuned
    card.unlink()
    if broken == "a folder":
        card.mkdir()
    else:
        card.write_text(broken)
    litter(db)
    before = counts(db)
    done = thumbrank("prune", "--yes")
    assert (done.exit_code, counts(db)) == (1, before)
    [sentence] = done.output.splitlines()
    assert str(card) in sentence and "train again" in sentence
