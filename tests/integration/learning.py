"""A niche that can be learnt from in two seconds, for tests of what trains on it."""

from tests.integration.conftest import store_videos
from tests.integration.test_labels import label
from tests.integration.test_training_data import channel_in, embed
from thumbrank_core.retraining import Request
from thumbrank_dagster.defs.train.assets import trained_model
from thumbrank_dagster.resources.state import StateResource

OVERRIDES = {"epochs": 2, "hidden_dim": 8}
ASKED = Request(("tech",), overrides=OVERRIDES, encoders="tiny")


def fill(db, images, world):
    """Three training channels and two validation channels in tech, six videos each, every picture another."""
    ids = [channel_in(split, number) for split, count in (("train", 3), ("validation", 2)) for number in range(count)]
    store_videos(
        db,
        images,
        world,
        {name: [(40 + d, 5_000 + 900 * ((d * 5 + i) % 7)) for d in range(6)] for i, name in enumerate(ids)},
    )
    with db.connection() as connection:
        connection.execute(
            "update thumbrank.picture_versions set sha256 = sha256(int8send(video_key)), phash = hashint8extended(video_key, 0)"
        )
    embed(db)
    label(db)


def configure(monkeypatch, database_url, home):
    """What a process of its own finds the same database and folders by."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(home))


def materialise(instance, **config):
    """`trained_model` on what is stored, as Dagster runs it."""
    import dagster as dg

    return dg.materialize(
        [trained_model],
        resources={"state": StateResource()},
        run_config={"ops": {"trained_model": {"config": {"niches": ["tech"], "encoders": "tiny", **config}}}},
        instance=instance,
        raise_on_error=False,
    )
