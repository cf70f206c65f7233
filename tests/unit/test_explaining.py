"""What the database says while it is there: a sentence of its own, and not that the server is gone."""

import psycopg
import pytest

from thumbrank_core.explain import explain


@pytest.mark.parametrize("kind", ["LockNotAvailable", "DeadlockDetected", "SerializationFailure"])
def test_what_another_command_holds_is_not_a_lost_database(kind):
    error = getattr(psycopg.errors, kind)("canceling statement due to lock timeout\nCONTEXT: while locking")
    assert explain(error) == (
        "Another command holds what this one needs (canceling statement due to lock timeout): repeat it when that one has ended; "
        "what was written is kept, and the same command continues."
    )


def test_a_statement_that_took_too_long_is_not_a_lost_database():
    sentence = str(explain(psycopg.errors.QueryCanceled("canceling statement due to statement timeout")))
    assert sentence.startswith(
        "The database ended a statement (canceling statement due to statement timeout): repeat the"
    )
    assert "DATABASE_URL" not in sentence


@pytest.mark.parametrize("error", [psycopg.OperationalError("server closed"), psycopg.errors.AdminShutdown("ended")])
def test_a_lost_database_is_still_one(error):
    assert str(explain(error)).startswith(f"The database stopped answering ({error}): see postgres.log")
