"""What has to be embedded: the videos that training pairs compare, each with its title and the picture its label is about."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import psycopg

from thumbrank_core.features.cache import normalise_title, title_sha256


@dataclass(frozen=True)
class Item:
    """A video of at least one pair, with what is encoded of it."""

    video_id: str
    title: str
    picture: bytes


@dataclass(frozen=True)
class Shard:
    """One worker's share: the digests whose first eight bytes, as a number, leave `rank` when divided by `world`."""

    rank: int = 0
    world: int = 1

    def of(self, digests: Sequence[bytes]) -> list[bytes]:
        """The digests of this share, in their order. The shares of all ranks are every digest once."""
        return [digest for digest in digests if int.from_bytes(digest[:8], "big") % self.world == self.rank]


ALL = Shard()


def wanted_items(connection: psycopg.Connection, niche: str) -> list[Item]:
    """The videos of the niche's pairs. A video whose title expired has nothing to be encoded of it and is left out."""
    rows = connection.execute(
        "select t.video_id, t.title, l.picture_sha256 from thumbrank.video_labels l join thumbrank.thumbnails t using (video_key) "
        "where l.niche = %(niche)s and t.title is not null and l.video_key in "
        "(select a_key from thumbrank.training_pairs where niche = %(niche)s "
        "union select b_key from thumbrank.training_pairs where niche = %(niche)s) order by l.video_key",
        {"niche": niche},
    ).fetchall()
    return [Item(str(video), str(title), bytes(picture)) for video, title, picture in rows]


def videos_with(connection: psycopg.Connection, pictures: Collection[bytes]) -> dict[str, list[tuple[str, bytes]]]:
    """The videos of pairs whose label is about one of these pictures: niche -> (video id, picture)."""
    rows = connection.execute(
        "select l.niche, t.video_id, l.picture_sha256 from thumbrank.video_labels l join thumbrank.thumbnails t using (video_key) "
        "where l.picture_sha256 = any(%s::bytea[]) and (l.niche, l.video_key) in "
        "(select niche, a_key from thumbrank.training_pairs union select niche, b_key from thumbrank.training_pairs) "
        "order by l.video_key",
        (list(pictures),),
    ).fetchall()
    found: dict[str, list[tuple[str, bytes]]] = {}
    for niche, video, picture in rows:
        found.setdefault(str(niche), []).append((str(video), bytes(picture)))
    return found


def pictures_of(items: Sequence[Item]) -> dict[bytes, list[str]]:
    """Distinct pictures, each with the videos that show it."""
    shown: dict[bytes, list[str]] = {}
    for item in items:
        shown.setdefault(item.picture, []).append(item.video_id)
    return shown


def titles_of(items: Sequence[Item]) -> dict[bytes, str]:
    """Distinct normalised titles by their digest."""
    return {title_sha256(item.title): normalise_title(item.title) for item in items}
