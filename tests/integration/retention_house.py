"""A filled database and home folder, as the steps of the graph would have left them, for the tests of retention."""

import hashlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import numpy as np
from mlflow.tracking import MlflowClient
from pydantic import SecretStr

from tests.integration.conftest import SEEN, store_videos
from thumbrank_core.assessment import assess
from thumbrank_core.evaluation.shown import shown_on
from thumbrank_core.exclusions import Exclusions
from thumbrank_core.features import cache, signal_store
from thumbrank_core.features.specs import load_set
from thumbrank_core.labels.baselines import replace_baselines
from thumbrank_core.labels.build import Rules, build_pairs, judge
from thumbrank_core.labels.splits import split_of
from thumbrank_core.policy import load_policy
from thumbrank_core.registry import Registry
from thumbrank_core.retention.removal import stores_of
from thumbrank_core.retention.tables import TABLES
from thumbrank_core.retraining import Request, retrain
from thumbrank_core.settings import Settings
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore

MODES = ("unaudited", "audited")
SPLIT_CHANNELS = {"train": 4, "validation": 2, "test": 3}
CHANNELS, VIDEOS = sum(SPLIT_CHANNELS.values()), 5
"""Of the API, and how many videos each of them has."""
OWN = "UC-imported-------------"
"""A team's own channel, with two videos."""
OBSERVED = ("channels", "thumbnails", "view_snapshots", "picture_versions", "discoveries", "misses")
DERIVED = ("channel_baselines", "video_labels", "training_pairs")
_DATES: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("channels", "fetched_at"),
    ("thumbnails", "fetched_at"),
    ("picture_versions", "last_seen_at"),
    ("view_snapshots", "observed_at"),
    ("discoveries", "discovered_at"),
    ("misses", "missed_at"),
)
_ROWS = (
    "insert into thumbrank.discoveries select channel_id, 'tech', 'q', 1, %(t)s from thumbrank.channels",
    "insert into thumbrank.misses select 'picture', video_id, 'tech', 'gone', '', %(t)s from thumbrank.thumbnails",
    "insert into thumbrank.misses select 'channel', channel_id, 'tech', 'gone', '', %(t)s from thumbrank.channels",
    "insert into thumbrank.collection_runs (niche, crawl_id, started_at, last_run_at, state) "
    "values ('tech', gen_random_uuid(), %(t)s, %(t)s, 'partial')",
    "insert into thumbrank.collection_queue (niche, stage, video_id) "
    "select 'tech', 'hydrate', video_id from thumbrank.thumbnails",
    "insert into thumbrank.collection_progress (niche, stage, item) "
    "select 'tech', 'vet', channel_id from thumbrank.channels",
    "insert into thumbrank.collection_progress (niche, stage, item) "
    "select 'tech', 'list', channel_id || '/UU' || substr(channel_id, 3) from thumbrank.channels",
    "insert into thumbrank.quota_ledger (pacific_date, bucket, niche, spent) values ('2026-08-01', 'search', 'tech', 5)",
)
_CONTENT = (
    "update thumbrank.channels set title = 'channel-title', country = 'XX'",
    "update thumbrank.thumbnails set tags = '{secret-tag}', language = 'xx', category_id = '20', trainability = 'all', "
    "thumbnail_url = 'https://i.invalid/' || video_id",
)


