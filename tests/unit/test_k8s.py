"""What a Kubernetes cluster would be given: keys that the chart has, pods that Kubernetes knows, sizes for every asset.

No cluster is asked: docs/scaling.md says what that leaves open.
"""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import kubernetes.client
import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema
from dagster_k8s.job import UserDefinedDagsterK8sConfig
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict

from thumbrank_core.launch import Nodes
from thumbrank_dagster import pod_sizes
from thumbrank_dagster.build import build_defs

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "k8s"

# What deploy/k8s/values.yaml may use, as read in github.com/dagster-io/dagster, helm/dagster: values.yaml at 835892b4 and the
# schema of `concurrency` at 0f2d9d8e (schema/schema/charts/dagster/subschema/concurrency.py). Helm drops a key that it does not
# know without a word. `...`: whatever Kubernetes or Dagster takes there.
IMAGE = {"repository": ..., "tag": ..., "pullPolicy": ...}
TICKS = {"purgeAfterDays": ...}
CHART = {
    "global": {"postgresqlSecretName": ..., "dagsterHome": ..., "serviceAccountName": ...},
    "generatePostgresqlPasswordSecret": ...,
    "generateCeleryConfigSecret": ...,
    "telemetry": {"enabled": ...},
    "postgresql": {
        "enabled": ...,
        "postgresqlHost": ...,
        "postgresqlUsername": ...,
        "postgresqlDatabase": ...,
        "postgresqlScheme": ...,
        "postgresqlParams": ...,
        "service": {"port": ...},
    },
    "dagsterWebserver": {"image": IMAGE, "service": {"type": ..., "port": ...}, "resources": ...},
    "dagster-user-deployments": {
        "enabled": ...,
        "enableSubchart": ...,
        "deployments": [
            {
                "name": ...,
                "image": IMAGE,
                "dagsterApiGrpcArgs": ...,
                "port": ...,
                "includeConfigInLaunchedRuns": {"enabled": ...},
                "env": ...,
                "envSecrets": [{"name": ...}],
                "volumes": ...,
                "volumeMounts": ...,
                "podSecurityContext": ...,
                "securityContext": ...,
                "resources": ...,
            }
        ],
    },
    "runLauncher": {
        "type": ...,
        "config": {"k8sRunLauncher": {"imagePullPolicy": ..., "resources": ..., "runK8sConfig": ...}},
    },
    "dagsterDaemon": {
        "enabled": ...,
        "image": IMAGE,
        "runCoordinator": {"enabled": ..., "type": ...},
        "runMonitoring": {
            "enabled": ...,
            "startTimeoutSeconds": ...,
            "cancelTimeoutSeconds": ...,
            "pollIntervalSeconds": ...,
            "maxResumeRunAttempts": ...,
            "freeSlotsAfterRunEndSeconds": ...,
        },
        "runRetries": {"enabled": ..., "maxRetries": ...},
        "resources": ...,
    },
    "concurrency": {
        "enabled": ...,
        "runs": {"maxConcurrentRuns": ..., "tagConcurrencyLimits": ...},
        "pools": {"defaultLimit": ..., "granularity": ..., "opGranularityRunBuffer": ...},
    },
    "retention": {"enabled": ..., "schedule": TICKS, "sensor": TICKS, "autoMaterialize": TICKS},
    "additionalInstanceConfig": ...,
}


@pytest.fixture(scope="module")
def values():
    return yaml.safe_load((FOLDER / "values.yaml").read_text())


@pytest.fixture(scope="module")
def service_and_job():
    return list(yaml.safe_load_all((FOLDER / "training-nodes.yaml").read_text()))


def unknown(given, chart, where="") -> Iterator[str]:
    """Paths of keys that the chart does not have."""
    if isinstance(chart, Mapping):
        for key, value in given.items():
            if key in chart:
                yield from unknown(value, chart[key], f"{where}.{key}")
            else:
                yield f"{where}.{key}"
    elif isinstance(chart, list):
        for each in given:
            yield from unknown(each, chart[0], where)


def test_the_chart_has_every_key_that_is_set(values):
    assert list(unknown(values, CHART)) == []
    assert list(unknown({"dagsterDaemon": {"runRetry": {}}}, CHART)) == [".dagsterDaemon.runRetry"]


