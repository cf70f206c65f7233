"""Every video's label, from its counts: streamed channel by channel, so that memory stays flat however large a niche is.

What belongs here: which videos have a label, and the row of each in `video_labels`. What a label means is definitions.py;
who is compared with whom is pairs.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import LiteralString

import numpy as np
import numpy.typing as npt
import psycopg

from thumbrank_core.labels import definitions
from thumbrank_core.labels.growth import GrowthCurve, GrowthFit
from thumbrank_core.labels.regimes import regimes
from thumbrank_core.policy import LabelPolicy
from thumbrank_core.store.arrays import CHUNK_ROWS, Rows, moment, moments, read_rows, write_rows

TOO_YOUNG, PICTURE_CHANGED, NO_WINDOW = "too_young", "picture_changed", "no_window"
_NEVER = np.iinfo(np.int64).max
"""timestamptz 'infinity'."""

VALUE_DECIMALS = 6
"""Of a label: a channel's mean is a sum too (growth.py), and there are many labels for one of them to fall to the other side."""

_COUNTS = np.dtype(
    [
        ("channel_key", "i4"),
        ("video_key", "i4"),
        ("published", "i8"),
        ("observed", "i8"),
        ("views", "i8"),
        ("changed", "i8"),
        ("first_came", "i8"),
        ("first_left", "i8"),
        ("short", "i2"),
        ("training", "i2"),
        ("counts", "i2"),
        ("picture_sha256", "S32"),
    ]
)
# Videos with too few views have no label and do tell how views grow: without them the curve of small channels, whose young
# videos are the ones left out, would be too flat.
_NEWEST: LiteralString = """
    select t.channel_key, t.video_key, t.published_at, s.observed_at, s.view_count,
           coalesce(t.picture_changed_at, 'infinity'), p.first_seen_at, p.last_seen_at,
           (t.video_kind = 'short')::int::int2, (c.split = 'train')::int::int2, (t.exclusion_reason is null)::int::int2, p.sha256
    from thumbrank.thumbnails t
    join thumbrank.channels c using (channel_key)
    join thumbrank.latest_snapshots s using (video_key)
    join thumbrank.first_pictures p using (video_key)
    where c.niche = %(niche)s and (t.exclusion_reason is null or t.exclusion_reason = 'few_views') and s.observed_at > t.published_at
    order by t.channel_key, t.video_key, s.observed_at
"""
_EVERY: LiteralString = _NEWEST.replace("latest_snapshots", "view_snapshots")


@dataclass
class Labelled:
    """What a niche's labels came to. `left_out`: videos that count and have no label, by reason."""

    curve: GrowthCurve
    videos: int
    left_out: dict[str, int]
    as_of: datetime | None


def replace_labels(connection: psycopg.Connection, niche: str, policy: LabelPolicy) -> Labelled:
    """Fit the niche's growth curve and write the label of every video that counts, in the caller's transaction."""
    connection.execute("delete from thumbrank.video_labels where niche = %s", (niche,))
    query = _EVERY if policy.label == "window_views" else _NEWEST
    fit, as_of = GrowthFit(), np.iinfo(np.int64).min
    with SpooledTemporaryFile[bytes](max_size=2**24) as spool:  # one connection cannot copy out and in at once
        for chunk in _whole_channels(read_rows(connection, query, {"niche": niche}, _COUNTS)):
            spool.write(chunk.tobytes())
            newest = chunk[_last_of_video(chunk)]
            as_of = max(as_of, int(newest["observed"].max(initial=as_of)))
            used = newest[(newest["training"] == 1) & ~_of_two_pictures(newest, newest["observed"])]
            fit.add(used["views"], _age_days(used), used["channel_key"])
        result = Labelled(fit.curve(), 0, {}, moment(as_of) if as_of > np.iinfo(np.int64).min else None)
        _replace_curve(connection, niche, result)
        spool.seek(0)
        result.videos = write_rows(
            connection, "thumbrank.video_labels", _labels(_whole_channels(_spooled(spool)), niche, policy, result)
        )
    return result


