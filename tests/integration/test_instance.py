"""The instance file, `thumbrank init`, and the limits of pools, against Dagster's own validators and a real Postgres."""

import os
import re
import secrets
import subprocess
import sys

import dagster as dg
import docker
import httpx
import psycopg
import pytest
import yaml
from dagster._config import process_config
from dagster._core.instance.config import dagster_instance_config
from dagster_docker import DockerRunLauncher
from dagster_k8s import K8sRunLauncher
from docker.models.containers import Container
from psycopg import sql
from pydantic import SecretStr

from thumbrank_core.settings import Settings, SettingsError
from thumbrank_core.store.errors import StoreError
from thumbrank_core.store.provision import create_missing, database_spec
from thumbrank_dagster.instance import psycopg2_url, write_config
from thumbrank_dagster.instance_file import LAUNCHERS, RUN_VARIABLES
from thumbrank_dagster.setup import named_databases, plan_init, run_init, set_pools


@pytest.fixture(autouse=True)
def environment_as_before():
    """`thumbrank init` is a command: it sets what its own process has to see."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("postgres", [True, False])
@pytest.mark.parametrize("name", ["dagster.yaml", "command-line.yaml"])
def test_every_variant_is_valid_by_dagster_s_own_validator(tmp_path, monkeypatch, launcher, postgres, name):
    monkeypatch.setenv("DAGSTER_PG_URL", "postgresql+psycopg2://u:p@h/d")
    folder = write_config(tmp_path, postgres=postgres, launcher=launcher)
    config, _ = dagster_instance_config(str(folder), name)
    assert config["telemetry"] == {"enabled": False}
    assert ("storage" in config) == postgres
    assert config["run_retries"]["retry_on_asset_or_op_failure"] is False


@pytest.mark.parametrize(("launcher", "kind"), [("docker", DockerRunLauncher), ("k8s", K8sRunLauncher)])
def test_a_launcher_s_own_part_is_valid_and_names_variables_only(tmp_path, monkeypatch, launcher, kind):
    monkeypatch.setenv("THUMBRANK_RUN_IMAGE", "thumbrank:0.1.0")
    monkeypatch.setenv("THUMBRANK_RUN_NETWORK", "thumbrank-backend")
    monkeypatch.setenv("THUMBRANK_RUN_NAMESPACE", "thumbrank")
    folder = write_config(tmp_path, postgres=True, launcher=launcher)
    part = yaml.safe_load((folder / "dagster.yaml").read_text())["run_launcher"]
    assert getattr(__import__(part["module"]), part["class"]) is kind
    done = process_config(kind.config_type(), part["config"])
    assert done.success, done.errors
    assert not [name for name in part["config"].get("env_vars", []) if "=" in name]


def test_the_docker_launcher_is_made_from_the_file_and_finds_its_variables(tmp_path, monkeypatch):
    for name in RUN_VARIABLES:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("THUMBRANK_RUN_IMAGE", "thumbrank:0.1.0")
    monkeypatch.setenv("THUMBRANK_RUN_NETWORK", "thumbrank-backend")
    write_config(tmp_path, postgres=False, launcher="docker")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_launcher, DockerRunLauncher)
        assert instance.run_launcher.networks == ["thumbrank-backend"]
        assert instance.run_launcher.supports_check_run_worker_health
        assert instance.run_monitoring_max_resume_run_attempts == 0


def named(text):
    """The variables that a file of Dagster's asks for."""
    return set(re.findall(r"\{env: (\w+)\}", text))


def test_a_run_of_its_own_is_given_every_variable_that_the_file_names(tmp_path):
    docker = (write_config(tmp_path, postgres=True, launcher="docker") / "dagster.yaml").read_text()
    assert named(docker) == {"DAGSTER_PG_URL", "THUMBRANK_RUN_IMAGE", "THUMBRANK_RUN_NETWORK"}
    assert named(docker) <= set(RUN_VARIABLES)
    k8s = (write_config(tmp_path, postgres=True, launcher="k8s") / "dagster.yaml").read_text()
    given = set(yaml.safe_load(k8s)["run_launcher"]["config"]["env_vars"]) | {"DAGSTER_PG_URL"}  # it is in the Secret
    assert named(k8s) == given
    process = (write_config(tmp_path, postgres=True, launcher="process") / "dagster.yaml").read_text()
    assert named(process) == {"DAGSTER_PG_URL"}


def test_a_run_in_a_container_knows_the_instance_s_launcher(tmp_path, monkeypatch):
    """`daily_inventory` asks for it, and Dagster makes it of the file, in the run's own environment."""
    for name in os.environ:
        if name.startswith("THUMBRANK_"):
            monkeypatch.delenv(name)
    for name in RUN_VARIABLES:
        monkeypatch.setenv(name, "given")
    write_config(tmp_path, postgres=False, launcher="docker")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_launcher.supports_check_run_worker_health


