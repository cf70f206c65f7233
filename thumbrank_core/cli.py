"""`thumbrank …`: the verbs of commands/, mounted. No Dagster here; thumbrank_dagster/cli.py adds what needs it."""

import typer

from thumbrank_core.commands import (
    ab,
    collect,
    database,
    deploying,
    embeddings,
    evaluating,
    exporting,
    importing,
    plan,
    promotion,
    reach,
    retention,
    score,
    studio,
    train,
)
from thumbrank_core.commands.common import OneSentence, stdout

__all__ = ["app", "stdout"]

app = typer.Typer(
    name="thumbrank",
    cls=OneSentence,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it shows locals, which may hold secrets, and never ends on a cycle of causes
    rich_markup_mode="rich",
    help="Rank thumbnails by what each channel's own history shows.",
)
app.add_typer(database.app, name="db")
app.add_typer(collect.app)
app.add_typer(plan.app)
app.add_typer(importing.app)
app.add_typer(studio.app)
app.add_typer(ab.app)
app.add_typer(exporting.app)
app.add_typer(retention.app)
app.add_typer(embeddings.app, name="embeddings")
app.add_typer(train.app)
app.add_typer(evaluating.app)
app.add_typer(promotion.app)
app.add_typer(score.app)
app.add_typer(deploying.app)
app.add_typer(reach.app, name="reach")
