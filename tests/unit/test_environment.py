"""Which environment variables the project reads: each is in .env.example, or stands below with the reason why not.

docker-compose.yml is held against .env.example by test_compose.py.
"""

import ast
import re
from pathlib import Path

import yaml

from thumbrank_core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
LISTED = set(re.findall(r"^# +([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))

ELSEWHERE = {
    # Told by whoever starts a process, never by a person in .env.
    "RANK": "torchrun and accelerate number their processes with it",
    "WORLD_SIZE": "torchrun and accelerate count their processes with it",
    "LOCAL_RANK": "torchrun and accelerate number the processes of one machine with it",
    "THUMBRANK_SIMULATOR_TOKEN": "a demo hands its simulator a token for one run",
    "JOB_COMPLETION_INDEX": "Kubernetes numbers the pods of an indexed job with it",
    "THUMBRANK_RUN_IMAGE": "docker-compose.yml and the chart say which image a run gets, dagster.yaml reads it",
    "THUMBRANK_RUN_NETWORK": "docker-compose.yml says in which network a run is, dagster.yaml reads it",
    "THUMBRANK_RUN_NAMESPACE": "the chart says in which namespace a run's job is, dagster.yaml reads it",
    # Other people's variables, with their meaning.
    "PG_BIN": "the programs of an installed Postgres for the embedded server, for distributions that hide them",
    "PATH": "where programs are",
    "OMP_NUM_THREADS": "OpenMP's: kept where somebody set it for the workers of a training",
    "HF_HOME": "the hub's own cache; named in one sentence of an error, and set by the chart",
    "PYTHONWARNINGS": "Python's own: what somebody set stays, and `thumbrank dev` adds what its programs warn of themselves",
    "NETRC": "where Weights & Biases finds its account",
}
"""Read and not in .env.example."""

SET_FOR_LIBRARIES = {
    "OMP_WAIT_POLICY": "OpenMP's workers sleep between two steps",
    "GOMP_SPINCOUNT": "the same, of GNU's OpenMP",
    "WANDB_ERROR_REPORTING": "Weights & Biases reports no error of ours",
    "OTEL_SDK_DISABLED": "nor does its telemetry",
    "DO_NOT_TRACK": "nobody's telemetry, where a library hears it (thumbrank_core/__init__.py)",
    "MLFLOW_DISABLE_TELEMETRY": "MLflow does not",
    "HF_HUB_DISABLE_TELEMETRY": "the hub's own word for it",
    "MLFLOW_TRACKING_USERNAME": "the login of MLFLOW_TRACKING_URI, which would stand in MLflow's errors",
    "MLFLOW_TRACKING_PASSWORD": "the same",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "MLflow draws no bars of its own",
    "OAUTHLIB_INSECURE_TRANSPORT": "for the length of one answer of a simulated Google on 127.0.0.1",
}
"""Written for other libraries, not read for ourselves."""


def reads(path):
    """Names of variables that a module asks os.environ for, by a text or a constant of the module; and those it only sets."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            key = node.slice
        elif isinstance(node, ast.Call) and re.fullmatch(
            r"os\.(getenv|environ\.(get|pop|setdefault))", ast.unparse(node.func)
        ):
            key = node.args[0]
        else:
            continue
        if isinstance(key, ast.Constant):
            yield key.value
        elif isinstance(key, ast.Name) and key.id in constants:
            yield constants[key.id]


def read_in(*packages):
    modules = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    # The simulator's client and server share a constant across modules.
    return {name for path in modules for name in reads(path)} | {"THUMBRANK_SIMULATOR_TOKEN"}


def named_in_deploy():
    """What the manifests give to our containers: env entries by name, and keys of the secrets that are said in a comment."""
    for path in sorted((ROOT / "deploy").rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield from names_below(document)


def names_below(node):
    if isinstance(node, dict):
        if re.fullmatch(r"[A-Z][A-Z_]+", str(node.get("name", ""))):
            yield node["name"]
        for value in node.values():
            yield from names_below(value)
    elif isinstance(node, list):
        for value in node:
            yield from names_below(value)
    elif isinstance(node, str):
        yield from re.findall(r"\$\(?\(?\{?([A-Z][A-Z_]{3,})", node)


def named_in_dagster_yaml():
    return set(re.findall(r"\benv: ([A-Z_]+)", (ROOT / "thumbrank_dagster" / "instance_file.py").read_text()))


def test_everything_that_is_read_is_listed_or_has_its_reason():
    read = read_in("thumbrank_core", "thumbrank_dagster") | set(named_in_deploy()) | named_in_dagster_yaml()
    ours = {field.alias for field in Settings.model_fields.values()}
    assert read - ours - LISTED - set(SET_FOR_LIBRARIES) == set(ELSEWHERE), (
        "list it in .env.example, or say here why not"
    )


def test_what_is_only_set_is_never_read_elsewhere():
    text = "\n".join(
        path.read_text() for name in ("thumbrank_core", "thumbrank_dagster") for path in (ROOT / name).rglob("*.py")
    )
    for name in SET_FOR_LIBRARIES:
        assert name in text
        assert f'environ["{name}"]' not in text
        assert f'environ.get("{name}"' not in text


def test_everything_that_is_listed_is_read():
    ours = {field.alias for field in Settings.model_fields.values()}
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    clients = {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "COMPOSE_PROFILES",
    }
    unread = {name for name in LISTED - ours - clients if f"${{{name}" not in compose}
    assert unread == set(), "take it out of .env.example"


def test_no_setting_is_read_past_settings():
    """One place reads the environment; the rest is handed down."""
    ours = {field.alias for field in Settings.model_fields.values()}
    assert read_in("thumbrank_core", "thumbrank_dagster") & ours == set()