def test_a_container_that_is_terminated_has_as_long_as_run_monitoring_gives_it(tmp_path, monkeypatch):
    for name in RUN_VARIABLES:
        monkeypatch.setenv(name, "given")
    write_config(tmp_path, postgres=False, launcher="docker")
    asked = []

    class Api(docker.APIClient):
        """Docker's own client up to the wire."""

        def __init__(self):
            super().__init__(base_url="tcp://127.0.0.1:1", version="1.45")

        def _post(self, url, **how):
            asked.append((url.rpartition("/containers")[2], how["params"], how["timeout"]))
            return httpx.Response(204, request=httpx.Request("POST", url))

    @dg.job(name="some_job")
    def job():
        pass

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run = instance.create_run_for_job(job, tags={"docker/container_id": "some-container"})
        client = docker.DockerClient.__new__(docker.DockerClient)
        client.api = Api()
        container = Container({"Id": "some-container"}, client=client)
        monkeypatch.setattr(DockerRunLauncher, "_get_container", lambda *_: container)
        assert instance.run_launcher.terminate(run.run_id)
        [(path, params, patience)] = asked
        assert (path, params) == ("/some-container/stop", {"t": instance.run_monitoring_cancel_timeout_seconds})
        assert patience > params["t"], "or the client gives up before the container has ended"


def test_every_number_of_the_file_has_its_reason_above_it(tmp_path):
    lines = (write_config(tmp_path, postgres=True) / "dagster.yaml").read_text().splitlines()
    reason = False
    for line in lines:
        key, _, value = line.strip().partition(": ")
        if line.strip().startswith("#"):
            reason = True
        elif not line.strip():
            reason = False  # a reason reaches to the end of its block
        elif value[:1].isdigit() or value.startswith("{"):
            assert reason, f"{key} has a number and no reason"


def test_pools_without_a_limit_get_one_and_a_team_s_own_stays_and_is_said(tmp_path):
    write_config(tmp_path, postgres=False)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.event_log_storage.set_concurrency_slots("gpu", 4)  # as `dagster instance concurrency set gpu 4`
        said = ["pool youtube_api: 1 (it had no limit of its own)", "pool gpu: 4, as somebody set it (ours would be 1)"]
        assert set_pools(instance) == said
        assert set_pools(instance) == ["pool youtube_api: 1", said[1]]
        limits = {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
    assert limits == {"youtube_api": 1, "gpu": 4}


@pytest.fixture
def server(postgres):
    """Settings of a server with an administrator, and neither a role nor a database yet; what is made is dropped afterwards."""
    word = secrets.token_hex(3)
    admin = postgres.url("postgres")
    names = [f"{kind}_{word}" for kind in ("thumbrank", "dagster", "mlflow")]
    place = admin.partition("@")[2].partition("/")[0]
    urls = [f"postgresql://{name}:{secrets.token_hex(8)}@{place}/{name}" for name in names]
    yield (
        names,
        {
            "admin_database_url": SecretStr(admin),
            "database_url": SecretStr(urls[0]),
            "dagster_pg_url": SecretStr(psycopg2_url(urls[1])),
            "mlflow_backend_url": SecretStr(psycopg2_url(urls[2])),
        },
    )
    with psycopg.connect(admin, autocommit=True) as connection:
        for name in names:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(name)))


def test_init_prepares_an_empty_server_and_is_safe_to_repeat(server, tmp_path, monkeypatch):
    names, urls = server
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    settings = Settings(THUMBRANK_HOME=tmp_path).model_copy(update=urls)
    planned = list(plan_init(settings))
    assert [line for line in planned if "create" in line] == [
        f"would create the {kind} {name}" for kind in ("role", "database") for name in names
    ]
    assert any(line.startswith("would apply 2026") for line in planned)
    assert not (tmp_path / "dagster").exists(), "a plan writes nothing"
    run_init(settings)
    left = list(plan_init(settings))
    assert not [line for line in left if "create" in line or "apply" in line or "write" in line]
    with psycopg.connect(urls["admin_database_url"].get_secret_value()) as connection:
        rows = connection.execute(
            "select datname, rolname, rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls, "
            "rolpassword like 'SCRAM-SHA-256$%%' from pg_database join pg_authid on datdba = pg_authid.oid where datname = any(%s)",
            [names],
        )
        assert sorted(rows.fetchall()) == sorted((name, name, False, True) for name in names)
    run_init(settings)
    text = (tmp_path / "dagster" / "dagster.yaml").read_text()
    assert "DAGSTER_PG_URL" in text
    for url in urls.values():
        assert url.get_secret_value().split(":")[2].split("@")[0] not in text
    with psycopg.connect(urls["mlflow_backend_url"].get_secret_value().replace("+psycopg2", "")) as connection:
        assert connection.execute("select to_regclass('registered_models') is not null").fetchone() == (True,)


