"""The simulator's tables and answers held against Google's own discovery document, which the client library brings."""

import json
from pathlib import Path
from typing import Any

import googleapiclient.discovery_cache
import pytest
from starlette.testclient import TestClient

from thumbrank_core.simulator.api import create_app
from thumbrank_core.simulator.fields import Selection
from thumbrank_core.simulator.parameters import ENUMS, PARAMETERS
from thumbrank_core.simulator.schemas import SCHEMAS
from thumbrank_core.simulator.world import WorldSettings, build_world

DOCUMENT = json.loads(
    (Path(googleapiclient.discovery_cache.__file__).parent / "documents" / "youtube.v3.json").read_text()
)
PYTHON_TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict, "number": float}
NOT_IN_DISCOVERY = {
    "search.list": "/snippet/publishTime",
    "videos.batchGetStats": "/summary",
}
"""What is documented elsewhere or seen in the field, and the discovery document has not."""


def methods() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}

    def walk(resource: dict[str, Any]) -> None:
        for method in resource.get("methods", {}).values():
            found[method["id"].removeprefix("youtube.")] = method
        for inner in resource.get("resources", {}).values():
            walk(inner)

    walk(DOCUMENT)
    return found


METHODS = methods()


def test_every_method_takes_the_parameters_of_the_discovery_document():
    for name, ours in PARAMETERS.items():
        assert ours == {*METHODS[name]["parameters"], *DOCUMENT["parameters"]}, name


def test_every_parameter_takes_the_values_of_the_discovery_document():
    documented: dict[str, set[str]] = {}
    for name in PARAMETERS:
        for parameter, about in METHODS[name]["parameters"].items():
            if "enum" in about and parameter != "myRating":  # an owner's, refused before its value is read
                documented.setdefault(parameter, set()).update(about["enum"])
    ours = {name: set(values) for name, values in ENUMS.items()}
    assert {name: ours.get(name) for name in documented} == documented


def schema_of(about: dict[str, Any]) -> dict[str, Any]:
    return DOCUMENT["schemas"][about["$ref"]] if "$ref" in about else about


def known(schema: dict[str, Any], selection: Selection, at: str = "") -> list[str]:
    """The selected keys that the discovery document does not have."""
    unknown: list[str] = []
    for key, below in selection.items():
        about = schema.get("properties", {}).get(key)
        if about is None:
            unknown.append(f"{at}/{key}")
            continue
        about = schema_of(about)
        about = schema_of(about["items"]) if about.get("type") == "array" else about
        unknown += known(about, below or {}, f"{at}/{key}")
    return unknown


def unexpected(method: str, paths: list[str]) -> list[str]:
    return [path for path in paths if not path.endswith(NOT_IN_DISCOVERY.get(method, "nothing"))]


@pytest.mark.parametrize("method", SCHEMAS)
def test_every_key_that_fields_knows_is_documented(method: str):
    schema = DOCUMENT["schemas"][METHODS[method]["response"]["$ref"]]
    assert unexpected(method, known(schema, SCHEMAS[method])) == []


def wrong(schema: dict[str, Any], value: object, at: str = "") -> list[str]:
    """Where a value is not of its documented type or has a key that is not documented."""
    schema = schema_of(schema)
    kind = PYTHON_TYPES[schema["type"]]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return [f"{at} is {type(value).__name__}"]
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return [
            fault
            for key, inner in value.items()
            for fault in (wrong(properties[key], inner, f"{at}/{key}") if key in properties else [f"{at}/{key}"])
        ]
    if isinstance(value, list):
        return [fault for inner in value for fault in wrong(schema["items"], inner, f"{at}/*")]
    return []


def test_every_answer_has_documented_keys_with_documented_types():
    world = build_world(WorldSettings(seed=3, channels_per_niche=10, videos_per_channel=50, large_pictures=0.5))
    ids = [video.id for video in world.videos if video.is_listed]
    of_ids = [",".join(ids[at : at + 50]) for at in range(0, len(ids), 50)]
    parts = "snippet,contentDetails,statistics,status,topicDetails,liveStreamingDetails,paidProductPlacementDetails"
    channels = ",".join(channel.id for channel in world.channels[:50])
    requests = {
        "search.list": [{"part": "snippet", "maxResults": 50}],
        "channels.list": [
            {"part": "snippet,statistics,contentDetails,topicDetails,status,brandingSettings", "id": channels}
        ],
        "playlistItems.list": [
            {"part": "snippet,contentDetails,status", "playlistId": f"UU{world.channels[0].id[2:]}", "maxResults": 50}
        ],
        "videos.list": [{"part": f"{parts},recordingDetails,player", "id": some, "maxHeight": 360} for some in of_ids],
        "videos.batchGetStats": [{"part": "id,snippet,contentDetails,statistics", "id": some} for some in of_ids],
        "videoCategories.list": [{"part": "snippet", "regionCode": "US"}],
        "i18nLanguages.list": [{"part": "snippet"}],
        "i18nRegions.list": [{"part": "snippet"}],
        "videoTrainability.get": [{"id": some} for some in ids[:50]],
    }
    assert set(requests) == set(PARAMETERS)
    with TestClient(create_app(world), headers={"X-Goog-Api-Key": "a key"}) as client:
        for method, queries in requests.items():
            schema = {"$ref": METHODS[method]["response"]["$ref"]}
            for query in queries:
                answer = client.get("/" + METHODS[method]["path"], params=query)
                assert answer.status_code == 200, answer.text
                body = answer.json()
                assert unexpected(method, wrong(schema, body)) == [], method
                items = body.get("items", [])
                assert body["etag"] and all(item["kind"] and item["etag"] for item in items)
