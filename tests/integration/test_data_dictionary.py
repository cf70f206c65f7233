"""docs/data-dictionary.md is what the migrated database says of itself, and it says something of every column."""

import re

import pytest

from scripts.make_data_dictionary import GROUPS, PAGE, dictionary, relations, retention
from thumbrank_core.paths import migrations_folder
from thumbrank_core.retention.tables import TABLES


@pytest.fixture(scope="module")
def connection(postgres, migrated_template):
    import psycopg

    with psycopg.connect(postgres.create_database("dictionary", template=migrated_template)) as opened:
        yield opened


def test_the_page_is_what_the_database_says_now(connection):
    assert PAGE.read_text(encoding="utf-8") == dictionary(connection), (
        "run: .venv/bin/python scripts/make_data_dictionary.py"
    )


def test_every_table_view_and_column_says_what_it_is(connection):
    for relation in relations(connection).values():
        assert relation.says, f"{relation.name} has no comment: add one in a migration"
        for column in relation.columns:
            assert column.says, f"{relation.name}.{column.name} has no comment: add one in a migration"
            assert column.says.endswith((".", "…")), f"{relation.name}.{column.name}: a sentence ends with a full stop"


def test_what_may_be_null_says_when(connection):
    """Of tables: a view takes it from the table's column."""
    silent = [
        f"{relation.name}.{column.name}"
        for relation in relations(connection).values()
        for column in relation.columns
        if not relation.view and not column.required and "null" not in (column.says or "").lower()
    ]
    assert silent == []


def test_every_table_has_its_place_and_its_retention(connection):
    tables = {name for name, relation in relations(connection).items() if not relation.view}
    placed = [name for _, names in GROUPS.values() for name in names]
    assert sorted(placed) == sorted(tables) == sorted(rule.table for rule in TABLES)
    for table in tables:
        assert re.fullmatch(r"(goes|stays|of API data)\b.{10,}\.", retention(table)), retention(table)


def test_the_page_s_links_and_anchors_of_views_are_there(connection):
    page = dictionary(connection)
    for name in relations(connection):
        assert page.count(f"\n### {name}\n") == 1
    assert page.count("Read by `thumbrank_reader`.") == 4


def test_the_migration_of_comments_changes_nothing_else():
    text = (migrations_folder() / "20261129040000_column_comments.sql").read_text(encoding="utf-8")
    statements = re.sub(r"^--.*$", "", text, flags=re.MULTILINE)
    rest = re.sub(r"comment on column thumbrank\.\w+\.\w+ is\s+'(?:[^']|'')*';", "", statements)
    assert rest.split() == []