@dataclass
class House:
    """Everything that holds something of a video: nine channels of the API, one of a team's own, a model, its report."""

    db: Database
    home: Path
    made: dict[str, list[str]]

    @property
    def settings(self):
        tracking = SecretStr(f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}")
        return Settings(THUMBRANK_HOME=self.home, MLFLOW_TRACKING_URI=tracking)

    @property
    def images(self):
        return ImageStore(self.home / "images")

    @property
    def stores(self):
        return stores_of(self.settings, self.images)

    @property
    def api_videos(self):
        return [video for channel, videos in self.made.items() if channel != OWN for video in videos]

    @property
    def shown_video(self):
        """One that the report shows and that shares nothing with another."""
        return min(self.shown() & set(self.api_videos) - set(self.sharing))

    @property
    def sharing(self):
        """The two videos with one picture, and with titles that read alike."""
        return next(iter(self.made.values()))[:2]

    def channel_of(self, video):
        return next(channel for channel, videos in self.made.items() if video in videos)

    def rows(self, statement, *parameters) -> list[tuple[Any, ...]]:
        with self.db.connection() as connection:
            result = connection.execute(statement, parameters or None)
            return result.fetchall() if result.description else []

    def value(self, statement, *parameters):
        return self.rows(statement, *parameters)[0][0]

    def count(self, *tables):
        found = [self.value(f"select count(*)::int from thumbrank.{table}") for table in tables]
        return found if len(found) > 1 else found[0]

    def dump(self):
        """Every row of every table."""
        return {
            rule.table: sorted(text for (text,) in self.rows(f"select t::text from thumbrank.{rule.table} t"))
            for rule in TABLES
        }

    def files(self, *, pages=True):
        """The digest of every file below home, by path; MLflow's own database aside, and without `pages` what a removal
        rewrites: pages and manifests."""
        return {
            str(path.relative_to(self.home)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.home.rglob("*"))
            if path.is_file()
            and (pages or path.suffix not in (".html", ".parquet"))
            and not path.name.startswith("mlflow.db")
        }

    def pictures(self):
        """Digests of the picture files."""
        return {bytes.fromhex(path.name) for path in (self.home / "images").glob("??/*")}

    def picture_of(self, video):
        return bytes(
            self.value(
                "select sha256 from thumbrank.current_pictures join thumbrank.thumbnails using (video_key) "
                "where video_id = %s",
                video,
            )
        )

    def title_of(self, video):
        return self.value("select title from thumbrank.thumbnails where video_id = %s", video)

    def pages(self):
        return sorted(self.home.rglob("index.html"))

    def places(self):
        """Every place on a page that shows a video."""
        return [side for page in self.pages() for side in shown_on(page.read_bytes())]

    def shown(self):
        return {side.video_id for side in self.places()}

    def let_files_age(self):
        """Make every picture older than any fetch that might be under way."""
        for path in (self.home / "images").rglob("*"):
            os.utime(path, (1e9, 1e9))

    def refresh(self, days, *tables):
        """Let these tables' rows of the API have been read so many days later."""
        with self.db.connection() as connection:
            for table, seen in _DATES:
                if table in tables:
                    connection.execute(
                        f"update thumbrank.{table} set {seen} = {seen} + make_interval(days => %(d)s), "
                        "expires_at = expires_at + make_interval(days => %(d)s) where expires_at is not null",
                        {"d": days},
                    )

    def label(self):
        return label(self.db)


def fill(db, home, world):
    """Write what the steps of the graph would have written; returns the video ids by channel."""
    images, channels = ImageStore(home / "images"), list(_channel_ids())
    views = {
        channel: [(40 + 2 * i, 2_000 + 1_700 * ((number * 7 + i * 5) % 11)) for i in range(VIDEOS)]
        for number, channel in enumerate(channels)
    }
    made = store_videos(db, images, world, views | {OWN: [(12, 5_000), (14, 9_000)]}, source="youtube_api")
    with db.connection() as connection:
        for statement in (*_CONTENT, *_ROWS):
            connection.execute(statement, {"t": SEEN})
        for table, seen in _DATES:
            # Counts as a project that passed the audit writes them: the mode decides how much of that holds.
            hours = 24 * (1095 if table == "view_snapshots" else 30)
            connection.execute(f"update thumbrank.{table} set expires_at = {seen} + make_interval(hours => {hours})")
        _share(connection, images, *made[channels[0]][:2])
        _make_own(connection, made[OWN])
    label(db)
    _embed(db)
    _measure(db)
    _train(db, home)
    return made


