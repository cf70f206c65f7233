"""The Dagster side: the graph's shape, what it loads, and what its runs and failures look like."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from thumbrank_core.niches import NICHES
from thumbrank_dagster.build import build_defs
from thumbrank_dagster.defs.operations.jobs import MODEL_ASSETS, NICHE_ASSETS
from thumbrank_dagster.instance import psycopg2_url, write_config

EDGES = {
    "raw_videos": set(),
    "thumbnail_images": {"raw_videos"},
    "channel_baselines": {"thumbnail_images"},
    "training_pairs": {"channel_baselines"},
    "embeddings": {"training_pairs"},
    "trained_model": {"embeddings"},
    "evaluation_report": {"trained_model"},
    "deployed_model": {"evaluation_report"},
    "owner_reach": set(),
    "retention": set(),
}


@pytest.fixture(scope="module")
def definitions():
    return build_defs()


def test_the_graph_is_the_design_s(definitions):
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    found = {
        key.to_user_string(): {p.to_user_string() for p in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert found == EDGES
    for name in NICHE_ASSETS:
        assert list(graph.get(dg.AssetKey(name)).partitions_def.get_partition_keys()) == list(NICHES)
    for name in MODEL_ASSETS:
        assert graph.get(dg.AssetKey(name)).partitions_def is None


def test_the_workspace_file_names_a_code_location_that_loads():
    workspace = yaml.safe_load((Path(__file__).resolve().parents[2] / "workspace.yaml").read_text())
    [entry] = workspace["load_from"]
    module = importlib.import_module(entry["python_module"]["module_name"])
    dg.Definitions.validate_loadable(module.defs)


def test_niche_and_model_assets_never_share_a_job(definitions):
    for job, assets in (("refresh_niche", NICHE_ASSETS), ("train_and_deploy", MODEL_ASSETS)):
        selected = {key.to_user_string() for key in definitions.resolve_job_def(job).asset_layer.executable_asset_keys}
        assert selected == set(assets)


def test_every_asset_says_what_it_is_and_whose(definitions):
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert len(node.description) > 40
        assert node.owners
        assert node.group_name
        assert node.code_version


def test_checks_stand_at_the_borders(definitions):
    graph = definitions.resolve_asset_graph()
    found = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    assert found == {
        ("raw_videos", "has_videos"),
        ("raw_videos", "complete"),
        ("thumbnail_images", "coverage"),
        ("owner_reach", "every_report_read"),
        ("training_pairs", "has_pairs"),
        ("training_pairs", "balanced_orientation"),
        ("training_pairs", "no_leaks"),
        ("training_pairs", "newer_wins"),
        ("training_pairs", "guide_sizes"),
        ("training_pairs", "label_reliability"),
        ("training_pairs", "counts_are_fresh"),
        ("embeddings", "coverage"),
        ("embeddings", "norms"),
        ("embeddings", "duplicates"),
        ("embeddings", "drift"),
        ("trained_model", "learning"),
    }


def test_the_code_location_loads_without_heavy_modules_and_without_secrets():
    code = (
        "import sys; import thumbrank_dagster.definitions; "
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'mlflow', 'googleapiclient', 'sklearn', 'matplotlib'}; "
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_dagster_gets_psycopg2_whatever_the_url_says():
    for url in ("postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"):
        assert psycopg2_url(url) == "postgresql+psycopg2://u:p@h/d"


def test_the_instance_file_is_valid_and_holds_no_secret(tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("DAGSTER_PG_URL", psycopg2_url(database_url))
    folder = write_config(tmp_path, postgres=True)
    password = database_url.split(":")[2].split("@")[0]
    for name in ("dagster.yaml", "command-line.yaml"):
        assert password not in (folder / name).read_text()
        with dg.DagsterInstance.from_config(str(folder), name) as instance:
            assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
            assert not instance.telemetry_enabled


@pytest.fixture
def state(tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path))
    return tmp_path


def run(definitions, asset, niche=None):
    job = "refresh_niche" if asset in NICHE_ASSETS else "train_and_deploy"
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.resolve_job_def(job).execute_in_process(
            partition_key=niche, instance=instance, asset_selection=[dg.AssetKey(asset)], raise_on_error=False
        )


def test_collection_without_a_key_fails_with_the_variable_s_name(definitions, state):
    result = run(definitions, "raw_videos", "tech")
    assert not result.success
    [failure] = result.get_step_failure_events()
    assert "YOUTUBE_API_KEY is not set" in failure.step_failure_data.user_failure_data.description


def test_training_on_an_empty_database_names_the_niche_and_the_step(definitions, state):
    result = run(definitions, "trained_model")
    [failure] = result.get_step_failure_events()
    assert "tech has no training pairs" in failure.step_failure_data.user_failure_data.description


def test_a_niche_without_pairs_stops_at_its_blocking_check(definitions, state):
    result = run(definitions, "training_pairs", "tech")
    assert not result.success
    evaluations = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert not evaluations.pop("has_pairs")
    assert not evaluations.pop("guide_sizes")
    assert set(evaluations.values()) == {True}


def test_collecting_a_niche_through_dagster_reports_counts_and_a_version(definitions, state, simulator, monkeypatch):
    monkeypatch.setenv("YOUTUBE_API_KEY", "simulator")
    monkeypatch.setenv("YOUTUBE_API_ENDPOINT", simulator.endpoint)
    result = run(definitions, "raw_videos", "tech")
    assert result.success
    [event] = result.get_asset_materialization_events()
    materialised = event.step_materialization_data.materialization
    assert materialised.metadata["dagster/partition_row_count"].value > 50
    assert materialised.metadata["collection"].value == "complete"
    assert materialised.metadata["units"].value["default"] > 0
    assert materialised.tags["dagster/data_version"]
    assert os.environ["YOUTUBE_API_KEY"] == "simulator"
