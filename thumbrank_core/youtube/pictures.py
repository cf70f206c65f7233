"""Fetching the pictures of a niche: concurrent, bounded, checked by content. A miss is a row with its reason."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice

import httpx

from thumbrank_core.batches import batched
from thumbrank_core.progress import track
from thumbrank_core.store.catalog import Miss, PictureSeen, clear_misses, record_misses, record_pictures
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import MAX_BYTES, ImageStore, PictureError

TIMEOUT_SECONDS = 20.0
COMMIT_EVERY = 200
"""Pictures per transaction: what a killed run may have to fetch again."""


@dataclass(frozen=True)
class Wanted:
    """A picture to fetch."""

    video_id: str
    url: str


@dataclass
class Fetched:
    """What one niche's downloads did. `bytes` is what came over the wire for the pictures kept."""

    wanted: int = 0
    stored: int = 0
    bytes: int = 0
    misses: dict[str, int] = field(default_factory=dict[str, int])


def wanted_pictures(database: Database, niche: str) -> list[Wanted]:
    """Videos of the niche that list a 16:9 picture and have none stored yet."""
    with database.connection() as connection:
        rows = connection.execute(
            "select t.video_id, t.thumbnail_url from thumbrank.thumbnails t join thumbrank.channels c using (channel_key) "
            "where c.niche = %s and t.thumbnail_url is not null "
            "and not exists (select from thumbrank.picture_versions p where p.video_key = t.video_key) order by t.video_key",
            (niche,),
        ).fetchall()
    return [Wanted(str(video), str(url)) for video, url in rows]


def fetch_pictures(database: Database, images: ImageStore, niche: str, workers: int) -> Fetched:
    """Fetch what is wanted with `workers` connections; each result is a stored picture or a recorded miss."""
    wanted = wanted_pictures(database, niche)
    result = Fetched(wanted=len(wanted))
    limits = httpx.Limits(max_connections=workers, max_keepalive_connections=workers)
    with (
        track(f"{niche}: pictures", len(wanted)) as advance,
        httpx.Client(timeout=TIMEOUT_SECONDS, limits=limits, follow_redirects=False) as http,
        ThreadPoolExecutor(workers, thread_name_prefix="pictures") as pool,
    ):
        for batch in batched(_in_flight(pool, http, images, wanted, workers * 4), COMMIT_EVERY):
            _write(database, niche, batch, result)
            advance(len(batch))
    return result


Outcome = PictureSeen | Miss


def _in_flight(
    pool: ThreadPoolExecutor, http: httpx.Client, images: ImageStore, wanted: Sequence[Wanted], depth: int
) -> Iterator[Outcome]:
    """Outcomes as they come, with at most `depth` requests waiting, so that Ctrl-C has little to wait for."""
    source = iter(wanted)
    waiting: set[Future[Outcome]] = {pool.submit(_fetch, http, images, want) for want in islice(source, depth)}
    try:
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {pool.submit(_fetch, http, images, want) for want in islice(source, len(done))}
            for future in done:
                yield future.result()
    finally:
        for future in waiting:
            future.cancel()


def _fetch(http: httpx.Client, images: ImageStore, want: Wanted) -> Outcome:
    now = datetime.now(UTC)
    try:
        data, now = _download(http, want.url)
        return PictureSeen(want.video_id, images.put(data), want.url, now)
    except PictureError as error:
        return Miss("picture", want.video_id, error.reason, str(error), now)
    except httpx.HTTPError as error:
        reason = type(error).__name__
        return Miss("picture", want.video_id, "unreachable", f"The picture host did not answer ({reason}).", now)


def _download(http: httpx.Client, url: str) -> tuple[bytes, datetime]:
    """The bytes and the server's time: pictures and counts are dated by the same clock."""
    if not url.startswith(("https://", "http://")):
        raise PictureError("bad_url", "the picture's address is not http(s).")
    with http.stream("GET", url) as response:
        if response.status_code != 200:  # a missing size answers 404 with a grey picture as its body
            raise PictureError(f"http_{response.status_code}", f"the picture host answered {response.status_code}.")
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > MAX_BYTES:
                raise PictureError("too_large", f"the picture is larger than {MAX_BYTES:,} bytes.")
        sent = response.headers.get("date")
    return bytes(data), parsedate_to_datetime(sent).astimezone(UTC) if sent else datetime.now(UTC)


def _write(database: Database, niche: str, outcomes: Sequence[Outcome], result: Fetched) -> None:
    seen = [outcome for outcome in outcomes if isinstance(outcome, PictureSeen)]
    missed = [outcome for outcome in outcomes if isinstance(outcome, Miss)]
    with database.connection() as connection:
        record_pictures(connection, seen)
        clear_misses(connection, "picture", [picture.video_id for picture in seen])
        record_misses(connection, niche, missed)
    result.stored += len(seen)
    result.bytes += sum(picture.picture.bytes for picture in seen)
    for miss in missed:
        result.misses[miss.reason] = result.misses.get(miss.reason, 0) + 1
