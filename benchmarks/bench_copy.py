"""Claim: binary COPY into a temporary table and one set-based upsert beats executemany for float16 vectors.

Physical limit: the bytes of the vectors (1.5 kB each at 768 dimensions) through one loopback socket and into the heap.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measure import report, side_by_side

from thumbrank_core.paths import migrations_folder
from thumbrank_core.store.copy import Column, upsert
from thumbrank_core.store.database import Database
from thumbrank_core.store.embedded import EmbeddedPostgres
from thumbrank_core.store.migrate import migrate

TABLE = "thumbrank.embeddings"
COLUMNS = [Column("encoder_key", "int2"), Column("sha256", "bytea"), Column("vector", "bytea")]


def main() -> None:
    rows: list[dict[str, object]] = []
    home = Path(tempfile.mkdtemp(prefix="thumbrank-bench-"))
    home.chmod(0o711)
    with EmbeddedPostgres(home) as server:
        url = server.create_database("bench")
        migrate(url, migrations_folder())
        with Database(url) as database:
            with database.connection() as connection:
                connection.execute(
                    "insert into thumbrank.encoders (encoder_id, modality, dimension) values ('bench', 'image', 768)"
                )
            for count in (1_000, 5_000, 20_000):
                vectors = np.random.default_rng(0).normal(size=(count, 768)).astype("<f2")
                data = [(1, index.to_bytes(32, "big"), vector.tobytes()) for index, vector in enumerate(vectors)]

                def clear() -> None:
                    with database.connection() as connection:
                        connection.execute("truncate thumbrank.embeddings")

                def by_copy() -> None:
                    clear()
                    with database.connection() as connection:
                        upsert(connection, TABLE, COLUMNS, data, key=["encoder_key", "sha256"], update=[])  # noqa: B023

                def by_executemany() -> None:
                    clear()
                    with database.connection() as connection, connection.cursor() as cursor:
                        cursor.executemany(
                            "insert into thumbrank.embeddings values (%s, %s, %s) on conflict do nothing",
                            data,  # noqa: B023
                        )

                rows.append(
                    {
                        "vectors": count,
                        "megabytes": round(count * 1536 / 2**20, 1),
                        **side_by_side(by_copy, by_executemany),
                    }
                )
    report("copy-upsert", ("psycopg",), rows)


if __name__ == "__main__":
    main()
