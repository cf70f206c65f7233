"""How assets tell what they did: counts, tables, a small picture. How they fail is failures.py.

No title, no id and no row of collected data belongs here. Dagster keeps its events for as long as the run, outside of every
store that retention empties: a sample table in an event would outlive the videos it shows. Metadata therefore holds aggregates,
and a query for those who want to see rows.
"""

import base64
import dataclasses
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from thumbrank_core.store.overview import Column, Overview

__all__ = ["MetadataValues", "columns", "counts", "figure", "picture", "table"]

MetadataValues = dict[str, Any]


def counts(record: Any, **more: Any) -> MetadataValues:
    """A dataclass of counts as metadata: scalars as they are (Dagster charts them), mappings as JSON, None left out."""
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)} | more
    return {name: _value(value) for name, value in values.items() if value is not None}


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dg.MetadataValue.json({name: figure(each) for name, each in value.items()})
    return dg.MetadataValue.timestamp(value) if isinstance(value, datetime) else figure(value)


def figure(value: Any) -> Any:
    """A fraction with four significant digits, as many as a person reads; everything else as it is."""
    if not isinstance(value, float) or not math.isfinite(value) or value == 0:
        return value
    return round(value, max(1, 3 - math.floor(math.log10(abs(value)))))


def table(found: "Overview", rows: int | None = None) -> MetadataValues:
    """The table that an asset writes, from its niche's side. `rows`: the niche's, where the step counted them itself."""
    shown: MetadataValues = {
        "dagster/table_name": found.table,
        "dagster/column_schema": columns(found.columns),
        "dagster/partition_row_count": found.rows if found.rows is not None else rows,
        "sample_sql": dg.MetadataValue.text(found.sample),
    }
    if found.null_rates:
        shown["null_rates"] = dg.MetadataValue.json({name: figure(rate) for name, rate in found.null_rates.items()})
    return shown


def columns(found: "Sequence[Column]") -> dg.TableSchema:
    """Columns as Dagster shows them, with what the database says of each."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                each.name,
                type=each.type,
                description=each.description,
                constraints=dg.TableColumnConstraints(nullable=each.nullable),
            )
            for each in found
        ]
    )


def picture(png: bytes, description: str) -> dg.MarkdownMetadataValue:
    """A plot inside the UI. Keep it small: it lives in Dagster's database."""
    return dg.MetadataValue.md(f"![{description}](data:image/png;base64,{base64.b64encode(png).decode()})")
