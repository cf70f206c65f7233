"""From any failure to one sentence, where one can be said: our own errors, and what a full disk or a lost database look like."""

import errno
import sqlite3
from collections.abc import Iterator

import psycopg

from thumbrank_core.errors import ThumbrankError

CONTINUE = "what was written is kept, and the same command continues."


def explain(error: BaseException) -> str | None:
    """The sentence for a person, or None for a defect, which keeps its traceback.

    Wrappers (Dagster's, SQLAlchemy's) are looked through by their causes.
    """
    return next((sentence for cause in causes(error) if (sentence := _sentence(cause)) is not None), None)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, outermost first; ends also where the chain is a cycle, as Dagster's can be."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _sentence(error: BaseException) -> str | None:
    if isinstance(error, ThumbrankError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = f" that holds {error.filename}" if error.filename else ""
        return f"The disk{place} is full: free space there, or set THUMBRANK_HOME to another disk; {CONTINUE}"
    # Dagster's driver is psycopg2, whose errors are not psycopg's; the server's own words are the same.
    if isinstance(error, psycopg.errors.DiskFull) or "No space left on device" in str(error):
        return f"The disk of the database is full: free space there; {CONTINUE}"
    if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
        return f"The disk of the MLflow database is full: free space there, or set THUMBRANK_HOME; {CONTINUE}"
    if isinstance(error, psycopg.OperationalError):
        first = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        return f"The database stopped answering ({first}): see postgres.log below THUMBRANK_HOME, or check DATABASE_URL; {CONTINUE}"
    return None
