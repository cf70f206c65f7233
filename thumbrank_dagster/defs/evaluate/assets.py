"""Evaluation: the challenger on channels it never saw, beside the reference models."""

from typing import TYPE_CHECKING

import dagster as dg

from thumbrank_dagster.defs.train.assets import trained_model
from thumbrank_dagster.metadata import one_sentence, picture
from thumbrank_dagster.resources.mlflow import MlflowResource
from thumbrank_dagster.resources.state import StateResource

if TYPE_CHECKING:
    from thumbrank_core.evaluation.figures import Measured, Slice

GROUP = "evaluate"


@dg.asset(deps=[trained_model], group_name=GROUP, kinds={"python"}, owners=["team:ml"], code_version="2")
def evaluation_report(
    context: dg.AssetExecutionContext, state: StateResource, mlflow: MlflowResource
) -> dg.MaterializeResult:
    """What the challenger gets on unseen channels, overall and per niche, and whether that earns a deployment.

    Every figure with its n, its 95 % interval (channels resampled) and the reference models beside it. Writes an HTML page,
    rows in `model_evaluations` and the verdict on the registered version.
    """
    from thumbrank_core.assessment import assess
    from thumbrank_core.evaluation.plots import niche_bars

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
            "n_pairs": evaluation.unseen.n_pairs,
            "n_test_channels": evaluation.unseen.n_channels,
            "effective_test_channels": round(evaluation.unseen.effective_channels, 1),
            "n_pairs_later": evaluation.later.n_pairs if evaluation.later else 0,
            **{name: found.value for name, found in model.items() if found.value == found.value},
            "pair_accuracy_ci_low": model["pair_accuracy_micro"].low,
            "pair_accuracy_ci_high": model["pair_accuracy_micro"].high,
            "ece": evaluation.calibration.ece.value,
            "temperature": evaluation.calibration.temperature,
            "scorers": _scorers(evaluation.unseen),
            **({"scorers_later": _scorers(evaluation.later)} if evaluation.later else {}),
            "slices": _slices(evaluation.slices),
            **{f"{name}_plot": picture(found.png, found.says) for name, found in assessment.pictures.items()},
            "by_niche_plot": picture(niche_bars(evaluation.slices), "pair accuracy of the model in each niche"),
        }
    )


def _scorers(measured: "Measured") -> dg.TableMetadataValue:
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
