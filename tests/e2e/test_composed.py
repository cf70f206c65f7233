"""The services of docker-compose.yml as plain processes: they start in order, are healthy, work together, and stop."""

import httpx
import psycopg
import pytest

from tests.e2e import graphql, long_training
from tests.e2e.compose import PASSWORDS, LocalCompose
from tests.e2e.processes import left_behind, new_home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ENV = {
    "YOUTUBE_API_KEY": "simulator",
    "YOUTUBE_API_ENDPOINT": "http://127.0.0.1:8090",
    "THUMBRANK_ENCODERS": "tiny",
    "HF_HUB_OFFLINE": "1",
    "THUMBRANK_DEMO_CHANNELS": "48",
    "THUMBRANK_DEMO_VIDEOS": "14",
    "THUMBRANK_MLFLOW_URL": "https://mlflow.example.org",
}


@pytest.fixture(scope="module")
def server():
    """Everything but the Docker socket, in the file's order."""
    with new_home() as home:
        with LocalCompose(home, ENV) as compose:
            compose.start_postgres()
            first = compose.run("init", timeout=120)
            assert first.returncode == 0, first.stderr[-3000:]
            again = compose.run("init", timeout=120)
            assert again.returncode == 0, again.stderr[-3000:]
            compose.start("code")
            compose.start("mlflow")
            compose.wait_healthy("code")
            for service in ("simulator", "webserver", "daemon"):
                compose.start(service)
            for service in ("mlflow", "simulator", "webserver", "daemon"):
                compose.wait_healthy(service)
            yield compose, first.stdout, again.stdout
        assert compose.late == []
        assert left_behind(home) == []


def test_init_makes_three_databases_once(server):
    compose, first, again = server
    made = [
        f"created the {kind} {name}" for kind in ("role", "database") for name in ("thumbrank", "dagster", "mlflow")
    ]
    for text in (*made, "applied 2026", "pool youtube_api: 1"):
        assert text in first
    assert "created" not in again
    assert "applied" not in again
    assert "pool gpu: 1\n" in again
    url = compose.local(compose.file["services"]["init"]["environment"]["THUMBRANK_ADMIN_DATABASE_URL"])
    with psycopg.connect(url) as connection:
        rows = connection.execute("select datname, pg_get_userbyid(datdba) from pg_database where not datistemplate")
        owners = dict(rows.fetchall())
    assert {name: owners[name] for name in ("thumbrank", "dagster", "mlflow")} == {
        name: name for name in ("thumbrank", "dagster", "mlflow")
    }
    passwords = [compose.variables[name] for name in PASSWORDS]
    for text in (first, again, *(path.read_text() for path in compose.home.rglob("*.yaml"))):
        assert not [password for password in passwords if password in text]


def test_the_webserver_knows_the_location_and_the_pools(server):
    compose, *_ = server
    found = graphql.ask(
        compose.url("webserver"),
        "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError { __typename } } } }"
        " instance { concurrencyLimits { concurrencyKey slotCount } runQueueConfig { maxConcurrentRuns } } }",
    )
    [location] = found["workspaceOrError"]["locationEntries"]
    assert location["name"] == "thumbrank"
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation"
    limits = {limit["concurrencyKey"]: limit["slotCount"] for limit in found["instance"]["concurrencyLimits"]}
    assert limits == {"youtube_api": 1, "gpu": 1}
    assert found["instance"]["runQueueConfig"]["maxConcurrentRuns"] == 2


def test_mlflow_answers_by_its_name_and_takes_writes_from_its_own_page_alone(server):
    compose, *_ = server
    search = f"{compose.url('mlflow')}/ajax-api/2.0/mlflow/experiments/search"

    def post(**headers):
        return httpx.post(search, json={"max_results": 1}, headers=headers, timeout=30, trust_env=False).status_code

    assert post(host="mlflow:5000") == 200
    assert post(host="evil.example.org") == 403
    assert post(host="mlflow:5000", origin="https://mlflow.example.org") == 200
    assert post(host="mlflow:5000", origin="https://evil.example.org") == 403


def test_a_niche_is_refreshed_and_a_model_trained_through_queue_daemon_and_code_location(server):
    compose, *_ = server
    base = compose.url("webserver")
    refreshed = graphql.launch(base, "refresh_niche", {"dagster/partition": "tech"})
    assert graphql.wait_for_end(base, refreshed, patience=240) == "SUCCESS", compose.log("code").read_text()[-3000:]
    training = {"niches": ["tech"], "encoders": "tiny", "recipe": "default", "overrides": {"epochs": 2}}
    config = {"ops": {"trained_model": {"config": training}}}
    trained = graphql.launch(base, "train_and_deploy", {}, config)
    assert graphql.wait_for_end(base, trained, patience=240) == "SUCCESS", compose.log("code").read_text()[-3000:]
    mlflow = f"{compose.url('mlflow')}/api/2.0/mlflow"
    [version] = httpx.get(f"{mlflow}/model-versions/search", trust_env=False).json()["model_versions"]
    listed = httpx.get(f"{mlflow}/artifacts/list", params={"run_id": version["run_id"]}, trust_env=False).json()
    assert listed["files"], "MLflow's server shows what the training kept on the shared volume"


def test_a_stop_lets_a_training_write_its_checkpoint_and_after_the_next_start_it_goes_on(server):
    compose, *_ = server
    base, services = compose.url("webserver"), ("code", "simulator", "webserver", "daemon")
    run_id = long_training.launch(base, compose.home)
    compose.stop_services(*reversed(services))
    assert compose.late == [], "a training that nobody told to stop goes on for hours"
    stood = long_training.epoch(compose.home)
    for service in services:
        compose.start(service)
    for service in services:
        compose.wait_healthy(service)
    assert graphql.wait_for_end(base, run_id, patience=30) == "FAILURE"
    log = compose.log("code")
    long_training.wait_until(lambda: "Continuing from" in log.read_text(), long_training.RETRIED_WITHIN)
    compose.stop_services(*reversed(services))
    assert long_training.epoch(compose.home) >= stood, "it went on from there, however soon it was stopped again"
