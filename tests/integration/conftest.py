"""A small simulated YouTube that the integration tests share, and ways to fill a database without it."""

import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from tests.integration import reaching
from thumbrank_core.simulator.pictures import jpeg_bytes
from thumbrank_core.simulator.server import SimulatorServer
from thumbrank_core.simulator.world import World, WorldSettings, build_world
from thumbrank_core.store.catalog import (
    ChannelSeen,
    PictureSeen,
    Source,
    VideoSeen,
    record_channels,
    record_pictures,
    record_videos,
)
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore
from thumbrank_core.youtube.client import YouTube

SETTINGS = WorldSettings(seed=3, channels_per_niche=6, videos_per_channel=14)
SEEN = datetime(2026, 8, 1, tzinfo=UTC)
_HOUSES = itertools.count(1)


@pytest.fixture(scope="session")
def world() -> World:
    return build_world(SETTINGS)


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer(SETTINGS) as server:
        yield server


@pytest.fixture
def youtube(simulator: SimulatorServer) -> YouTube:
    return YouTube(SecretStr("simulator"), simulator.endpoint)


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def store_videos(
    db: Database,
    images: ImageStore,
    world: World,
    views: Mapping[str, Sequence[tuple[float, int]]],
    *,
    niche: str = "tech",
    source: Source = "import",
    subscribers: int | None = 5000,
) -> dict[str, list[str]]:
    """Channels with videos given as (age in days, views); returns the video ids by channel, in the order given.

    Pictures are the world's own, so that they are real JPEG files.
    """
    drawn = iter(video for video in world.videos if video.state == "public")
    made: dict[str, list[str]] = {}
    for channel_id, entries in views.items():
        made[channel_id] = [f"{channel_id[-6:]}-{number:04d}" for number in range(len(entries))]
        with db.connection() as connection:
            record_channels(
                connection, niche, [ChannelSeen(channel_id, "t", source, SEEN, subscriber_count=subscribers)]
            )
            record_videos(
                connection,
                [
                    VideoSeen(
                        video_id,
                        channel_id,
                        f"title {video_id}",
                        SEEN - timedelta(days=age),
                        source,
                        SEEN,
                        view_count=count,
                    )
                    for video_id, (age, count) in zip(made[channel_id], entries, strict=True)
                ],
            )
            record_pictures(
                connection,
                [
                    PictureSeen(video_id, images.put(jpeg_bytes(world, next(drawn), "medium")), None, SEEN)
                    for video_id in made[channel_id]
                ],
            )
    return made


@pytest.fixture(scope="session")
def filled_house(postgres, migrated_template, world, tmp_path_factory):
    """A database and a home folder to copy from: training once is enough for every test of retention."""
    from tests.integration.retention_house import fill

    home = tmp_path_factory.mktemp("filled_house")
    with Database(postgres.create_database("filled_house", template=migrated_template)) as db:
        return home, fill(db, home, world)


@pytest.fixture
def house_url(postgres, filled_house):
    name = f"house_{next(_HOUSES)}"
    yield postgres.create_database(name, template="filled_house")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def house(house_url, filled_house, tmp_path):
    """A `House` of one's own."""
    from tests.integration.retention_house import House

    home, made = filled_house
    shutil.copytree(home, tmp_path / "home")
    with Database(house_url) as db:
        yield House(db, tmp_path / "home", made)


@pytest.fixture(scope="session")
def collecting_db(postgres, migrated_template):
    """One database for all tests of collection; `collecting.emptied` before each."""
    with Database(postgres.create_database("collecting", template=migrated_template)) as db:
        yield db


# Owners who consent: reaching.py


@pytest.fixture(scope="session")
def owned_world() -> World:
    return build_world(reaching.WORLD)


@pytest.fixture(scope="module")
def served():
    with reaching.serving() as found:
        yield found


@pytest.fixture
def google(served, owned_world):
    """A fresh Google with consent, for one test."""
    return reaching.google_of(served, owned_world)


@pytest.fixture(scope="module")
def reach_url(request, postgres, migrated_template):
    """One database for the tests of a file."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    return postgres.create_database(name, template=migrated_template)


@pytest.fixture(scope="module")
def _reach_pool(reach_url):
    with Database(reach_url) as found:
        yield found


@pytest.fixture
def reach_db(_reach_pool):
    """That database, emptied of what owners gave."""
    return reaching.emptied(_reach_pool)


@pytest.fixture
def reach(google, tmp_path, reach_db):
    return reaching.reach_of(google, tmp_path, reach_db)
