"""The one partitioning: a niche. Static on purpose: the keys are frozen in thumbrank_core/niches.py."""

import dagster as dg

from thumbrank_core.niches import NICHES

PARTITION_TAG = "dagster/partition"
"""Dagster's, on a run: its niche."""
NICHE_PARTITIONS = dg.StaticPartitionsDefinition(list(NICHES))

ALL_NICHES = dg.AllPartitionMapping()
"""How the shared model depends on the niche assets: on every partition. Dagster's default, said aloud."""
