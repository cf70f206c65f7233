"""How assets tell what they did: counts, a small picture, and errors as one sentence."""

import base64
import dataclasses
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import dagster as dg

from thumbrank_core.errors import ThumbrankError

MetadataValues = dict[str, Any]


@contextmanager
def one_sentence() -> Generator[None]:
    """Show a mendable error as its sentence, not as a traceback; retrying would not mend it."""
    try:
        yield
    except ThumbrankError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def counts(record: Any, **more: Any) -> MetadataValues:
    """A dataclass of counts as metadata: scalars as they are (Dagster charts them), mappings as JSON, None left out."""
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)} | more
    return {name: _value(value) for name, value in values.items() if value is not None}


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dg.MetadataValue.json(dict(value))
    return dg.MetadataValue.timestamp(value) if isinstance(value, datetime) else value


def picture(png: bytes, description: str) -> dg.MarkdownMetadataValue:
    """A plot inside the UI. Keep it small: it lives in Dagster's database."""
    return dg.MetadataValue.md(f"![{description}](data:image/png;base64,{base64.b64encode(png).decode()})")
