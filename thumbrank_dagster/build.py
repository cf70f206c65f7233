"""Putting the definitions together. A fresh object each call, so that tests swap parts without patching."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from thumbrank_dagster.defs.collect import assets as collect
from thumbrank_dagster.defs.collect import reach
from thumbrank_dagster.defs.deploy import assets as deploy
from thumbrank_dagster.defs.embed import assets as embed
from thumbrank_dagster.defs.evaluate import assets as evaluate
from thumbrank_dagster.defs.label import assets as label
from thumbrank_dagster.defs.operations import retention
from thumbrank_dagster.defs.operations.jobs import refresh_niche, train_and_deploy
from thumbrank_dagster.defs.train import assets as train
from thumbrank_dagster.resources.mlflow import MlflowResource
from thumbrank_dagster.resources.state import StateResource
from thumbrank_dagster.resources.youtube import YouTubeResource


def build_defs(resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The whole code location."""
    resources: dict[str, Any] = {
        "state": StateResource(),
        "youtube": YouTubeResource(),
        "mlflow": MlflowResource(),
        **(resource_overrides or {}),
    }
    return dg.Definitions(
        assets=dg.load_assets_from_modules([collect, reach, label, embed, train, evaluate, deploy, retention]),
        jobs=[refresh_niche, train_and_deploy],
        resources=resources,
        # One process and one step at a time: a model and a step's data share the memory of the machine that runs them.
        executor=dg.in_process_executor,
    )
