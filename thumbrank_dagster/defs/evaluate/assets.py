"""Evaluation: the challenger on channels it never saw, beside the reference models."""

from typing import TYPE_CHECKING

import dagster as dg

from thumbrank_dagster.defs.train.assets import trained_model
from thumbrank_dagster.failures import one_sentence
from thumbrank_dagster.metadata import figure, picture
from thumbrank_dagster.resources.mlflow import MlflowResource
from thumbrank_dagster.resources.state import StateResource

if TYPE_CHECKING:
    from thumbrank_core.evaluation.figures import EvaluatedPairs, Slice

GROUP = "evaluate"


@dg.asset(
    deps=[trained_model],
    group_name=GROUP,
    kinds={"python", "mlflow"},
    owners=["team:ml"],
    tags={"layer": "model", "reads": "postgres"},
    code_version="2",
)
def evaluation_report(
    context: dg.AssetExecutionContext, state: StateResource, mlflow: MlflowResource
) -> dg.MaterializeResult:
    """How good the newest model is on channels that it never saw, overall and per niche, and whether it may be deployed.

    Every figure stands with its n, its 95 % interval (channels resampled) and the reference models beside it: a model that does
    not beat "the newer video wins" has learnt nothing. The newest model is the challenger; `verdict` says whether it earned
    the place of the champion, which serves now. Writes an HTML page (`report`), rows in `model_evaluations`, and the verdict on
    the registered version in MLflow. Nothing is deployed here.
    """
    from thumbrank_core.assessment import assess
    from thumbrank_core.evaluation.plots.slices import niche_bars

    with one_sentence():
        assessment = assess(state.database, state.settings, mlflow.registry())
        run = mlflow.run_link(assessment.version.run_id)
    evaluation = assessment.evaluation
    model = evaluation.model.metrics
    return dg.MaterializeResult(
        metadata={
            "verdict": assessment.verdict.status,
            "verdict_sentence": assessment.verdict.sentence,
            "version": assessment.version.number,
            "mlflow_run": run,
            "report": dg.MetadataValue.path(str(assessment.page)),
            "n_pairs": evaluation.unseen.n_pairs,
            "n_test_channels": evaluation.unseen.n_channels,
            "effective_test_channels": round(evaluation.unseen.effective_channels, 1),
            "n_pairs_later": evaluation.later.n_pairs if evaluation.later else 0,
            **{name: figure(found.value) for name, found in model.items() if found.value == found.value},
            "pair_accuracy_ci_low": figure(model["pair_accuracy_micro"].low),
            "pair_accuracy_ci_high": figure(model["pair_accuracy_micro"].high),
            "ece": figure(evaluation.calibration.ece.value),
            "temperature": figure(evaluation.calibration.temperature),
            "scorers": _scorers(evaluation.unseen),
            **({"scorers_later": _scorers(evaluation.later)} if evaluation.later else {}),
            "slices": _slices(evaluation.proper_slices),
            **{f"{name}_plot": picture(found.png, found.says) for name, found in assessment.pictures.items()},
            "by_niche_plot": picture(niche_bars(evaluation.slices), "pair accuracy of the model in each niche"),
        }
    )


def _scorers(measured: "EvaluatedPairs") -> dg.TableMetadataValue:
    """A set of pairs as a table; text, because a figure that could not be had is "no data" and no number."""
    from thumbrank_core.evaluation.wording import difference, figure

    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "scorer": scored.name,
                    **{name: figure(found) for name, found in scored.metrics.items()},
                    "pair_accuracy_micro_minus_model": difference(scored.above_model),
                }
            )
            for scored in measured.scorers.values()
        ]
    )


def _slices(slices: "list[Slice]") -> dg.TableMetadataValue:
    from thumbrank_core.evaluation.wording import difference, figure

    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "by": part.by,
                    "slice": part.name,
                    "pairs": part.n_pairs,
                    "channels": part.n_channels,
                    **{scorer: figure(found) for scorer, found in part.accuracy.items()},
                    **({"model minus champion": difference(part.lead)} if part.lead else {}),
                }
            )
            for part in slices
        ]
    )
