"""What is left standing in the database: rows that should have gone, niches whose counts grew old. Reads only.

What belongs here: counts for the daily inventory. What removes rows is retention/, and the conditions are its own (ITEMS_TO_GO
and the rules' `by_age`), so that the two cannot disagree.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import psycopg
from psycopg import sql

from thumbrank_core.labels.evidence import Staleness, staleness
from thumbrank_core.policy import Policy
from thumbrank_core.retention.expiry import ITEMS_TO_GO, Ages
from thumbrank_core.retention.tables import TABLES, Rows
from thumbrank_core.store.copy import table_name

GRACE = timedelta(days=1)
"""Retention is applied once a day: what became too old since then is its next run's."""


def expired_rows(connection: psycopg.Connection, policy: Policy, now: datetime) -> dict[str, int]:
    """Rows of each table that are too old under the policy for a day or longer; tables without any are left out."""
    parameters = Ages.of(policy, now - GRACE).parameters()
    conditions = dict(ITEMS_TO_GO)
    for rule in TABLES:
        if isinstance(rule, Rows) and rule.by_age is not None:
            conditions[rule.table] = rule.by_age
    found: dict[str, int] = {}
    for table, condition in conditions.items():
        statement = sql.SQL("select count(*) from {} r where {}").format(
            table_name(f"thumbrank.{table}"), sql.SQL(condition)
        )
        row = connection.execute(statement, parameters).fetchone()
        if row is not None and row[0]:
            found[table] = int(row[0])
    return found


def ages_of(connection: psycopg.Connection, niches: Sequence[str], now: datetime) -> dict[str, Staleness]:
    """How old the newest counts of each niche are."""
    return {niche: staleness(connection, niche, now) for niche in niches}
