"""The `fields` parameter: which keys of an answer are sent. `items(id,snippet/title)`, `pageInfo/*`, `*`.

A selection is compiled once against the keys that the answer can have (`schemas`) and then only walked.
"""

import re
from typing import TypeAlias, cast

from thumbrank_core.simulator import api_errors

Selection: TypeAlias = dict[str, "Selection | None"]
"""By key what is sent of it; None is all of it."""

_TOKENS = re.compile(r"\s*([(),/*]|[A-Za-z][A-Za-z0-9]*)")


def parse_schema(text: str) -> Selection:
    """The keys that an answer can have, written as a selection of all of them."""
    return _Reader(text, None).whole()


def compile_fields(text: str, schema: Selection) -> Selection:
    """What `fields` selects of an answer with that schema; 400 where it is malformed or names what is not there."""
    return _Reader(text, schema).whole()


def project(value: object, selection: Selection | None) -> object:
    """What is selected of a JSON value; lists are walked through."""
    if selection is None:
        return value
    if isinstance(value, dict):
        kept: dict[str, object] = {}
        for key, inner in cast("dict[str, object]", value).items():
            if key in selection:
                below = selection[key]
                kept[key] = inner if below is None else project(inner, below)
        return kept
    if isinstance(value, list):
        return [project(item, selection) for item in cast("list[object]", value)]
    return value


class _Reader:
    """A recursive descent over `selector ("," selector)*`, where a selector is `path` or `path "(" ... ")"`."""

    def __init__(self, text: str, schema: Selection | None) -> None:
        self._text = text
        self._schema = schema
        self._tokens = self._split(text)
        self._at = 0

    def whole(self) -> Selection:
        found = self._list(self._schema)
        if self._at < len(self._tokens):
            raise api_errors.invalid_fields(self._text)
        return found

    def _split(self, text: str) -> list[str]:
        tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKENS.match(text, at)
            if match is None:
                raise api_errors.invalid_fields(text)
            tokens.append(match.group(1))
            at = match.end()
        return tokens

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _list(self, schema: Selection | None) -> Selection:
        found: Selection = {}
        while True:
            self._selector(schema, found)
            if self._next() != ",":
                return found
            self._at += 1

    def _selector(self, schema: Selection | None, into: Selection) -> None:
        name = self._next()
        self._at += 1
        if name != "*" and not name[:1].isalpha():
            raise api_errors.invalid_fields(self._text)
        names = [name]
        # Without a schema we are reading one, and there every name is new.
        if schema is not None:
            names = list(schema) if name == "*" else names
            if not set(names) <= set(schema):
                raise api_errors.invalid_fields(self._text)
        start = self._at
        for key in names:
            # Each key that `*` stands for reads what follows against its own schema.
            self._at = start
            _merge(into, key, self._below(None if schema is None else schema[key], schema is None))

    def _below(self, schema: Selection | None, reading_schema: bool) -> Selection | None:
        """What follows a name: a path, a list in parentheses, or nothing, which is all of it."""
        mark = self._next()
        if mark not in ("/", "("):
            return None
        if schema is None and not reading_schema:
            raise api_errors.invalid_fields(self._text)
        self._at += 1
        if mark == "/":
            inner: Selection = {}
            self._selector(schema, inner)
            return inner
        inner = self._list(schema)
        if self._next() != ")":
            raise api_errors.invalid_fields(self._text)
        self._at += 1
        return inner


def _merge(into: Selection, key: str, below: Selection | None) -> None:
    """Add a selection of one key; all of it wins over some of it."""
    if key in into:
        present = into[key]
        if present is None or below is None:
            into[key] = None
        else:
            for name, inner in below.items():
                _merge(present, name, inner)
    else:
        into[key] = below
