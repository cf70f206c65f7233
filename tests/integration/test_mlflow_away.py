"""An MLflow that is away, in a run of Dagster: neither the run's log nor what an alert says of it repeats the login."""

import dagster as dg

from thumbrank_dagster.defs.operations.alerts import why
from thumbrank_dagster.failures import one_sentence
from thumbrank_dagster.resources.mlflow import MlflowResource

SECRET = "s3cret-w0rd"


@dg.asset
def asks_mlflow(mlflow: MlflowResource) -> None:
    with one_sentence():
        mlflow.registry().challenger()


def test_a_failed_run_says_which_mlflow_is_away_and_not_with_which_password(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("MLFLOW_TRACKING_URI", f"http://team:{SECRET}@127.0.0.1:1"),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0"),
        ("MLFLOW_TRACKING_USERNAME", ""),
        ("MLFLOW_TRACKING_PASSWORD", ""),
    ):
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [asks_mlflow], resources={"mlflow": MlflowResource()}, instance=instance, raise_on_error=False
        )
        assert not done.success
        kept = "\n".join(entry.to_json() for entry in instance.all_logs(done.run_id))
        run = instance.get_run_by_id(done.run_id)
        assert run is not None
        said = why(instance, run)
    assert "MLflow at http://127.0.0.1:1 gives no answer that serves" in said
    assert "API request to http://127.0.0.1:1/api" in kept, "the traceback is kept"
    assert SECRET not in kept + said