def _channel_ids():
    """Channel ids whose hashes fall into the wanted splits."""
    left = dict(SPLIT_CHANNELS)
    for channel in (f"UC--{number:020d}" for number in itertools.count()):
        if left.get(split_of(channel), 0):
            left[split_of(channel)] -= 1
            yield channel
        if not any(left.values()):
            return


def _share(connection, images, first, second):
    """Give two videos one picture, and titles that read alike."""
    pictures = dict(
        connection.execute(
            "select video_id, sha256 from thumbrank.current_pictures join thumbrank.thumbnails using (video_key) "
            "where video_id = any(%s)",
            ([first, second],),
        ).fetchall()
    )
    connection.execute(
        "update thumbrank.picture_versions set sha256 = %s where sha256 = %s", (pictures[first], pictures[second])
    )
    images.delete([bytes(pictures[second])])
    connection.execute(
        "update thumbrank.thumbnails set title = case video_id when %s then 'one  title' else 'one title' end "
        "where video_id = any(%s)",
        (first, [first, second]),
    )


def _make_own(connection, videos):
    connection.execute(
        "update thumbrank.channels set source = 'import', expires_at = null where channel_id = %s", (OWN,)
    )
    connection.execute(
        "update thumbrank.thumbnails set source = 'import', expires_at = null where video_id = any(%s)", (videos,)
    )
    for table in ("view_snapshots", "picture_versions"):
        connection.execute(
            f"update thumbrank.{table} set expires_at = null where video_key in "
            "(select video_key from thumbrank.thumbnails where source = 'import')"
        )
    connection.execute("delete from thumbrank.discoveries where channel_id = %s", (OWN,))
    connection.execute("delete from thumbrank.misses where item_id = any(%s)", ([OWN, *videos],))


def label(db):
    """Label as the graph does; returns how many videos each criterion left out."""
    with db.connection() as connection:
        policy = load_policy()
        criteria = policy.criteria.model_copy(update={"active_min_videos": 1})
        rules = Rules(policy.model_copy(update={"criteria": criteria}), (), Exclusions({}, {}))
        marked = judge(connection, "tech", rules)
        replace_baselines(connection, "tech")
        build_pairs(connection, "tech", rules)
        return marked


def _embed(db):
    """A vector for every picture and title; which one does not matter here."""
    encoders, generator = load_set("tiny"), np.random.default_rng(0)
    with db.connection() as connection:
        digests = {bytes(d) for (d,) in connection.execute("select sha256 from thumbrank.picture_versions")}
        titles = {cache.title_sha256(t) for (t,) in connection.execute("select title from thumbrank.thumbnails")}
        for spec, wanted in ((encoders.image, digests), (encoders.title, titles)):
            vectors = generator.normal(size=(len(wanted), spec.dimension)).astype(np.float32)
            cache.write(connection, cache.encoder_key(connection, spec), sorted(wanted), vectors)


def _measure(db):
    """Two readings of every picture, one of them without a value."""
    with db.connection() as connection:
        keys = signal_store.measure_keys(connection, {"sharpness": "clarity", "faces": "emotion"})
        pictures = {bytes(d) for (d,) in connection.execute("select sha256 from thumbrank.picture_versions")}
        rows = [(keys["sharpness"], picture, 0.5, None) for picture in sorted(pictures)]
        rows += [(keys["faces"], picture, None, "no face") for picture in sorted(pictures)]
        signal_store.write_readings(connection, rows)


def _train(db, home):
    """A model, its report, and a copy of the report among MLflow's artifacts."""
    settings = House(db, home, {}).settings
    done = retrain(Request(("tech",), overrides={"epochs": 2, "hidden_dim": 8}, encoders="tiny"), db, settings, SEEN)
    page = assess(db, settings, Registry(settings.tracking_uri)).page
    assert done is not None
    MlflowClient(tracking_uri=settings.tracking_uri).log_artifacts(done.version.run_id, str(page.parent), "report")