def test_init_without_a_server_uses_the_embedded_one_and_a_plan_does_not_make_it(tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "THUMBRANK_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "thumbrank_dagster", "init", "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "would apply" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_two_variables_for_one_database_are_refused():
    url = SecretStr("postgresql://u:secret@h:5432/thumbrank")
    settings = Settings().model_copy(update={"database_url": url, "dagster_pg_url": url})
    with pytest.raises(SettingsError, match="DAGSTER_PG_URL and DATABASE_URL name the same database") as caught:
        named_databases(settings)
    assert "secret" not in str(caught.value)


def test_an_administrator_without_a_database_is_refused():
    settings = Settings().model_copy(update={"admin_database_url": SecretStr("postgresql://u:p@h/postgres")})
    with pytest.raises(SettingsError, match="DATABASE_URL is not"):
        named_databases(settings)


def test_a_role_of_one_database_reads_no_other_and_the_reader_is_made_without_it(server, tmp_path):
    names, urls = server
    run_init(Settings(THUMBRANK_HOME=tmp_path).model_copy(update=urls))
    own = {name: url.get_secret_value().replace("+psycopg2", "") for name, url in urls.items()}
    foreign = own["mlflow_backend_url"].rpartition("/")[0] + f"/{names[0]}"
    with psycopg.connect(foreign) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select * from thumbrank.channels")
    with psycopg.connect(own["database_url"]) as connection:
        reads = "select has_table_privilege('thumbrank_reader', 'thumbrank.videos', 'select')"
        assert connection.execute(reads).fetchone() == (True,)


def test_a_role_that_is_there_keeps_its_password(server):
    names, urls = server
    admin = urls["admin_database_url"].get_secret_value()
    url = urls["database_url"].get_secret_value()
    made = create_missing(admin, [database_spec("DATABASE_URL", url)])
    assert (made.roles, made.databases) == ((names[0],), (names[0],))
    other = url.replace(url.split(":")[2].split("@")[0], "another")
    made = create_missing(admin, [database_spec("DATABASE_URL", other)])
    assert (made.roles, made.databases) == ((), ())
    with psycopg.connect(url) as connection:
        assert connection.execute("select current_user").fetchone() == (names[0],)
    assert url.split(":")[2].split("@")[0] not in repr(database_spec("DATABASE_URL", url))


def test_an_administrator_that_is_no_superuser_makes_roles_and_their_databases(server, postgres):
    names, urls = server
    admin = urls["admin_database_url"].get_secret_value()
    role = f"maker_{secrets.token_hex(3)}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create role {} login password 'maker' createdb createrole").format(sql.Identifier(role))
        )
    try:
        maker = admin.replace(admin.split("//")[1].split("@")[0], f"{role}:maker")
        made = create_missing(maker, [database_spec("DATABASE_URL", urls["database_url"].get_secret_value())])
        assert made.databases == (names[0],)
        with psycopg.connect(urls["database_url"].get_secret_value()) as connection:
            connection.execute("create schema thumbrank")
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(names[0])))
            connection.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(names[0])))
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def test_a_role_that_may_not_create_and_an_owner_that_is_not_there_are_named(postgres):
    role = f"plain_{secrets.token_hex(3)}"
    admin = postgres.url("postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("create role {} login password 'plain'").format(sql.Identifier(role)))
    try:
        limited = admin.replace(admin.split("//")[1].split("@")[0], f"{role}:plain")
        with pytest.raises(StoreError, match="give it CREATEDB"):
            create_missing(limited, [database_spec("DATABASE_URL", "postgresql://h/never_made")])
        with pytest.raises(StoreError, match="give it CREATEROLE") as caught:
            create_missing(limited, [database_spec("DATABASE_URL", "postgresql://nobody_here:secret@h/never_made")])
        assert "secret" not in str(caught.value)
        wrong = admin.replace(admin.split("//")[1].split("@")[0], f"{role}:wrong")
        with pytest.raises(StoreError, match="THUMBRANK_ADMIN_DATABASE_URL") as caught:
            create_missing(wrong, [])
        assert "wrong" not in str(caught.value)
        with pytest.raises(StoreError, match="The role nobody_here"):
            create_missing(admin, [database_spec("DATABASE_URL", "postgresql://nobody_here@h/never_made")])
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def test_a_url_without_a_database_is_named_and_not_repeated():
    for url in ("postgresql://u:secret@h", "postgresql://u:sec%ret@h/d"):
        with pytest.raises(StoreError, match="DAGSTER_PG_URL names no database") as caught:
            database_spec("DAGSTER_PG_URL", url)
        assert "sec" not in str(caught.value)
