"""The rows of docs/guide.md about how much data is wanted, which videos count, and where they find room."""

import re

import pytest

from tests.integration.conftest import SEEN, store_videos
from tests.integration.guide_rows import number_in, row
from tests.integration.test_labels import A, B, change, mark
from tests.integration.test_training_data import channel_in
from thumbrank_core.evaluation.floors import load_gate
from thumbrank_core.exclusions import Exclusions
from thumbrank_core.labels.sizes import NEEDS
from thumbrank_core.niches import NICHES, load_niches
from thumbrank_core.planning import Target, plan
from thumbrank_core.policy import load_policy

# Data requirements


def need(stage, unit):
    [needed] = [one.needed for one in NEEDS if (one.stage, one.unit) == (stage, unit)]
    return needed


@row("D.1")
def minimum_thumbnails(row):
    assert need("minimum", "thumbnails") == number_in(row.here, "thumbnails") == 120_000


@row("D.2")
def minimum_channels(row):
    assert need("minimum", "channels") == number_in(row.here, "channels") == 500


@row("D.3")
def minimum_pairs(row):
    assert need("minimum", "pairs") == number_in(row.here, "pairs") == 50_000


@row("D.4")
def six_niches(row):
    assert len(NICHES) == 6
    assert re.findall(r"\((.*)\)", row.guide)[0].split(", ") == list(NICHES) == list(load_niches())


@row("D.5")
def minimum_auc():
    assert load_gate().of(1).pair_auc_pooled == 0.65


@row("D.6")
def recommended_thumbnails(row):
    assert need("recommended", "thumbnails") == number_in(row.here, "thumbnails") == 200_000


@row("D.7")
def recommended_channels(row):
    assert need("recommended", "channels") == number_in(row.here, "channels") == 1_000
    assert Target(1_500, 133).videos == pytest.approx(need("recommended", "thumbnails"), rel=0.01)


@row("D.8")
def recommended_pairs(row):
    assert need("recommended", "pairs") == number_in(row.here, "pairs") == 150_000


@row("D.9")
def recommended_ctr(row):
    assert need("recommended", "videos with real CTR") == number_in(row.here, "videos with real CTR") == 10_000


@row("D.10")
def recommended_auc():
    assert load_gate().of(2).pair_auc_pooled == 0.72


# Data quality


@row("Q.1")
def last_90_days(db, images, world):
    store_videos(db, images, world, {A: [(89, 5_000), (91, 5_000)]})
    assert mark(db) == {"counted": 1, "too_old": 1}


@row("Q.2")
def thousand_views(db, images, world):
    store_videos(db, images, world, {A: [(10, 1_000), (10, 999)]})
    assert mark(db) == {"counted": 1, "few_views": 1}


@row("Q.3")
def active_channels(db, images, world):
    store_videos(db, images, world, {A: [(10, 5_000)] * 10, B: [(10, 5_000)] * 9}, source="youtube_api")
    assert mark(db) == {"counted": 10, "inactive_channel": 9}
    criteria = load_policy().criteria
    assert (criteria.active_min_videos, criteria.active_window_days) == (10, 90)


@row("Q.4")
def language(db, images, world):
    made = store_videos(db, images, world, {A: [(10, 5_000)] * 3})
    for video, spoken in zip(made[A], ("en-GB", "de", None), strict=True):
        change(db, video, "language = %s", spoken)
    assert load_niches()["tech"].languages == ("en",)
    assert mark(db, languages=load_niches()["tech"].languages) == {"counted": 2, "other_language": 1}
    assert mark(db, languages=("de",)) == {"counted": 2, "other_language": 1}


@row("Q.5")
def removed_videos(db, images, world):
    made = store_videos(db, images, world, {A: [(10, 5_000)] * 3})
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.misses (kind, item_id, niche, reason, missed_at) values ('video', %s, 'tech', 'not_returned', %s)",
            (made[A][0], SEEN),
        )
    claimed = Exclusions({}, {made[A][1]: "claimed by its music's owner"})
    assert mark(db, exclusions=claimed) == {"counted": 1, "removed": 1, "excluded": 1}


@row("Q.6")
def hundred_subscribers(db, images, world):
    for niche, subscribers in (("tech", 99), ("news", 100), ("beauty", None)):
        channel = channel_in("train", NICHES.index(niche))
        store_videos(
            db, images, world, {channel: [(10, 5_000)] * 10}, niche=niche, source="youtube_api", subscribers=subscribers
        )
    assert mark(db, "tech") == {"counted": 0, "few_subscribers": 10}
    assert mark(db, "news") == mark(db, "beauty") == {"counted": 10}


@row("Q.7")
def one_to_sixty_minutes(db, images, world):
    made = store_videos(db, images, world, {A: [(10, 5_000)] * 4})
    for video, seconds in zip(made[A], (59, 60, 3_600, 3_601), strict=True):
        change(db, video, "duration_seconds = %s", seconds)
    assert mark(db) == {"counted": 2, "too_short": 1, "too_long": 1}


@row("Q.8")
def outliers(db, images, world):
    store_videos(db, images, world, {A: [*((10, 10_000 + 10 * number) for number in range(20)), (10, 1_000_000)]})
    assert mark(db) == {"counted": 21}
    guide = load_policy(profile="guide").criteria
    assert guide.outlier_sd == 3
    assert mark(db, policy=guide) == {"counted": 20, "outlier": 1}


# The room that takes


@row("H.3")
def storage(row):
    needed = plan(Target(1_500, 133), load_policy()).gigabytes
    pictures = next(size for name, size in needed.items() if name.startswith("pictures"))
    assert round(sum(needed.values()), 1) == number_in(row.here, "GB for 199,500") < 100
    assert round(pictures, 1) == number_in(row.here, "GB are")
