"""Runs of the graph: what they leave behind for whoever opens the UI. How they fail is test_dagster_failures.py, the graph's own
shape tests/unit/test_graph.py.
"""

import base64

import dagster as dg
import psycopg
import pytest
from psycopg import sql

from tests.integration.collecting import KEY
from thumbrank_core.simulator.server import SimulatorServer
from thumbrank_core.simulator.world import WorldSettings
from thumbrank_dagster.build import build_defs
from thumbrank_dagster.defs.operations.jobs import NICHE_ASSETS
from thumbrank_dagster.instance import psycopg2_url, write_config
from thumbrank_dagster.resources.mlflow import MlflowResource

WORLD = WorldSettings(seed=3, niches=("tech",), channels_per_niche=6, videos_per_channel=14)
LARGEST_PLOT = 60_000
"""Bytes of base64: each lies in Dagster's database, for every niche and run."""


@pytest.fixture(scope="module")
def definitions():
    return build_defs()


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


@pytest.fixture(scope="module")
def refreshed(definitions, postgres, migrated_template, tmp_path_factory):
    """One niche through all of its assets: its database, what each asset said, and everything that Dagster wrote down."""
    url = postgres.create_database("dagster_refreshed", template=migrated_template)
    with (
        SimulatorServer(WORLD) as server,
        pytest.MonkeyPatch.context() as patch,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        for name, value in {
            "DATABASE_URL": url,
            "THUMBRANK_HOME": str(tmp_path_factory.mktemp("refreshed")),
            "YOUTUBE_API_KEY": KEY,
            "YOUTUBE_API_ENDPOINT": server.endpoint,
        }.items():
            patch.setenv(name, value)
        result = definitions.resolve_job_def("refresh_niche").execute_in_process(
            partition_key="tech",
            instance=instance,
            run_config={"ops": {"embeddings": {"config": {"encoders": "tiny"}}}},
        )
        logged = "\n".join(dg.serialize_value(record.event_log_entry) for record in _records(instance, result.run_id))
    said = {}
    for event in result.get_asset_materialization_events():
        materialised = event.step_materialization_data.materialization
        said[materialised.asset_key.to_user_string()] = materialised
    return url, said, logged


def _records(instance, run_id):
    return instance.get_records_for_run(run_id, limit=10_000).records


def test_collecting_a_niche_reports_counts_and_a_version(refreshed):
    _, said, _ = refreshed
    raw = said["raw_videos"]
    assert raw.metadata["dagster/partition_row_count"].value > 50
    assert raw.metadata["collection"].value == "complete"
    assert raw.metadata["units"].value["default"] > 0
    assert raw.tags["dagster/data_version"]


@pytest.mark.parametrize("asset", NICHE_ASSETS)
def test_every_niche_asset_shows_its_table(refreshed, asset):
    url, said, _ = refreshed
    metadata = said[asset].metadata
    assert metadata["niche"].value == "tech"
    assert metadata["dagster/partition_row_count"].value > 0
    table, columns = metadata["dagster/table_name"].value, metadata["dagster/column_schema"].value.columns
    with psycopg.connect(url) as connection:
        statement = sql.SQL("select * from {} limit 0").format(sql.Identifier(*table.split(".")))
        names = [column.name for column in connection.execute(statement).description or ()]
    assert [column.name for column in columns] == names
    nullable = {column.name for column in columns if column.constraints.nullable}
    rates = metadata["null_rates"].value if nullable else {}
    assert set(rates) == nullable
    assert all(0 <= rate <= 1 for rate in rates.values())


@pytest.mark.parametrize("asset", NICHE_ASSETS)
def test_the_query_that_an_asset_shows_runs_as_the_reader(refreshed, asset):
    url, said, _ = refreshed
    with psycopg.connect(url) as connection:
        connection.execute("set role thumbrank_reader")
        rows = connection.execute(said[asset].metadata["sample_sql"].value).fetchall()
    assert 0 < len(rows) <= 20


def test_figures_have_as_many_digits_as_a_person_reads(refreshed):
    _, said, _ = refreshed
    for materialised in said.values():
        for name, value in materialised.metadata.items():
            found = value.value.values() if isinstance(value.value, dict) else [value.value]
            for each in found:
                if isinstance(each, float) and not isinstance(value, dg.TimestampMetadataValue):
                    assert len(f"{each:g}") <= 8 and each == float(f"{each:.6g}"), (name, each)


def test_plots_stand_where_there_is_something_to_see_and_are_small(refreshed):
    _, said, _ = refreshed
    found = {
        (asset, name): value.value
        for asset, materialised in said.items()
        for name, value in materialised.metadata.items()
        if isinstance(value, dg.MarkdownMetadataValue) and "base64," in value.value
    }
    assert set(found) == {
        ("raw_videos", "published"),
        ("channel_baselines", "criteria_plot"),
        ("training_pairs", "growth"),
    }
    for place, text in found.items():
        picture = text.partition("base64,")[2].rstrip(")")
        assert base64.b64decode(picture).startswith(b"\x89PNG"), place
        assert len(picture) < LARGEST_PLOT, place


def test_no_title_and_no_id_of_collected_data_is_in_what_dagster_keeps(refreshed):
    """Retention cannot reach Dagster's events: what a creator has us forget must never have been there."""
    url, _, logged = refreshed
    with psycopg.connect(url) as connection:
        ours = connection.execute(
            "select video_id from thumbrank.thumbnails union select title from thumbrank.thumbnails "
            "union select channel_id from thumbrank.channels union select title from thumbrank.channels"
        ).fetchall()
    assert len(ours) > 100
    assert "dagster/partition_row_count" in logged
    for (text,) in ours:
        assert text not in logged
    assert KEY not in logged


def test_a_run_is_linked_to_its_mlflow_page_and_never_with_a_password(state, monkeypatch):
    from mlflow.tracking import MlflowClient

    (state / "mlflow").mkdir()
    client = MlflowClient(f"sqlite:///{state / 'mlflow' / 'mlflow.db'}")
    made = client.create_run(client.create_experiment("thumbrank"))
    mlflow = MlflowResource()
    assert mlflow.run_link(made.info.run_id) == dg.MetadataValue.text(made.info.run_id), "a file has no pages"
    for address, shown in (
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://name:word@mlflow.example.com/team/", "https://mlflow.example.com/team"),
    ):
        monkeypatch.setenv("THUMBRANK_MLFLOW_URL", address)
        page = f"{shown}/#/experiments/{made.info.experiment_id}/runs/{made.info.run_id}"
        assert mlflow.run_link(made.info.run_id) == dg.MetadataValue.url(page)
