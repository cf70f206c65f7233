"""A niche with pairs to embed, without a collection; and a child process that embeds it, which a test may kill.

Run as a program it embeds once, in small slow batches, and writes down what it computes before it does:
`python -m tests.integration.embedding DATABASE_URL IMAGES JOURNAL`.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.integration.conftest import store_videos
from tests.integration.test_labels import label
from thumbrank_core.features import embed, encoders, measuring
from thumbrank_core.features.embed import Embedding, embed_niche
from thumbrank_core.features.specs import load_set
from thumbrank_core.simulator.world import WorldSettings, build_world
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore

TINY = load_set("tiny")
BATCH = 16


def fill(db, images, channels, videos):
    """A niche of `channels` x `videos` with pairs among all of them; every picture and title is another one."""
    world = build_world(
        WorldSettings(seed=5, channels_per_niche=channels + 2, videos_per_channel=videos + 4, niches=("tech",))
    )
    entries = [(40.0 + day, 5_000 + 37 * day) for day in range(videos)]
    made = store_videos(db, images, world, {f"UC{number:022d}": list(entries) for number in range(channels)})
    label(db, "tech")
    return made


def stored(db):
    """What the database holds: (encoder, digest) -> vector bytes, and (measure, digest) -> (value, reason)."""
    with db.connection() as connection:
        vectors = connection.execute(
            "select n.encoder_id, e.sha256, e.vector from thumbrank.embeddings e join thumbrank.encoders n using (encoder_key)"
        ).fetchall()
        readings = connection.execute(
            "select m.measure_id, s.sha256, s.value, s.reason from thumbrank.sub_score_signals s "
            "join thumbrank.measures m using (measure_key)"
        ).fetchall()
    return (
        {(encoder, bytes(digest)): bytes(vector) for encoder, digest, vector in vectors},
        {(measure, bytes(digest)): (value, reason) for measure, digest, value, reason in readings},
    )


def main(url: str, images: str, journal: str) -> None:
    """Embed tech; every batch is written into the journal before it is computed, and takes a while."""
    book = Path(journal)

    def noted(kind, compute, count) -> Callable[..., Any]:
        def run(self, batch, *args):
            with book.open("a") as file:
                file.write(f"{kind} {count(batch)}\n")
            time.sleep(0.03)
            return compute(self, batch, *args)

        return run

    encoders.LARGEST_CPU_BATCH = embed.TEXT_BATCH = measuring.BATCH = BATCH
    encoders.ImageEncoder._normalised = noted("pictures", encoders.ImageEncoder._normalised, len)
    encoders.CaptionEncoder.encode = noted("captions", encoders.CaptionEncoder.encode, len)
    encoders.TitleEncoder.encode = noted("titles", encoders.TitleEncoder.encode, len)
    look = measuring.measure

    def looked(data):
        with book.open("a") as file:
            file.write("measured 1\n")
        return look(data)

    measuring.measure = looked
    torch.set_num_threads(1)
    with Database(url) as db:
        embed_niche(db, ImageStore(images), "tech", Embedding(TINY, offline=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
