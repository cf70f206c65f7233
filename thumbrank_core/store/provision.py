"""Databases and roles on a server that is not ours to start: which are missing, and making them.

What belongs here: the databases themselves and who owns them, before anything is in them. What is in ours is migrate.py; the
embedded server makes its own (embedded.py).
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from thumbrank_core.store.database import connect
from thumbrank_core.store.errors import DatabaseUnreachable, StoreError

ADMIN = "THUMBRANK_ADMIN_DATABASE_URL"
READER = "thumbrank_reader"
"""Reads the views and nothing else (docs/data-out.md). Our migrations make it where their own role may; in ours it may not."""


@dataclass(frozen=True)
class DatabaseSpec:
    """A database that must be there, and the role that shall own it (None: the administrator's). `password`: the role's, for
    a server that does not have it yet."""

    name: str
    owner: str | None
    password: str | None = field(default=None, repr=False)


def database_spec(variable: str, url: str) -> DatabaseSpec:
    """What a connection string needs to find; a driver in it (`postgresql+psycopg2://`) is left out.

    Raises:
        StoreError: it names no database, or cannot be read.
    """
    try:
        parts = conninfo_to_dict(f"postgresql://{url.partition('://')[2]}")
    except psycopg.Error:
        parts = {}  # the driver's message repeats parts of the URL, and so of the password
    name = parts.get("dbname")
    if not name:
        raise StoreError(f"{variable} names no database: write it as postgresql://user:password@host:port/database.")
    user, password = parts.get("user"), parts.get("password")
    return DatabaseSpec(str(name), str(user) if user else None, str(password) if password else None)


@dataclass(frozen=True)
class Made:
    """Names of what was made, or with a dry run would be. Roles come first: they own the databases."""

    roles: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()


def create_missing(admin_url: str, databases: Sequence[DatabaseSpec], *, dry_run: bool = False) -> Made:
    """Make those roles and databases that the server does not have yet; those that it has stay as they are.

    A role gets the password of its URL, nothing but its own database, and no right to make anything else. Whether an existing one
    has that password is seen when it connects.

    Raises:
        DatabaseUnreachable: no connection as the administrator.
        StoreError: the administrator may not create roles or databases, or an owner is missing and its URL has no password.
    """
    roles: list[str] = []
    made: list[str] = []
    with _administrator(admin_url) as connection:
        known = _names(connection, "select rolname from pg_roles")
        if READER not in known and not dry_run:
            _create_reader(connection)
        for database in databases:
            if database.owner is None or database.password is None or database.owner in {*known, *roles}:
                continue
            if not dry_run:
                _create_role(connection, database.owner, database.password)
            roles.append(database.owner)
        there = _names(connection, "select datname from pg_database")
        for database in databases:
            if database.name in there:
                continue
            if not dry_run:
                _create(connection, database)
            made.append(database.name)
    return Made(tuple(roles), tuple(made))


def _administrator(admin_url: str) -> psycopg.Connection[tuple[object, ...]]:
    try:
        return connect(admin_url, autocommit=True)  # no transaction: PostgreSQL makes no database inside of one
    except DatabaseUnreachable as error:
        raise DatabaseUnreachable(str(error).replace("DATABASE_URL", ADMIN)) from None


def _names(connection: psycopg.Connection[tuple[object, ...]], query: LiteralString) -> set[str]:
    return {str(row[0]) for row in connection.execute(query)}


def _create_reader(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    with suppress(
        psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation, psycopg.errors.InsufficientPrivilege
    ):  # the last one: our migrations say so
        connection.execute(sql.SQL("create role {} nologin").format(sql.Identifier(READER)))


def _create_role(connection: psycopg.Connection[tuple[object, ...]], name: str, password: str) -> None:
    # Hashed on this side: a server that logs statements would log the password with it.
    hashed = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    role = sql.Identifier(name)
    try:
        connection.execute(sql.SQL("create role {} login password {}").format(role, sql.Literal(hashed)))
        superuser = connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
        if superuser == (False,):
            # Who is none may give a database only to a role that it is a member of.
            connection.execute(sql.SQL("grant {} to current_user").format(role))
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        pass  # another init was quicker
    except psycopg.errors.InsufficientPrivilege:
        raise StoreError(
            f"The role of {ADMIN} may not create the role {name}: give it CREATEROLE, or create {name} yourself."
        ) from None


def _create(connection: psycopg.Connection[tuple[object, ...]], database: DatabaseSpec) -> None:
    statement = sql.SQL("create database {} template template0").format(sql.Identifier(database.name))
    if database.owner is not None:
        statement += sql.SQL(" owner {}").format(sql.Identifier(database.owner))
    try:
        connection.execute(statement)
    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        pass  # another init was quicker
    except psycopg.errors.InsufficientPrivilege:
        raise StoreError(
            f"The role of {ADMIN} may not create the database {database.name}: give it CREATEDB, or create it yourself."
        ) from None
    except psycopg.errors.UndefinedObject:
        raise StoreError(
            f"The role {database.owner}, which shall own the database {database.name}, does not exist: create it first, or "
            "name its password in the URL."
        ) from None
