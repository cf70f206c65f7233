"""The `fields` parameter: what it selects, and what it refuses."""

import pytest

from thumbrank_core.simulator.api_errors import ApiError
from thumbrank_core.simulator.fields import compile_fields, parse_schema, project
from thumbrank_core.simulator.schemas import SCHEMAS

SCHEMA = parse_schema("kind,nextPageToken,pageInfo(totalResults),items(id,snippet(title,owner(name)),counts(views))")
ANSWER = {
    "kind": "list",
    "nextPageToken": "t",
    "pageInfo": {"totalResults": 2},
    "items": [
        {"id": "a", "snippet": {"title": "A", "owner": {"name": "x"}}, "counts": {"views": "1"}},
        {"id": "b", "snippet": {"title": "B", "owner": {"name": "y"}}},
    ],
}


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ("kind", {"kind": "list"}),
        ("items/id", {"items": [{"id": "a"}, {"id": "b"}]}),
        ("items(id)", {"items": [{"id": "a"}, {"id": "b"}]}),
        ("items/snippet/title", {"items": [{"snippet": {"title": "A"}}, {"snippet": {"title": "B"}}]}),
        (
            "nextPageToken, items( id , snippet/owner(name) )",
            {
                "nextPageToken": "t",
                "items": [
                    {"id": "a", "snippet": {"owner": {"name": "x"}}},
                    {"id": "b", "snippet": {"owner": {"name": "y"}}},
                ],
            },
        ),
        ("items/id,items/counts", {"items": [{"id": "a", "counts": {"views": "1"}}, {"id": "b"}]}),
        ("items/counts/views", {"items": [{"counts": {"views": "1"}}, {}]}),
        ("items/snippet/title,items/snippet", {"items": [{"snippet": item["snippet"]} for item in ANSWER["items"]]}),
        ("pageInfo/*", {"pageInfo": {"totalResults": 2}}),
        ("*", ANSWER),
        ("items(*)", {"items": ANSWER["items"]}),
    ],
)
def test_what_is_selected_is_left(fields: str, left: dict):
    assert project(ANSWER, compile_fields(fields, SCHEMA)) == left


@pytest.mark.parametrize(
    "fields",
    [
        "items(id",
        "items)",
        "items()",
        "items(id))",
        "",
        ",",
        "kind,",
        "items/",
        "/items",
        "items//id",
        "items id",
        "items(id)snippet",
        "item/id",
        "items/titel",
        "kind/anything",
        "items{id}",
    ],
)
def test_what_cannot_be_read_or_is_never_there_is_refused(fields: str):
    with pytest.raises(ApiError) as raised:
        compile_fields(fields, SCHEMA)
    assert (raised.value.code, raised.value.reason) == (400, "invalidFieldSelection")


def test_every_method_has_a_schema_with_its_kind():
    assert all("kind" in schema and "etag" in schema for schema in SCHEMAS.values())
