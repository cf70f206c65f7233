"""The graph: what is in it, what it promises, and what it takes to load it. What its runs do is tests/integration/test_dagster*.py."""

import difflib
import importlib
import json
import os
import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest
import yaml

from tests.unit import graph_shape
from thumbrank_core.niches import NICHES
from thumbrank_dagster.build import build_defs
from thumbrank_dagster.defs.operations.jobs import MODEL_ASSETS, NICHE_ASSETS

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "mlflow",
    "googleapiclient",
    "sklearn",
    "matplotlib",
    "cv2",
    "pandas",
    "scipy",
    "onnx",
    "wandb",
)
NO_SECRETS = ("DATABASE_URL", "YOUTUBE_", "SUPABASE_", "THUMBRANK_", "DAGSTER_", "MLFLOW_", "AWS_", "WANDB_", "HF_")


def test_dagster_s_superseded_and_unfinished_parts_are_errors_here(pytestconfig):
    """Where a filter were misspelt, nothing would say so."""
    filters = pytestconfig.getini("filterwarnings")
    for name in ("SupersessionWarning", "BetaWarning", "PreviewWarning"):
        assert f"error::dagster.{name}" in filters
        with pytest.raises(getattr(dg, name)):
            warnings.warn("x", getattr(dg, name), stacklevel=1)
    with pytest.raises(DeprecationWarning):
        warnings.warn("x", DeprecationWarning, stacklevel=1)


@pytest.fixture(scope="module")
def definitions():
    return build_defs()


def test_the_graph_is_the_one_that_was_reviewed():
    kept, now = graph_shape.FILE.read_text(encoding="utf-8"), graph_shape.text()
    diff = difflib.unified_diff(kept.splitlines(), now.splitlines(), "graph.json", "the graph now", lineterm="", n=6)
    assert kept == now, "\n".join(
        ["The graph changed. If that is meant: .venv/bin/python -m tests.unit.graph_shape", *diff]
    )


def test_data_flows_as_the_design_draws_it(definitions):
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    line = [*NICHE_ASSETS, *MODEL_ASSETS]
    for earlier, later in pairwise(line):
        assert graph.get(dg.AssetKey(later)).parent_keys == {dg.AssetKey(earlier)}
    for name in NICHE_ASSETS:
        assert list(graph.get(dg.AssetKey(name)).partitions_def.get_partition_keys()) == list(NICHES)
    for name in MODEL_ASSETS:
        assert graph.get(dg.AssetKey(name)).partitions_def is None


def test_niche_and_model_assets_never_share_a_job(definitions):
    for job in definitions.jobs:
        layer = definitions.resolve_job_def(job.name).asset_layer
        selected = {key.to_user_string() for key in layer.executable_asset_keys}
        assert not (selected & set(NICHE_ASSETS) and selected & set(MODEL_ASSETS)), job.name


def test_every_asset_says_what_it_is_and_whose(definitions):
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        first, *rest = (node.description or "").split("\n")
        assert first.endswith((".", "…")) and len(first) > 40, f"{key}: the first line is what the graph shows"
        assert rest, f"{key}: and more for who opens it"
        assert node.owners and node.group_name and node.code_version and node.kinds, key


def test_every_asset_that_collects_learns_or_derives_says_so_in_its_tags(definitions):
    graph = definitions.resolve_asset_graph()
    for name in ("owner_reach", *NICHE_ASSETS, "evaluation_report", "deployed_model"):
        tags = graph.get(dg.AssetKey(name)).tags
        assert tags["layer"] in {"observed", "derived", "model"}, name
        assert tags["reads"], name


def test_every_launchpad_option_has_a_default_and_a_description(definitions):
    found = []
    for key in definitions.resolve_asset_graph().executable_asset_keys:
        kind = definitions.resolve_assets_def(key).op.config_schema.config_type
        for name, field in getattr(kind, "fields", {}).items():
            found.append(name)
            assert field.default_provided, f"{key} {name}: it starts without being asked anything"
            assert field.description, f"{key} {name}"
    assert {"budget", "encoders", "recipe", "niches"} <= set(found)


def test_no_asset_lets_dagster_decide_what_is_tried_again(definitions):
    """A `retry_policy` of Dagster's runs bugs and cancelled steps again: thumbrank_dagster/failures.py."""
    for key in definitions.resolve_asset_graph().executable_asset_keys:
        assert definitions.resolve_assets_def(key).op.retry_policy is None


def test_the_workspace_file_names_a_code_location_that_loads():
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    [entry] = workspace["load_from"]
    module = importlib.import_module(entry["python_module"]["module_name"])
    dg.Definitions.validate_loadable(module.defs)


def test_the_code_location_loads_without_heavy_modules_and_without_secrets():
    code = (
        "import json, sys; import dagster; before = set(sys.modules); import thumbrank_dagster.definitions; "
        "print(json.dumps(sorted(name.partition('.')[0] for name in set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=_bare(), cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert not set(HEAVY) & set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "command",
    [
        ["dg", "check", "defs"],
        ["dg", "check", "toml"],
        ["dagster", "definitions", "validate", "-w", "workspace.yaml"],
    ],
    ids=" ".join,
)
def test_dagster_s_own_checks_pass_with_no_secret_set(command, tmp_path):
    env = _bare() | {
        "HOME": str(tmp_path),
        "DAGSTER_HOME": str(tmp_path),
        "VIRTUAL_ENV": sys.prefix,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def _bare() -> dict[str, str]:
    quiet = {"DO_NOT_TRACK": "1", "DAGSTER_DISABLE_TELEMETRY": "1", "DG_CLI_DISABLE_TELEMETRY": "1"}
    return {name: value for name, value in os.environ.items() if not name.startswith(NO_SECRETS)} | quiet
