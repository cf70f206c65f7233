"""The shape of the graph as plain data, and the file that holds it: a change of the graph is read as a diff of graph.json.

After a change that is meant: `.venv/bin/python -m tests.unit.graph_shape` writes the file anew.
"""

import json
import sys
from pathlib import Path

from thumbrank_dagster.build import build_defs

FILE = Path(__file__).with_name("graph.json")


def shape() -> dict[str, object]:
    """What runs with what, under which name and by itself or not, here and on a server."""
    local, server = build_defs(deployment="local"), build_defs(deployment="server")
    graph = local.resolve_asset_graph()
    return {
        "assets": {key.to_user_string(): _asset(graph, key) for key in sorted(graph.get_all_asset_keys())},
        "checks": {
            key.to_user_string(): {
                "blocking": (spec := graph.get_check_spec(key)).blocking,
                "description": spec.description,
                "partitions": _partitions(spec.partitions_def),
            }
            for key in sorted(graph.asset_check_keys)
        },
        "jobs": {job.name: _job(local, job.name) for job in local.jobs or ()},
        "schedules": {one.name: _schedule(one, two) for one, two in _both(local.schedules, server.schedules)},
        "sensors": {one.name: _sensor(one, two) for one, two in _both(local.sensors, server.sensors)},
        "resources": sorted(local.resources or ()),
    }


def text() -> str:
    """The file's content."""
    return _written(shape(), depth=3) + "\n"


def _written(value, depth):
    """JSON with a line for each field of each thing, so that a diff shows what changed and of what."""
    if depth == 0 or not isinstance(value, dict) or not value:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    indent = " " * (4 - depth)
    fields = [f"{indent}{json.dumps(name)}: {_written(each, depth - 1)}" for name, each in sorted(value.items())]
    return "{\n" + ",\n".join(fields) + "\n" + indent[1:] + "}"


def _asset(graph, key):
    node = graph.get(key)
    definition = node.assets_def
    spec = definition.specs_by_key[key]
    op = definition.op if node.is_executable else None  # what nothing makes has none
    fields = getattr(op.config_schema.config_type, "fields", {}) if op else {}
    return {
        "deps": {
            dep.asset_key.to_user_string(): None
            if dep.partition_mapping is None
            else type(dep.partition_mapping).__name__
            for dep in spec.deps
        },
        "group": spec.group_name,
        "owners": sorted(spec.owners),
        "kinds": sorted(spec.kinds),
        "tags": {name: value for name, value in sorted(spec.tags.items()) if not name.startswith("dagster/kind/")},
        "metadata": {name: value for name, value in sorted(spec.metadata.items()) if name.startswith("thumbrank/")},
        "code_version": spec.code_version,
        "partitions": _partitions(spec.partitions_def),
        "pool": op.pool if op else None,
        "resources": sorted(definition.required_resource_keys),
        "config": {
            name: repr(field.default_value) if field.default_provided else "required"
            for name, field in sorted(fields.items())
        },
    }


def _partitions(found):
    return None if found is None else list(found.get_partition_keys())


def _job(definitions, name):
    job = definitions.resolve_job_def(name)
    return {
        "assets": sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys),
        "checks": sorted(key.to_user_string() for key in job.asset_layer.asset_graph.asset_check_keys),
        "ops": sorted(node.name for node in job.nodes),
        "partitions": _partitions(job.partitions_def),
        "executor": job.executor_def.name,
        "tags": dict(sorted(job.run_tags.items())),
        "description": job.description,
    }


def _both(local, server):
    there = {each.name: each for each in server or ()}
    return [(each, there[each.name]) for each in local or ()]


def _status(one, two):
    return {"local": one.default_status.value, "server": two.default_status.value}


def _schedule(one, two):
    return {
        "job": one.job_name,
        "cron": one.cron_schedule,
        "timezone": one.execution_timezone,
        "default_status": _status(one, two),
        "resources": sorted(one.required_resource_keys),
        "description": one.description,
    }


def _sensor(one, two):
    return {
        "type": one.sensor_type.value,
        "jobs": sorted(target.job_name for target in one.targets if target.job_name),
        "selection": str(one.asset_selection) if one.asset_selection else None,
        "seconds": one.minimum_interval_seconds,
        "default_status": _status(one, two),
        "resources": sorted(one.required_resource_keys),
        "description": one.description,
    }


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{FILE} is the graph's shape now: read its diff.\n")
