"""Claim: 200,000 pictures and titles leave Postgres as one tensor many times faster than by a SELECT of rows.

Physical limit: the bytes of the vectors (2.3 kB an item at 768 + 384 dimensions) from the server's memory through one
loopback socket, a copy or two. The rows are read back at once, so that they come from the page cache.
"""

import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psycopg
import torch

from thumbrank_core.features import cache
from thumbrank_core.paths import migrations_folder
from thumbrank_core.store.database import Database
from thumbrank_core.store.embedded import EmbeddedPostgres
from thumbrank_core.store.migrate import migrate

REPEATS = 3
IMAGE, TITLE = 768, 384
_BLOCK = 8192


def measure_reading(n: int = 200_000) -> dict[str, float]:
    """Seconds (medians) to read n items by `cache.load` and by a plain SELECT, and to write them once."""
    generator = np.random.default_rng(0)
    digests = [generator.bytes(32) for _ in range(n)]
    home = Path(tempfile.mkdtemp(prefix="thumbrank-bench-"))
    home.chmod(0o711)
    try:
        with EmbeddedPostgres(home) as server:
            url = server.create_database("bench")
            migrate(url, migrations_folder())
            with Database(url) as database:
                write_s = _fill(database, digests, generator)
                # Ours first: the peak of memory is the process's, and only ever grows.
                read_s = _median(lambda: _by_load(database, digests))
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                select_s = _median(lambda: _by_select(database, digests))
    finally:
        shutil.rmtree(home)
    return {
        "read_s_200k": round(read_s, 2),
        "select_s_200k": round(select_s, 2),
        "write_s_200k": round(write_s, 2),
        "peak_rss_mb": round(peak),
        "megabytes": round(n * (IMAGE + TITLE) * 2 / 1e6),
    }


def _fill(database: Database, digests: list[bytes], generator: np.random.Generator) -> float:
    """Seconds spent in `cache.write`, in batches as the embedding step has them, but larger."""
    spent = 0.0
    with database.connection() as connection:
        for key, (name, width) in enumerate((("image", IMAGE), ("title", TITLE)), start=1):
            connection.execute(
                "insert into thumbrank.encoders (encoder_id, modality, dimension) values (%s, %s, %s)",
                (name, name, width),
            )
            for start in range(0, len(digests), _BLOCK):
                taken = digests[start : start + _BLOCK]
                vectors = generator.standard_normal((len(taken), width), dtype=np.float32)
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                began = time.perf_counter()
                assert cache.write(connection, key, taken, vectors) == len(taken)
                spent += time.perf_counter() - began
        connection.execute("analyze thumbrank.embeddings")  # as autovacuum does within minutes
    return spent


def _by_load(database: Database, digests: list[bytes]) -> torch.Tensor:
    tensor = torch.empty(len(digests), IMAGE + TITLE, dtype=torch.float16)
    with database.connection() as connection:
        for key, width, columns in ((1, IMAGE, slice(0, IMAGE)), (2, TITLE, slice(IMAGE, None))):
            vectors, there = cache.load(connection, key, width, digests)
            assert there.all()
            tensor[:, columns] = torch.from_numpy(vectors)
    return tensor


def _by_select(database: Database, digests: list[bytes]) -> torch.Tensor:
    parts: list[np.ndarray] = []
    with database.connection() as connection:
        for key in (1, 2):
            found = dict(_selected(connection, key))
            parts.append(np.stack([np.frombuffer(found[digest], dtype="<f2") for digest in digests]))
    return torch.from_numpy(np.concatenate(parts, axis=1))


def _selected(connection: psycopg.Connection, key: int) -> list[tuple[bytes, bytes]]:
    return connection.execute(
        "select sha256, vector from thumbrank.embeddings where encoder_key = %s", (key,)
    ).fetchall()


def _median(work: Callable[[], torch.Tensor]) -> float:
    seconds: list[float] = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    for name, figure in measure_reading(*map(int, sys.argv[1:])).items():
        print(f"{name}: {figure:,}")
