"""From any failure to one sentence, where one can be said: our own errors, and what a full disk, a lost database, a lock or a lost
MLflow look like.
"""

import errno
import re
import sqlite3
import sys
from collections.abc import Iterator

import psycopg

from thumbrank_core.addresses import without_login
from thumbrank_core.errors import ThumbrankError

CONTINUE = "what was written is kept, and the same command continues."

# The server is there and says no: psycopg counts these among what happens to a connection.
_HELD = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)


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
    if isinstance(error, _HELD):
        return f"Another command holds what this one needs ({_first_line(error)}): repeat it when that one has ended; {CONTINUE}"
    if isinstance(error, psycopg.errors.QueryCanceled):
        return (
            f"The database ended a statement ({_first_line(error)}): repeat the command, and where it comes again raise "
            f"statement_timeout there; {CONTINUE}"
        )
    if isinstance(error, psycopg.OperationalError):
        first = _first_line(error)
        return f"The database stopped answering ({first}): see postgres.log below THUMBRANK_HOME, or check DATABASE_URL; {CONTINUE}"
    return _of_mlflow(error)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__


def _of_mlflow(error: BaseException) -> str | None:
    """MLflow's words for a server that does not answer, or not to us. Its types are not imported for this: where nothing has
    loaded them, no error is one."""
    known = sys.modules.get("mlflow.exceptions")
    if known is None or not isinstance(error, known.MlflowException):
        return None
    text = str(error)
    if away := re.search(r"API request to (\S+) failed with", text):
        server = re.split(r"/api/\d", without_login(away[1]))[0]
        return f"MLflow at {server} gives no answer that serves: start it, or correct MLFLOW_TRACKING_URI; {CONTINUE}"
    if refused := re.search(r"API request to endpoint \S+ failed with error code (401|403)\b", text):
        return (
            f"MLflow refuses us (HTTP {refused[1]}): correct user and password in MLFLOW_TRACKING_URI, or the rights of that user "
            f"there; {CONTINUE}"
        )
    return None