def _labels(chunks: Iterator[Rows], niche: str, policy: LabelPolicy, result: Labelled) -> Iterator[Rows]:
    """Rows of video_labels; counts in `result` what gets none."""
    kind = np.dtype(
        [
            ("video_key", "i4"),
            ("channel_key", "i4"),
            ("niche", f"S{len(niche)}"),
            ("value", "f8"),
            ("regime", "i2"),
            ("observed_at", "i8"),
            ("picture_sha256", "S32"),
        ]
    )
    for chunk in chunks:
        counted = chunk[chunk["counts"] == 1]
        newest = counted[_last_of_video(counted)]
        value, earned_by = _values(counted, newest, policy, result.curve)
        young = _age_days(newest) < policy.min_age_days
        changed = ~young & _of_two_pictures(newest, earned_by)
        unknown = ~young & ~changed & np.isnan(value)
        for reason, left in ((TOO_YOUNG, young), (PICTURE_CHANGED, changed), (NO_WINDOW, unknown)):
            if left.any():
                result.left_out[reason] = result.left_out.get(reason, 0) + int(left.sum())
        kept = ~(young | changed | unknown)
        rows = np.empty(int(kept.sum()), dtype=kind)
        rows["niche"] = niche.encode()
        rows["value"] = np.round(value[kept], VALUE_DECIMALS)
        rows["observed_at"] = earned_by[kept]
        for name in ("video_key", "channel_key", "picture_sha256"):
            rows[name] = newest[name][kept]
        rows["regime"] = regimes(moments(newest["published"]), moments(earned_by), newest["short"] == 1)[kept]
        yield rows


def _values(
    counts: Rows, newest: Rows, policy: LabelPolicy, curve: GrowthCurve
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The label of each video and up to when its views were earned, as a timestamptz; both (videos,)."""
    if policy.label == "views_per_hour":
        return definitions.views_per_hour(newest["views"], _age_days(newest)), newest["observed"]
    if policy.label == "age_adjusted":
        value = definitions.age_adjusted(newest["views"], _age_days(newest), newest["channel_key"], curve)
        return value, newest["observed"]
    window = (policy.window_from_day, policy.window_to_day)
    value = definitions.window_views(counts["video_key"], _age_days(counts), counts["views"], window)
    return value, newest["published"] + int(policy.window_to_day * 86_400 * 1e6)


def _of_two_pictures(videos: Rows, earned_by: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether another picture may have been up before `earned_by`, (videos,).

    The first picture earned the views alone if none that looks different was ever seen, or if it was still there at
    `earned_by` and the other came afterwards.
    """
    ever = videos["changed"] < _NEVER
    alone = (videos["first_came"] < videos["changed"]) & (videos["first_left"] >= earned_by)
    return ever & ~(alone & (videos["changed"] > earned_by))


def read_curves(connection: psycopg.Connection, niches: Sequence[str]) -> dict[str, GrowthCurve]:
    """The stored growth curves of the niches that have one."""
    rows = connection.execute(
        "select niche::text, knots_days, log_growth, residual_sd, level, n_videos, n_channels from thumbrank.growth_curves "
        "where niche = any(%s)",
        (list(niches),),
    ).fetchall()
    return {niche: GrowthCurve(np.array(knots), np.array(growth), *rest) for niche, knots, growth, *rest in rows}


def _replace_curve(connection: psycopg.Connection, niche: str, result: Labelled) -> None:
    connection.execute("delete from thumbrank.growth_curves where niche = %s", (niche,))
    if result.as_of is None:
        return
    curve = result.curve
    connection.execute(
        "insert into thumbrank.growth_curves "
        "(niche, knots_days, log_growth, residual_sd, level, n_videos, n_channels, as_of) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            niche,
            curve.knots_days.tolist(),
            curve.log_growth.tolist(),
            curve.residual_sd,
            curve.level,
            curve.n_videos,
            curve.n_channels,
            result.as_of,
        ),
    )


def _age_days(rows: Rows) -> npt.NDArray[np.float64]:
    return (rows["observed"] - rows["published"]) / (86_400 * 1e6)


def _last_of_video(rows: Rows) -> npt.NDArray[np.bool_]:
    return np.diff(rows["video_key"], append=rows["video_key"][-1:] + 1) != 0


def _whole_channels(chunks: Iterator[Rows]) -> Iterator[Rows]:
    """The same rows, cut only between channels."""
    held: list[Rows] = []
    for chunk in chunks:
        held.append(chunk)
        if chunk["channel_key"][0] != held[0]["channel_key"][0] or chunk["channel_key"][-1] != chunk["channel_key"][0]:
            rows = np.concatenate(held)
            start = int(np.searchsorted(rows["channel_key"], rows["channel_key"][-1]))
            if start:
                yield rows[:start]
            held = [rows[start:]]
    if held:
        yield np.concatenate(held)


def _spooled(spool: SpooledTemporaryFile[bytes]) -> Iterator[Rows]:
    while block := spool.read(CHUNK_ROWS * _COUNTS.itemsize):
        yield np.frombuffer(block, dtype=_COUNTS)
