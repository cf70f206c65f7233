"""docker-compose.yml, Dockerfile and what stands beside them, checked without an engine.

The schema is the Compose Specification's (github.com/compose-spec/compose-spec, Apache-2.0), as the package check-jsonschema
carries it. It knows keys and types; that what is named also exists is checked here. The rest is tests/e2e/test_composed.py.
"""

import json
import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.e2e.compose import MissingVariable, image_environment, interpolate
from thumbrank_core.settings import Settings
from thumbrank_dagster import instance_file
from thumbrank_dagster.instance_file import RUN_VARIABLES, STATE_FOLDER, STATE_VOLUME

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
PASSWORDS = {
    "admin": "POSTGRES_PASSWORD",
    "thumbrank": "THUMBRANK_DB_PASSWORD",
    "dagster": "DAGSTER_DB_PASSWORD",
    "mlflow": "MLFLOW_DB_PASSWORD",
}
"""Role -> the variable of its password."""
REQUIRED = {name: f"pw-of-{role}" for role, name in PASSWORDS.items()} | {"YOUTUBE_API_KEY": "key"}
SOCKET = "/var/run/docker.sock"

OTHERS = {
    "postgres' image": {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"},
    "MLflow's server": {
        "MLFLOW_ARTIFACTS_DESTINATION",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
        "MLFLOW_SERVER_ALLOWED_HOSTS",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
    },
    "Dagster, through dagster.yaml": {"THUMBRANK_RUN_IMAGE", "THUMBRANK_RUN_NETWORK"},
    "Docker's client": {"DOCKER_HOST"},
    "Docker's process 1": {"TINI_KILL_PROCESS_GROUP"},
    "S3's client": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"},
    "the socket's proxy": {"CONTAINERS", "IMAGES", "NETWORKS", "POST", "ALLOW_START", "ALLOW_STOP"},
}
IN_THE_FILE_ALONE = {
    *PASSWORDS.values(),
    "THUMBRANK_VERSION",
    "THUMBRANK_DAGSTER_PORT",
    "THUMBRANK_MLFLOW_PORT",
    "THUMBRANK_DEMO_CHANNELS",
    "THUMBRANK_DEMO_VIDEOS",
    "TORCH_INDEX_URL",
    "DOCKER_GID",
}
"""Names that only Compose puts in; .env.example lists them in a section of their own."""


@pytest.fixture(scope="module")
def compose():
    return interpolate(yaml.safe_load(TEXT), REQUIRED)


@pytest.fixture(scope="module")
def services(compose):
    return compose["services"]


def test_it_follows_the_compose_specification(compose):
    schema = json.loads((files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json").read_text())
    jsonschema.validate(compose, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(compose | {"services": {"code": {"comand": ["x"]}}}, schema)


def test_what_a_service_refers_to_exists(compose, services):
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in services, name
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for the health of {other}"
            if how["condition"] == "service_completed_successfully":
                assert services[other]["restart"] == "no", f"{name} waits for the end of {other}"
            assert not set(services[other].get("profiles", [])) - set(service.get("profiles", [])), name
        assert set(service.get("networks", [])) <= set(compose["networks"]), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or source == SOCKET, f"{name}: {volume}"
        if "network_mode" in service:
            kind, _, other = service["network_mode"].partition(":")
            assert (kind, other in services, "networks" in service) == ("service", True, False), name
    for name in set(compose["networks"]):
        assert any(name in service.get("networks", []) for service in services.values()), f"nobody is in {name}"
    for name in compose["volumes"]:
        assert any(f"{name}:" in " ".join(service.get("volumes", [])) for service in services.values()), name


def test_services_name_each_other_by_names_that_exist_in_a_network_they_share(services):
    for name, service in services.items():
        for value in (service.get("environment") or {}).values():
            for host in re.findall(r"(?://|@)([a-z-]+):\d+", str(value or "")):
                assert host in services, f"{name} names {host}"
                assert set(services[host].get("networks", [])) & set(service["networks"]), f"{name} cannot reach {host}"


def test_every_port_is_published_on_127_0_0_1_only(services):
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert sorted(published) == ["127.0.0.1:3000:3000", "127.0.0.1:5000:5000"]
    assert not [name for name, service in services.items() if service.get("network_mode") == "host"]


def test_there_is_no_secret_in_any_file_and_those_needed_are_asked_for():
    for name in REQUIRED:
        rest = {other: value for other, value in REQUIRED.items() if other != name}
        with pytest.raises(MissingVariable, match=name):
            interpolate(yaml.safe_load(TEXT), rest)
    for line in TEXT.splitlines():
        key, _, value = line.strip().partition(": ")
        if re.search(r"PASSWORD|KEY|SECRET|TOKEN|WEBHOOK", key) and value and re.fullmatch(r"[A-Z_]+", key):
            assert value.startswith("${"), line
    for role, found in re.findall(r"://([^/\s:]+):([^@\s]+)@", TEXT):
        assert found.startswith(f"${{{PASSWORDS[role]}:?")
    assert not re.search(r"(ENV|ARG) \S*(KEY|PASSWORD|SECRET|TOKEN)", (ROOT / "Dockerfile").read_text())


def test_no_command_and_no_health_check_holds_a_variable_that_is_a_secret():
    for service in yaml.safe_load(TEXT)["services"].values():
        spoken = [*service.get("command", []), *service.get("healthcheck", {}).get("test", [])]
        assert set(re.findall(r"\$\{([A-Z_]+)", " ".join(spoken))) <= {
            "THUMBRANK_DEMO_CHANNELS",
            "THUMBRANK_DEMO_VIDEOS",
        }


def test_the_docker_socket_is_in_one_profile_only(services):
    holders = [name for name, service in services.items() if SOCKET in json.dumps(service)]
    assert holders == ["docker-socket"]
    assert services["docker-socket"]["profiles"] == ["docker-runs"]
    assert services["docker-socket"]["networks"] == ["docker-socket"]
    reaching = {name for name, service in services.items() if "docker-socket" in service.get("networks", [])}
    assert reaching == {"docker-socket", "daemon", "webserver"}


def test_images_are_pinned_and_nobody_is_root(services):
    images = {service["image"] for service in services.values()}
    images |= set(re.findall(r"^FROM (\S+) AS", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    for image in images:
        name, _, tag = image.partition(":")
        assert re.match(r"\d+\.\d+", tag), f"{name} is not pinned"
    for name, service in services.items():
        assert service["user"].split(":")[0] not in ("root", "0"), name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service
    assert re.search(r"^USER 10001:10001$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_every_service_that_stays_has_a_health_check(services):
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"init"}


def test_every_variable_is_somebody_s(services):
    ours = {field.alias for field in Settings.model_fields.values()}
    known = ours.union(*OTHERS.values())
    for name, service in services.items():
        assert set(service.get("environment") or {}) <= known, name
    named = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", TEXT))
    assert named <= ours | IN_THE_FILE_ALONE
    assert named >= IN_THE_FILE_ALONE
    listed = set(re.findall(r"^# +([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert named <= listed


def test_the_image_and_dagster_s_file_agree_with_it(compose, services):
    image = image_environment()
    assert image["THUMBRANK_DEPLOYMENT"] == "server"
    assert (image["THUMBRANK_HOME"], image["DAGSTER_HOME"]) == (STATE_FOLDER, f"{STATE_FOLDER}/dagster")
    assert compose["volumes"]["state"]["name"] == STATE_VOLUME
    assert set(RUN_VARIABLES) <= set(services["daemon"]["environment"]), "Dagster launches no container without them"
    assert all(services["daemon"]["environment"][name] is not None for name in RUN_VARIABLES)
    network = services["daemon"]["environment"]["THUMBRANK_RUN_NETWORK"]
    assert compose["networks"]["backend"]["name"] == network
    for name in ("init", "code", "daemon", "webserver"):
        assert f"state:{STATE_FOLDER}" in services[name]["volumes"], name


def test_only_those_see_a_key_who_use_it(services):
    seeing = {name for name, service in services.items() if "YOUTUBE_API_KEY" in (service.get("environment") or {})}
    assert seeing == {"init", "code", "daemon"}
    admins = {
        name
        for name, service in services.items()
        if "THUMBRANK_ADMIN_DATABASE_URL" in (service.get("environment") or {})
    }
    assert admins == {"init"}


def test_every_database_has_a_role_of_its_own_and_the_superuser_is_init_s(services):
    databases = {}
    for name, service in services.items():
        for value in map(str, (service.get("environment") or {}).values()):
            for role, password, database in re.findall(r"://(\w+):([\w-]+)@postgres:5432/(\w+)", value):
                assert password == f"pw-of-{role}"
                databases.setdefault(database, set()).add(role)
                assert role != "admin" or name == "init"
    assert databases == {"postgres": {"admin"}} | {name: {name} for name in ("thumbrank", "dagster", "mlflow")}
    assert services["postgres"]["environment"]["POSTGRES_USER"] == "admin"
    knows = {name for name, service in services.items() if "pw-of-admin" in json.dumps(service)}
    assert knows == {"postgres", "init"}


def test_a_stop_reaches_the_runs_and_gives_them_the_time_that_run_monitoring_does(services):
    monitoring = yaml.safe_load(instance_file.text(postgres=True, launcher="process"))["run_monitoring"]
    assert services["code"]["init"] is True, "Docker's process 1 is tini"
    assert "TINI_KILL_PROCESS_GROUP" in services["code"]["environment"]
    assert services["code"]["stop_grace_period"] == f"{monitoring['cancel_timeout_seconds']}s"


def test_the_builder_gets_what_the_dockerfile_copies_and_nothing_else():
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        for word in line.split()[:-1]
    }
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


def test_the_workspace_names_the_code_location_s_address(services):
    [entry] = yaml.safe_load((ROOT / "deploy" / "workspace.yaml").read_text())["load_from"]
    server = entry["grpc_server"]
    command = services[server["host"]]["command"]
    assert command[command.index("-p") + 1] == str(server["port"])
    assert server["location_name"] == "thumbrank"


def test_the_proxy_asks_for_a_password_in_front_of_both_uis(services):
    text = (ROOT / "deploy" / "reverse-proxy" / "nginx.conf").read_text()
    published = {port.rsplit(":", 1)[0] for service in services.values() for port in service.get("ports", [])}
    upstreams = set(re.findall(r"proxy_pass http://(\S+);", text))
    assert upstreams == published
    servers = text.split("server {")[1:]
    for server in servers:
        if "proxy_pass" in server:
            assert "auth_basic_user_file" in server
            assert "ssl_certificate_key" in server
