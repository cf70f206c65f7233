"""Evaluation: the challenger on channels it never saw, beside the reference models."""

import dagster as dg

from thumbrank_dagster.defs.train.assets import trained_model
from thumbrank_dagster.metadata import one_sentence, picture
from thumbrank_dagster.resources.mlflow import MlflowResource
from thumbrank_dagster.resources.state import StateResource

GROUP = "evaluate"


@dg.asset(deps=[trained_model], group_name=GROUP, kinds={"python"}, owners=["team:ml"], code_version="1")
def evaluation_report(
    context: dg.AssetExecutionContext, state: StateResource, mlflow: MlflowResource
) -> dg.MaterializeResult:
    """What the challenger gets on unseen channels, overall and per niche, and whether that earns a deployment.

    Every figure with its n, its 95 % interval (channels resampled) and the reference models beside it. Writes an HTML page,
    rows in `model_evaluations` and the verdict on the registered version.
    """
    from thumbrank_core.assessment import assess
    from thumbrank_core.evaluation.plots import accuracy_bars, niche_bars

    with one_sentence():
        assessment = assess(state.database, state.settings, mlflow.registry())
    evaluation = assessment.evaluation
    model = evaluation.model.metrics
    return dg.MaterializeResult(
        metadata={
            "verdict": assessment.verdict.status,
            "verdict_sentence": assessment.verdict.sentence,
            "version": assessment.version.number,
            "report": dg.MetadataValue.path(str(assessment.page)),
            "n_pairs": evaluation.overall.n_pairs,
            "n_test_channels": evaluation.overall.n_channels,
            **{name: found.value for name, found in model.items() if found.value == found.value},
            "pair_accuracy_ci_low": model["pair_accuracy_micro"].low,
            "pair_accuracy_ci_high": model["pair_accuracy_micro"].high,
            "scorers": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {
                            "scorer": scored.name,
                            "pair_accuracy": round(scored.metrics["pair_accuracy_micro"].value, 4),
                            "ci_low": round(scored.metrics["pair_accuracy_micro"].low, 4),
                            "ci_high": round(scored.metrics["pair_accuracy_micro"].high, 4),
                            "pair_auc": round(scored.metrics["pair_auc_pooled"].value, 4),
                        }
                    )
                    for scored in evaluation.overall.scorers.values()
                ]
            ),
            "against_references": picture(accuracy_bars(evaluation.overall), "pair accuracy of every scorer"),
            "by_niche": picture(niche_bars(evaluation), "pair accuracy by niche"),
        }
    )
