"""A small database whose every row is known by hand, for the tests of the views and of the export."""

from datetime import UTC, datetime, timedelta

import psycopg

AS_OF = datetime(2026, 8, 1, 12, tzinfo=UTC)
CUT = AS_OF - timedelta(days=30)
EXPIRES = datetime(2026, 8, 31, 12, tzinfo=UTC)
OWN, API, INVENTED = "UCown-------------------", "UCapi-------------------", "UCsim-------------------"
TITLES = [
    "=1+1",
    "+49",
    "-5 tricks",
    "@home",
    "she said \"no\", he said 'yes'; a\\b",
    "two\nlines\r\nand\ra third",
    "\U0001f3ac \U0001f469\u200d\U0001f469\u200d\U0001f467 \u00fcn\u00efc\u00f6d\u00e9 \u200f\u05d0",
    "\\.",
    "\\N",
    "NULL",
    " spaces and\ttabs ",
    "\ufeffa mark",
]
"""What breaks careless CSV: all of them titles of the team's own channel, in this order."""


def fill(connection: psycopg.Connection) -> None:
    """Three channels of niche tech (a team's own, of the API, of the simulator), one of gaming without labels."""
    channels = [
        (OWN, "tech", "train", 'The "Own", Ltd.', 5000, "import", None),
        (API, "tech", "test", "Of the API", None, "youtube_api", EXPIRES),
        (INVENTED, "tech", "validation", "Invented", 1200, "simulator", None),
        ("UCgaming----------------", "gaming", None, "Games", 10, "import", None),
    ]
    keys = [
        connection.execute(
            "insert into thumbrank.channels (channel_id, niche, split, title, subscriber_count, video_count, view_count, "
            "country, source, fetched_at, expires_at) values (%s, %s, %s, %s, %s, 40, 9000, 'DE', %s, %s, %s) "
            "returning channel_key",
            (*channel[:6], AS_OF, channel[6]),
        ).fetchall()[0][0]
        for channel in channels
    ]
    own, api, invented, gaming = keys
    videos = [
        (f"own-{i:02d}", own, title, AS_OF - timedelta(days=20 + i), 1000 * (i + 1)) for i, title in enumerate(TITLES)
    ]
    videos += [
        ("api-00", api, "seen", AS_OF - timedelta(days=10), 4800),
        ("api-01", api, "", AS_OF - timedelta(days=40), 960),
    ]
    videos += [("sim-00", invented, "a", CUT - timedelta(days=1), 100), ("sim-01", invented, "b", CUT, 200)]
    videos += [("game-00", gaming, "soon", AS_OF + timedelta(days=1), 7), ("game-01", gaming, "unseen", AS_OF, None)]
    for video_id, channel, title, published, views in videos:
        of_api = channel == api
        [(video,)] = connection.execute(
            "insert into thumbrank.thumbnails (video_id, channel_key, title, published_at, duration_seconds, category_id, "
            "language, made_for_kids, source, fetched_at, expires_at) values (%s, %s, %s, %s, 253, '28', 'en-GB', false, "
            "(select source from thumbrank.channels where channel_key = %s), %s, %s) returning video_key",
            (video_id, channel, title, published, channel, AS_OF, EXPIRES if of_api else None),
        ).fetchall()
        if views is None:
            continue
        for days, share in ((0, 1.0), (3, 0.5)):  # an older count, which must not be the one that is shown
            connection.execute(
                "insert into thumbrank.view_snapshots (video_key, observed_at, view_count, like_count, expires_at) "
                "values (%s, %s, %s, 3, %s)",
                (
                    video,
                    AS_OF - timedelta(days=days),
                    int(views * share),
                    EXPIRES - timedelta(days=days) if of_api else None,
                ),
            )
        for number in (0, 1):  # the first picture is the one the label is about
            connection.execute(
                "insert into thumbrank.picture_versions (video_key, sha256, width, height, bytes, phash, first_seen_at, last_seen_at) "
                "values (%s, sha256(%s), 320, 180, 9, %s, %s, %s)",
                (
                    video,
                    f"{video_id}/{number}".encode(),
                    -5 - number,
                    AS_OF + timedelta(hours=number),
                    AS_OF + timedelta(days=1),
                ),
            )
        if channel != gaming and views != 1000:
            connection.execute(
                "insert into thumbrank.video_labels (video_key, channel_key, niche, value, regime, observed_at, picture_sha256) "
                "values (%s, %s, 'tech', %s, 0, %s, '')",
                (video, channel, views / 1000, AS_OF),
            )
    connection.execute("update thumbrank.thumbnails set exclusion_reason = 'few_views' where video_id = 'own-00'")
    connection.execute(
        "insert into thumbrank.channel_baselines (channel_key, niche, video_count, median_log_vph, mad_log_vph, mean_vph, sd_vph, "
        "growth, first_published_at, last_published_at, as_of) values (%s, 'tech', 11, 1.5, 0.25, 7, 2, 0.5, %s, %s, %s)",
        (own, AS_OF - timedelta(days=31), AS_OF - timedelta(days=21), AS_OF),
    )
    connection.execute(
        "insert into thumbrank.pair_builds (niche, label, policy, as_of, cut, left_out, videos, channels, pairs) "
        "values ('tech', 'age_adjusted', '{}', %s, %s, '{}', 0, 0, 0)",
        (AS_OF, CUT),
    )
    for channel, a, b, outcome, margin, gap, weight in (
        (own, "own-02", "own-01", 1, 0.25, -24, 0.5),
        (own, "own-11", "own-10", 0.5, 0, -24, 0.5),
        (api, "api-00", "api-01", 1, 0.8, 720, 1),
        (invented, "sim-00", "sim-01", 0, 0.5, -24, 1),
    ):
        connection.execute(
            "insert into thumbrank.training_pairs (niche, a_key, b_key, channel_key, outcome, margin, soft_target, age_gap_hours, "
            "weight) select 'tech', a.video_key, b.video_key, %s, %s, %s, 0.1, %s, %s "
            "from thumbrank.thumbnails a, thumbrank.thumbnails b where a.video_id = %s and b.video_id = %s",
            (channel, outcome, margin, gap, weight, a, b),
        )
    connection.execute(
        "insert into thumbrank.reach_daily (owner_id, source, video_id, first_day, last_day, impressions, click_rate, issued_at) "
        "values (%(own)s, 'studio', 'own-01', '2026-07-01', '2026-07-28', 1000, 0.05, %(t)s), "
        "('UCother-----------------', 'reporting_api', 'else', '2026-07-01', '2026-07-01', 0, null, %(t)s)",
        {"own": OWN, "t": AS_OF},
    )


