"""`thumbrank …`: the verbs of commands/, mounted. No Dagster here; thumbrank_dagster/cli.py adds what needs it."""

from typing import Annotated

import typer

from thumbrank_core.commands import (
    ab,
    collect,
    database,
    embeddings,
    evaluating,
    export_data,
    export_model,
    importing,
    plan,
    promotion,
    quota,
    reach,
    retention,
    score,
    studio,
    train,
)
from thumbrank_core.commands.common import LEARN, OPERATE, OWN_DATA, OneSentence, stdout
from thumbrank_core.interrupts import EXIT_INTERRUPTED

__all__ = ["app", "stdout"]

EXIT_STATUSES = {
    0: ("Done.", '"Too close to call" is an answer, and 0 as well.'),
    1: (
        "Not done: one sentence on stderr says what to mend.",
        "Also where the gate refused a promotion, and where nothing of a file could be used.",
        "A traceback instead of a sentence is a defect of ours.",
    ),
    2: ("Wrong usage: an unknown verb or option, a value of the wrong form (no date, no number), no verb at all.",),
    EXIT_INTERRUPTED: ("Ended by Ctrl-C or SIGTERM; the same command continues.",),
}
"""Every exit status, and what it means, in sentences; docs/cli.md has the same."""
OUTPUT = "Results on stdout; progress, and errors as one sentence, on stderr. With --json stdout is one JSON document."
COMPLETION = "thumbrank --install-completion, then Tab; it knows niches, recipes, encoder sets and stages."

_STATUSES = "\n".join(f"  {status:<3}  " + "\n       ".join(says) for status, says in EXIT_STATUSES.items())
_EPILOG = f"""\
[bold]Output:[/bold] {OUTPUT}

[bold]Exit status:[/bold]
{_STATUSES}

[bold]Completion:[/bold] {COMPLETION}

Example: thumbrank collect --niche tech --dry-run --json"""

app = typer.Typer(
    name="thumbrank",
    cls=OneSentence,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it shows locals, which may hold secrets, and never ends on a cycle of causes
    rich_markup_mode="rich",
    help="Rank thumbnails by what each channel's own history shows. `thumbrank VERB --help` has an example of each.",
    epilog=_EPILOG,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"thumbrank {version('thumbrank')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """What stands before the verb."""


# In the order of the pipeline; commands/common.py has the panels.
app.add_typer(plan.app)
app.add_typer(collect.app)
app.add_typer(quota.app)
app.add_typer(importing.app)
app.add_typer(studio.app)
app.add_typer(ab.app)
app.add_typer(reach.app, name="reach", rich_help_panel=OWN_DATA)
app.add_typer(embeddings.app, name="embeddings", rich_help_panel=LEARN)
app.add_typer(train.app)
app.add_typer(evaluating.app)
app.add_typer(promotion.app)
app.add_typer(score.app)
app.add_typer(export_model.app)
app.add_typer(export_data.app)
app.add_typer(database.app, name="db", rich_help_panel=OPERATE)
app.add_typer(retention.app)
