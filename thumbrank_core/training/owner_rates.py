"""Real click-through rates of the items, by owner.

What belongs here: from stored rates by video id to indices into the items. Rates over days are labels/click_rates.py; what
is fitted on them is read_outs.py. There is no function over several owners: YouTube's policy (III.E.2.a) forbids it.
"""

from collections.abc import Sequence

import numpy as np
import psycopg

from thumbrank_core.labels.click_rates import click_rates
from thumbrank_core.training.dataset import OwnerRates


def load_owner_rates(connection: psycopg.Connection, video_ids: Sequence[str]) -> dict[str, OwnerRates]:
    """Every owner with a rate for one of these videos, in the order of their ids.

    Args:
        connection: a connection.
        video_ids: of the items, in their order; `OwnerRates.item` are positions in it, ascending.
    """
    place = {video_id: index for index, video_id in enumerate(video_ids)}
    owners = connection.execute("select distinct owner_id from thumbrank.reach_daily order by 1").fetchall()
    found: dict[str, OwnerRates] = {}
    for (owner_id,) in owners:
        rates = sorted(
            (place[rate.video_id], rate.click_rate, rate.impressions)
            for rate in click_rates(connection, str(owner_id)).rates
            if rate.video_id in place
        )
        if rates:
            items, click_rate, impressions = zip(*rates, strict=True)
            found[str(owner_id)] = OwnerRates(
                np.array(items, np.int64), np.array(click_rate, np.float64), np.array(impressions, np.float64)
            )
    return found
