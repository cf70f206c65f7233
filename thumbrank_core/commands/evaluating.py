"""`thumbrank evaluate`: any model on what the database holds, beside the reference models, with a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from thumbrank_core.commands.common import opened, stdout
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.assessment import Judged

app = typer.Typer()

COLUMNS = {
    "pair_accuracy_micro": "pair accuracy",
    "pair_auc_pooled": "AUC (pooled)",
    "spearman_within_channel": "Spearman",
    "top_1_of_3": "top 1 of 3",
}


@app.command("evaluate")
def evaluate_command(
    model: Annotated[
        Path,
        typer.Option(help="A bundle's folder, or the thumbnail_ranking_model.pt in it.", show_default=False),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", metavar="NICHE", help="Whose videos to measure on; repeat it. Default: what it was trained on."
        ),
    ] = None,
) -> None:
    """Measure a model on channels it never saw: figures with n and intervals, the reference models, the gate's verdict and a report.

    Changes neither challenger, champion nor the verdict that promotion goes by; its report has a folder of its own.

    Example: thumbrank evaluate --model .thumbrank/models/thumbnail_ranking_model.pt
    """
    from thumbrank_core.assessment import judge
    from thumbrank_core.model.locate import bundle_at
    from thumbrank_core.niches import require_niche
    from thumbrank_core.registry import Registry

    bundle = bundle_at(model)
    niches = [require_niche(niche) for niche in data or ()] or list(bundle.card.niches)
    settings = Settings.read()
    with opened(settings) as database:
        folder = f"{bundle.card.fingerprint[:12]}-evaluated"
        _show(judge(database, settings, Registry(settings.tracking_uri), bundle, niches, folder))


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
