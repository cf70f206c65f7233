"""What of a Studio export is stored in `reach_daily`, and under whose name.

Impressions and click-through rate are an owner's own figures: a file is stored under one owner, and never mixed with
another's. What a file says is studio.py.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from thumbrank_core.imports.studio import Export, Period, Reach, Rejected, StudioError, rejected_row
from thumbrank_core.store.tombstones import forgotten

_CHANNEL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Stored:
    """What became of an export's rows: new + updated + unchanged + forgotten + rejected is their number.

    `unchanged`: the same figures are there, or later ones. `forgotten`: somebody asked us to forget the video or its channel.
    """

    owner_id: str
    new: int = 0
    updated: int = 0
    unchanged: int = 0
    forgotten: int = 0
    rejected: list[Rejected] = field(default_factory=list[Rejected])

    @property
    def used(self) -> int:
        """Rows whose figures are in the table now."""
        return self.new + self.updated + self.unchanged


def store_export(
    connection: psycopg.Connection[tuple[Any, ...]],
    export: Export,
    owner_id: str | None,
    issued_at: datetime,
    *,
    dry_run: bool = False,
) -> Stored:
    """Write the rows of one export under one owner; the transaction is the caller's. Twice leaves the same table.

    Of two figures for the same days those issued later stay. Other periods of the same video are other rows.

    Args:
        connection: a connection; removals are held off until its transaction ends.
        export: from `read_export`.
        owner_id: the channel whose owner exported it; None: the one channel to which the stored of its videos belong.
        issued_at: when it was exported.
        dry_run: count and write nothing.

    Raises:
        StudioError: the owner cannot be told, or is no channel id.
    """
    held = forgotten(connection, "video", {row.video_id for row in export.rows})
    channels = _channels_of(connection, export.rows)
    owner = _owner(export, owner_id, channels)
    if forgotten(connection, "channel", {owner}):
        return Stored(owner, forgotten=len(export.rows))
    mine, rejected, gone = list[Reach](), list[Rejected](), 0
    for row in export.rows:
        channel = channels.get(row.video_id, owner)
        if row.video_id in held:
            gone += 1
        elif channel != owner:
            rejected.append(
                rejected_row(
                    row.number, "other_owner", f"video {row.video_id} belongs to channel {channel}, not to {owner}"
                )
            )
        else:
            mine.append(row)
    there = _stored(connection, owner, mine)
    fresh = [row for row in mine if _is_newer(row, issued_at, there)]
    if not dry_run:
        _write(connection, owner, fresh, issued_at)
    new = sum((row.video_id, row.period) not in there for row in fresh)
    return Stored(owner, new, len(fresh) - new, len(mine) - len(fresh), gone, rejected)


def _channels_of(connection: psycopg.Connection[tuple[Any, ...]], rows: Sequence[Reach]) -> dict[str, str]:
    found = connection.execute(
        "select t.video_id, c.channel_id from thumbrank.thumbnails t join thumbrank.channels c using (channel_key) "
        "where t.video_id = any(%s)",
        (sorted({row.video_id for row in rows}),),
    )
    return {str(video_id): str(channel_id) for video_id, channel_id in found}


def _owner(export: Export, given: str | None, channels: Mapping[str, str]) -> str:
    if given is not None:
        if not _CHANNEL_ID.fullmatch(given):
            raise StudioError(f"--owner {given[:60]}: that is not a channel id such as UCxxxxxxxxxxxxxxxxxxxxxx.")
        return given
    owners = Counter(channels.values())
    if len(owners) == 1:
        return next(iter(owners))
    if not owners:
        raise StudioError(
            f"{export.name}: none of its videos is stored, so that its owner cannot be told; add --owner UC…."
        )
    named = ", ".join(f"{owner} ({count})" for owner, count in owners.most_common(3))
    raise StudioError(
        f"{export.name}: its videos belong to {len(owners)} channels ({named}{', …' if len(owners) > 3 else ''}); say with --owner "
        "whose export it is: figures of two owners are never mixed."
    )


_There = dict[tuple[str, Period], tuple[int, float | None, datetime]]


def _stored(connection: psycopg.Connection[tuple[Any, ...]], owner: str, rows: Sequence[Reach]) -> _There:
    found: Iterator[tuple[Any, ...]] = connection.execute(
        "select video_id, first_day, last_day, impressions, click_rate, issued_at from thumbrank.reach_daily "
        "where owner_id = %s and source = 'studio' and video_id = any(%s)",
        (owner, sorted({row.video_id for row in rows})),
    )
    return {(video, Period(first, last)): (shown, rate, issued) for video, first, last, shown, rate, issued in found}


def _is_newer(row: Reach, issued_at: datetime, there: _There) -> bool:
    known = there.get((row.video_id, row.period))
    if known is None:
        return True
    impressions, rate, issued = known
    return issued_at > issued or (issued_at == issued and (row.impressions, row.click_rate) != (impressions, rate))


def _write(
    connection: psycopg.Connection[tuple[Any, ...]], owner: str, rows: Sequence[Reach], issued_at: datetime
) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into thumbrank.reach_daily as r "
            "(owner_id, source, video_id, first_day, last_day, impressions, click_rate, issued_at) "
            "values (%s, 'studio', %s, %s, %s, %s, %s, %s) "
            "on conflict (owner_id, source, video_id, first_day, last_day) do update set "
            "impressions = excluded.impressions, click_rate = excluded.click_rate, issued_at = excluded.issued_at "
            "where excluded.issued_at >= r.issued_at",
            [
                (owner, r.video_id, r.period.first_day, r.period.last_day, r.impressions, r.click_rate, issued_at)
                for r in rows
            ],
        )
