"""Deployment: the promotion is an asset of its own, so that a report can be read before anything changes."""

import dagster as dg

from thumbrank_dagster.defs.evaluate.assets import evaluation_report
from thumbrank_dagster.metadata import one_sentence
from thumbrank_dagster.resources.mlflow import MlflowResource

GROUP = "deploy"


@dg.asset(deps=[evaluation_report], group_name=GROUP, kinds={"mlflow"}, owners=["team:ml"], code_version="1")
def deployed_model(context: dg.AssetExecutionContext, mlflow: MlflowResource) -> dg.MaterializeResult:
    """The champion: the registered version that serves. Moves only when the gate passed the challenger."""
    from thumbrank_core.assessment import deploy

    with one_sentence():
        deployment = deploy(mlflow.registry())
    return dg.MaterializeResult(
        metadata={
            "champion_version": deployment.champion if deployment.champion is not None else "none",
            "changed": deployment.changed,
            "because": deployment.says,
        }
    )
