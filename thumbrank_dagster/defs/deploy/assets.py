"""Deployment: the promotion is an asset of its own, so that a report can be read before anything changes."""

import dagster as dg

from thumbrank_dagster.defs.evaluate.assets import evaluation_report
from thumbrank_dagster.failures import one_sentence
from thumbrank_dagster.resources.mlflow import MlflowResource
from thumbrank_dagster.resources.state import StateResource

GROUP = "deploy"


@dg.asset(
    deps=[evaluation_report],
    group_name=GROUP,
    kinds={"mlflow"},
    owners=["team:ml"],
    tags={"layer": "model", "reads": "mlflow"},
    code_version="2",
)
def deployed_model(
    context: dg.AssetExecutionContext, state: StateResource, mlflow: MlflowResource
) -> dg.MaterializeResult:
    """The champion: the model version that serves. It moves only where the evaluation's gate let the challenger pass.

    A refusal is no failure: the champion stays, and `because` says why. One promotion at a time, and only while the champion is the
    one that the challenger was measured against. What happened, a refusal too, is a row in `promotions`. People have `thumbrank
    promote --force` and `thumbrank rollback`.
    """
    from thumbrank_core.promotion import promote, proposed

    registry = mlflow.registry()
    with one_sentence():
        proposal = proposed(registry)
        deployment = promote(
            state.database,
            registry,
            version=proposal.version.number,
            expected=proposal.verdict.against,
            who=f"dagster run {context.run.run_id}",
        )
        run = mlflow.run_link(proposal.version.run_id)
    return dg.MaterializeResult(
        metadata={
            "champion_version": deployment.champion if deployment.champion is not None else "none",
            "changed": deployment.changed,
            "because": deployment.says,
            "decision": deployment.kind,
            "mlflow_run": run,
            "challenger_version": proposal.version.number,
            "measured_against": proposal.verdict.against if proposal.verdict.against is not None else "none",
            "reasons": dg.MetadataValue.table(
                [
                    dg.TableRecord({"condition": reason.name, "passed": reason.passed, "says": reason.says})
                    for reason in proposal.verdict.conditions
                ]
            ),
            "guide_data": [str(size) for size in proposal.verdict.minimums],
        }
    )
