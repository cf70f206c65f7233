"""What a target size costs before anybody commits to it: API units and days, bytes per table, encoder and training hours.

What belongs here: arithmetic with named rates, each with where it comes from. What the tables already know is
youtube/forecast.py, which is exact where this is a plan.
"""

import math
from dataclasses import dataclass

from thumbrank_core.policy import Policy
from thumbrank_core.youtube.client import MAX_IDS
from thumbrank_core.youtube.forecast import DISTINCT_PER_PAGE
from thumbrank_core.youtube.stages.listing import pages_per_channel

VETTED_PER_KEPT = 2.0
"""Candidates vetted for each channel kept. An estimate."""

BYTES_PER_ROW = {
    "channels": 420,
    "discoveries": 225,
    "thumbnails": 450,
    "view_snapshots": 120,
    "picture_versions": 310,
    "channel_baselines": 190,
    "training_pairs": 150,
}
"""Heap and indexes: pg_total_relation_size / rows, measured on the demo's default world (9,197 videos, 45,977 pairs)."""
EMBEDDING_ROW_OVERHEAD = 165
"""Bytes a row beside the float16 vector: sha256, key, header, index. Measured there too."""

PICTURE_BYTES = {180: 20_000, 720: 130_000, 1080: 250_000, 1440: 400_000, 2160: 800_000}
"""Mean bytes by height: 180 measured on 198 real thumbnails, the others are estimates."""

CLIP_PER_SECOND = {"CPU, 2 cores": 0.76, "T4": 50.0, "RTX 3090": 360.0, "RTX 4090": 785.0}
"""ViT-L/14 at 224 px, pictures a second. CPU: benchmarks/results/embed-*, random weights of that
shape, decoding included (larger machines: 1.8 to 5.9 are published); T4: Marqo's test;
RTX: timm's benchmark tables."""
TITLES_PER_SECOND = {"CPU, 2 cores": 100.0, "T4": 7_000.0, "RTX 3090": 14_000.0, "RTX 4090": 14_000.0}
"""MiniLM-L6: measured here on two cores; 14,200 a second on a V100 (sbert's model table), the cards are estimates from that."""
TRAIN_FLOP_PER_ITEM = 11.6e6
"""Forward and backward of the heads, 1.94 M parameters."""
TRAIN_FLOPS = {"CPU, 2 cores": 2e10, "T4": 2e12, "RTX 3090": 8e12, "RTX 4090": 1.5e13}
"""Sustained, a quarter of the peak or less: the layers are small."""
EPOCHS = 30


@dataclass(frozen=True)
class Target:
    """How much is wanted."""

    channels: int
    per_channel: int
    snapshots_kept: int = 4
    """Snapshots of a video inside its 30 days: one a week."""
    dimensions: tuple[int, ...] = (768, 384)
    """Of the picture's and the title's vector."""

    @property
    def videos(self) -> int:
        """Videos in all."""
        return self.channels * self.per_channel


@dataclass(frozen=True)
class Units:
    """Units of one bucket for one job, and the Pacific days they take at so many a day; None: never."""

    job: str
    bucket: str
    units: int
    days: int | None


@dataclass(frozen=True)
class Plan:
    """What the target costs."""

    target: Target
    units: tuple[Units, ...]
    gigabytes: dict[str, float]
    """By table, and `pictures` for the picture store."""
    hours: dict[str, dict[str, float]]
    """By machine: encoding pictures, encoding titles, training the heads for 30 epochs."""


def plan(target: Target, policy: Policy) -> Plan:
    """The costs of a target under a policy."""
    return Plan(target, _units(target, policy), _gigabytes(target, policy), _hours(target))


def pairs_expected(target: Target, policy: Policy) -> int:
    """Pairs inside the window, if a channel's uploads lie evenly over the collection's window."""
    partners = target.per_channel * min(1.0, policy.pairs.window_days / policy.collection.window_days)
    return round(target.videos * min(partners, (target.per_channel - 1) / 2))


def _units(target: Target, policy: Policy) -> tuple[Units, ...]:
    quota = policy.quota
    batches = math.ceil(target.videos / MAX_IDS)
    listing = target.channels * pages_per_channel(target.per_channel)
    vetting = math.ceil(target.channels * VETTED_PER_KEPT / MAX_IDS)

    def row(job: str, bucket: str, units: int, a_day: int) -> Units:
        return Units(job, bucket, units, math.ceil(units / a_day) if a_day else None)

    return (
        row("discover channels", "search", math.ceil(target.channels / DISTINCT_PER_PAGE), quota.search),
        row("first collection (vet, list, read)", "default", vetting + listing + batches, quota.default),
        row("one snapshot of every video", "stats_batch", batches, quota.stats_batch),
        row("refresh before day 30", "default", batches + math.ceil(target.channels / MAX_IDS), quota.default),
    )


def _gigabytes(target: Target, policy: Policy) -> dict[str, float]:
    rows = {
        "channels": target.channels,
        "discoveries": round(target.channels * VETTED_PER_KEPT),
        "thumbnails": target.videos,
        "view_snapshots": target.videos * target.snapshots_kept,
        "picture_versions": target.videos,
        "channel_baselines": target.channels,
        "training_pairs": pairs_expected(target, policy),
    }
    found = {table: count * BYTES_PER_ROW[table] / 1e9 for table, count in rows.items()}
    found["embeddings"] = target.videos * sum(2 * d + EMBEDDING_ROW_OVERHEAD for d in target.dimensions) / 1e9
    height = max(height for height in PICTURE_BYTES if height <= policy.collection.largest_picture)
    found[f"pictures ({height}p, files)"] = target.videos * PICTURE_BYTES[height] / 1e9
    return found


def _hours(target: Target) -> dict[str, dict[str, float]]:
    return {
        machine: {
            "pictures": target.videos / CLIP_PER_SECOND[machine] / 3600,
            "titles": target.videos / TITLES_PER_SECOND[machine] / 3600,
            "training": target.videos * TRAIN_FLOP_PER_ITEM * EPOCHS / TRAIN_FLOPS[machine] / 3600,
        }
        for machine in CLIP_PER_SECOND
    }
