"""Putting the definitions together. A fresh object each call, so that tests swap parts without patching."""

from collections.abc import Mapping
from typing import Any, cast

import dagster as dg

from thumbrank_core.automation.calendar import Automation, load_automation
from thumbrank_dagster.automation import Deployment, schedule_status, sensor_status
from thumbrank_dagster.defs.collect import assets as collect
from thumbrank_dagster.defs.collect import reach
from thumbrank_dagster.defs.deploy import assets as deploy
from thumbrank_dagster.defs.embed import assets as embed
from thumbrank_dagster.defs.evaluate import assets as evaluate
from thumbrank_dagster.defs.label import assets as label
from thumbrank_dagster.defs.operations import digest, inventory, retention
from thumbrank_dagster.defs.operations.alerts import failure_alerts_sensor
from thumbrank_dagster.defs.operations.jobs import JOBS
from thumbrank_dagster.defs.operations.schedules import monthly_refresh, owner_reach_daily
from thumbrank_dagster.defs.operations.sensors import sensors
from thumbrank_dagster.defs.train import assets as train
from thumbrank_dagster.failures import RETRIES, with_retries
from thumbrank_dagster.instance_file import Launcher
from thumbrank_dagster.pod_sizes import k8s_executor
from thumbrank_dagster.resources.alerts import AlertsResource
from thumbrank_dagster.resources.clock import ClockResource
from thumbrank_dagster.resources.mlflow import MlflowResource
from thumbrank_dagster.resources.state import StateResource
from thumbrank_dagster.resources.youtube import YouTubeResource


def build_defs(
    resource_overrides: Mapping[str, Any] | None = None,
    *,
    retries: dg.RetryPolicy = RETRIES,
    deployment: Deployment = "local",
    launcher: Launcher = "process",
    rules: Automation | None = None,
) -> dg.Definitions:
    """The whole code location.

    Args:
        resource_overrides: resources to be used in place of ours.
        retries: how often every asset begins anew after what may pass by itself.
        deployment: where it is, for what runs by itself (automation.py).
        launcher: what a run gets; in a cluster each step is a pod of its own, of its asset's size.
        rules: when it does; config/automation.yaml unless given.
    """
    calendar = rules or load_automation()
    resources: dict[str, Any] = {
        "state": StateResource(),
        "youtube": YouTubeResource(),
        "mlflow": MlflowResource(),
        "alerts": AlertsResource(),
        "clock": ClockResource(),
        **(resource_overrides or {}),
    }
    found = dg.load_assets_from_modules(
        [collect, reach, label, embed, train, evaluate, deploy, retention, digest, inventory], include_specs=True
    )
    return dg.Definitions(
        assets=dg.map_asset_specs(
            with_retries(retries),
            cast(list[dg.AssetsDefinition | dg.AssetSpec], found),  # the kinds that are here; another would fail loudly
        ),
        asset_checks=inventory.CHECKS,
        jobs=[*JOBS, digest.write_digest, inventory.daily_inventory],
        schedules=[
            monthly_refresh(calendar, deployment),
            owner_reach_daily(calendar, deployment),
            inventory.daily_inventory_schedule(calendar, schedule_status("daily_inventory", deployment)),
        ],
        sensors=[
            *sensors(deployment, calendar),
            digest.digest_due_sensor(sensor_status("digest_due", deployment), calendar),
            failure_alerts_sensor(sensor_status("failure_alerts", deployment)),
            inventory.dead_runs_sensor(sensor_status("dead_runs", deployment)),
        ],
        resources=resources,
        # One process and one step at a time: a model and a step's data share the memory of the machine that runs them.
        executor=k8s_executor() if launcher == "k8s" else dg.in_process_executor,
    )
