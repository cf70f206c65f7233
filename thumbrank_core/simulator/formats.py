"""How the Data API writes times, lengths, counts and searched texts. Pure functions of plain values."""

import html
from datetime import datetime


def timestamp(when: datetime) -> str:
    """A UTC time as the API writes it today: whole seconds and a Z."""
    return when.isoformat()[:19] + "Z"


def iso_duration(seconds: int) -> str:
    """ISO 8601 as the API writes it: no zero fields, and P0D for what has no length yet."""
    if seconds == 0:
        return "P0D"
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    clock = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "") + (f"{left}S" if left else "")
    return f"P{f'{days}D' if days else ''}{'T' + clock if clock else ''}"


def rounded_down(count: int) -> int:
    """A subscriber count rounded down to three significant figures."""
    step = 10 ** max(0, len(str(count)) - 3)
    return count // step * step


def escaped(text: str) -> str:
    """A text as search.list sends it, HTML-escaped; videos.list and the others do not escape."""
    return html.escape(text).replace("&#x27;", "&#39;")
