"""`thumbrank evaluate`: the challenger or any model on what the database holds, beside the reference models, with a report."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from thumbrank_core.commands import completing
from thumbrank_core.commands.common import JUDGE, JsonOption, opened, print_json, stdout
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.assessment import Judged
    from thumbrank_core.evaluation.gate import Verdict

app = typer.Typer()


class ChoiceError(ThumbrankError):
    """Options that do not go together."""


COLUMNS = {
    "pair_accuracy_micro": "pair accuracy",
    "pair_auc_pooled": "AUC (pooled)",
    "spearman_within_channel": "Spearman",
    "top_1_of_3": "top 1 of 3",
}


@dataclass(frozen=True)
class EvaluationOut:
    """What --json prints. `figures`: as in the demo's summary (evaluation/summary.py), every one with its interval and n."""

    fingerprint: str
    niches: tuple[str, ...]
    verdict: "Verdict"
    figures: dict[str, Any]
    report: Path


@app.command("evaluate", rich_help_panel=JUDGE)
def evaluate_command(
    model: Annotated[
        Path | None,
        typer.Option(
            help="A bundle's folder, or the thumbnail_ranking_model.pt in it. Default: the challenger, whose verdict is written.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="NICHE",
            help="With --model: whose videos to measure on; repeat it. Default: what it was trained on.",
            autocompletion=completing.niches,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model on channels it never saw.

    Figures with n and intervals, the reference models beside it, the gate's verdict and a report.

    Without --model it is the challenger, and promotion goes by this verdict, as by that of the asset evaluation_report.
    With --model it changes neither challenger, champion nor any version's verdict; the report has a folder of its own.

    Keys of --json: fingerprint, niches, verdict (status, sentence, conditions, …), figures, report. Of no single owner.

    Example: thumbrank evaluate

    Example: thumbrank evaluate --model .thumbrank/models/thumbnail_ranking_model.pt
    """
    from thumbrank_core.assessment import assess, judge
    from thumbrank_core.model.locate import bundle_at
    from thumbrank_core.niches import require_niche
    from thumbrank_core.registry import Registry

    if model is None and data:
        raise ChoiceError("--data needs --model: the challenger's verdict is on all that it learnt.")
    bundle = bundle_at(model) if model is not None else None
    chosen = tuple(require_niche(niche) for niche in data or ())
    settings = Settings.read()
    with opened(settings) as database:
        registry = Registry(settings.tracking_uri)
        if bundle is None:
            found = assess(database, settings, registry)
            niches = found.version.niches
        else:
            niches = chosen or tuple(bundle.card.niches)
            found = judge(database, settings, registry, bundle, niches, f"{bundle.card.fingerprint[:12]}-evaluated")
    if as_json:
        print_json(_whole(found, niches))
    else:
        _show(found)


def _whole(found: "Judged", niches: tuple[str, ...]) -> EvaluationOut:
    from thumbrank_core.evaluation.summary import summary

    figures = summary(found.evaluation, found.verdict)
    return EvaluationOut(found.bundle.card.fingerprint, niches, found.verdict, figures, found.page)


def _show(found: "Judged") -> None:
    from thumbrank_core.evaluation.wording import figure

    evaluation, verdict = found.evaluation, found.verdict
    unseen = evaluation.unseen
    typer.echo(verdict.sentence)
    table = Table(
        title=f"{unseen.n_pairs:,} pairs of {unseen.n_channels} channels it never saw, 95 % intervals",
        title_justify="left",
    )
    table.add_column("scorer")
    for heading in COLUMNS.values():
        table.add_column(heading, justify="right")
    for scored in unseen.scorers.values():
        figures = [figure(scored.metrics[metric]) for metric in COLUMNS]
        table.add_row(scored.name, *figures, style=None if scored.is_reference else "bold")
    stdout().print(table)
    calibration = evaluation.calibration
    typer.echo(
        f"Calibration error {figure(calibration.ece)} at temperature {calibration.temperature:.2f}; real click-through rates: "
        + (
            f"{len(evaluation.owners)} owners, held against each alone and shown to nobody."
            if evaluation.owners
            else "no data."
        )
    )
    for refusal in verdict.refusals:
        typer.echo(f"Not shown: {refusal}")
    typer.echo(f"Report: {found.page}")