def fill_many(connection: psycopg.Connection, channels: int, videos: int) -> int:
    """So many channels of so many videos each in niche tech, and every pair of each; returns the number of pairs."""
    connection.execute(
        "insert into thumbrank.channels (channel_id, niche, split, source, fetched_at) "
        "select 'UC' || lpad(i::text, 22, '0'), 'tech', 'train', 'import', %s from generate_series(1, %s) i",
        (AS_OF, channels),
    )
    connection.execute(
        "insert into thumbrank.thumbnails (video_id, channel_key, title, published_at, source, fetched_at) "
        "select lpad(channel_key::text, 5, '0') || '-' || lpad(i::text, 5, '0'), channel_key, 'title ' || i, "
        "%s::timestamptz - make_interval(hours => i), 'import', %s from thumbrank.channels, generate_series(1, %s) i",
        (AS_OF, AS_OF, videos),
    )
    connection.execute(
        "insert into thumbrank.pair_builds (niche, label, policy, as_of, cut, left_out, videos, channels, pairs) "
        "values ('tech', 'age_adjusted', '{}', %s, %s, '{}', 0, 0, 0)",
        (AS_OF, CUT),
    )
    made = connection.execute(
        "insert into thumbrank.training_pairs (niche, a_key, b_key, channel_key, outcome, margin, soft_target, age_gap_hours, weight) "
        "select 'tech', a.video_key, b.video_key, channel_key, 1, random(), random(), 1, 1 from thumbrank.thumbnails a "
        "join thumbrank.thumbnails b using (channel_key) where a.video_key < b.video_key"
    ).rowcount
    connection.execute("analyze thumbrank.channels, thumbrank.thumbnails, thumbrank.training_pairs")
    return made