def test_no_secret_is_in_the_values(values):
    text = (FOLDER / "values.yaml").read_text()
    assert "postgresqlPassword:" not in text
    [code] = values["dagster-user-deployments"]["deployments"]
    assert code["envSecrets"] == [{"name": "thumbrank"}]
    assert not {entry["name"] for entry in code["env"]} & {"DATABASE_URL", "YOUTUBE_API_KEY", "THUMBRANK_ALERT_WEBHOOK"}


def test_dagster_takes_what_the_chart_passes_on_as_it_is(values):
    checked = validate_config(dagster_instance_config_schema(), values["additionalInstanceConfig"])
    assert checked.success, checked.errors
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    for name, model in (("podSpecConfig", "V1PodSpec"), ("jobSpecConfig", "V1JobSpec")):
        assert k8s_snake_case_dict(getattr(kubernetes.client, model), launcher[name])


def test_pools_and_monitoring_are_those_that_one_server_has(values):
    from thumbrank_dagster.instance_file import text

    server = yaml.safe_load(text(postgres=True, launcher="process"))
    pools, chart = server["concurrency"]["pools"], values["concurrency"]["pools"]
    assert (chart["defaultLimit"], chart["granularity"]) == (pools["default_limit"], pools["granularity"])
    assert chart["opGranularityRunBuffer"] == pools["op_granularity_run_buffer"]
    assert values["additionalInstanceConfig"]["run_retries"] == server["run_retries"]
    assert values["dagsterDaemon"]["runMonitoring"]["freeSlotsAfterRunEndSeconds"] > 0


def test_every_asset_has_a_size_that_dagster_k8s_takes():
    assets = {key.to_user_string() for key in build_defs().resolve_asset_graph().get_all_asset_keys()}
    assert set(pod_sizes.STEPS) == assets
    for asset, config in pod_sizes.STEPS.items():
        found = UserDefinedDagsterK8sConfig.from_dict(config)
        resources = found.container_config["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        wants_gpu = asset in {"embeddings", "trained_model"}
        assert (pod_sizes.GPU in resources["limits"]) is (pod_sizes.GPU in resources["requests"]) is wants_gpu
        assert bool(found.pod_spec_config.get("tolerations")) is wants_gpu


def test_the_executor_gives_each_step_the_size_of_its_asset():
    taken = pod_sizes.k8s_executor().apply_config_mapping({"config": {}})
    assert taken.success, taken.errors
    assert taken.value is not None
    found = taken.value["config"]
    assert found["max_concurrent"] == 1
    assert (
        found["per_step_k8s_config"]["embeddings"]["container_config"]
        == pod_sizes.STEPS["embeddings"]["container_config"]
    )


def test_the_training_nodes_are_objects_that_kubernetes_knows(service_and_job):
    service, job = service_and_job
    assert k8s_model_from_dict(kubernetes.client.V1Service, k8s_snake_case_dict(kubernetes.client.V1Service, service))
    assert k8s_model_from_dict(kubernetes.client.V1Job, k8s_snake_case_dict(kubernetes.client.V1Job, job))
    claim = yaml.safe_load((FOLDER / "state.yaml").read_text())
    kind = kubernetes.client.V1PersistentVolumeClaim
    assert k8s_model_from_dict(kind, k8s_snake_case_dict(kind, claim))
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_training_nodes_meet_node_0_with_the_options_of_the_command_line(service_and_job):
    service, job = service_and_job
    node_0 = pod_sizes.STEPS["trained_model"]
    assert service["spec"]["selector"] == node_0["pod_template_spec_metadata"]["labels"]
    assert service["spec"]["clusterIP"] == "None"
    assert [port["port"] for port in service["spec"]["ports"]] == [pod_sizes.NODES]

    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == node_0["container_config"]["resources"]
    [line] = container["args"]
    said = shlex.split(line.replace("$((JOB_COMPLETION_INDEX + 1))", "1"))
    assert said[:3] == ["exec", "thumbrank", "train"]
    options = dict(zip(said[3::2], said[4::2], strict=True))
    nodes = Nodes(int(options["--nodes"]), int(options["--node-rank"]), options["--rendezvous"])
    assert nodes.rendezvous == f"{service['metadata']['name']}:{pod_sizes.NODES}"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == nodes.count - 1
    from thumbrank_core.commands.train import app

    [command] = app.registered_commands
    assert set(options) <= known_options(command)


def known_options(command):
    import typer

    return {
        option
        for parameter in typer.main.get_command_from_info(
            command, pretty_exceptions_short=True, rich_markup_mode=None
        ).params
        for option in parameter.opts
    }
