"""What every verb shares: the panels of the help, errors as one sentence, where results go, `--json`, an open database."""

import inspect
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from thumbrank_core.imports.columns import ColumnError
from thumbrank_core.interrupts import EXIT_INTERRUPTED, INTERRUPTED, is_interrupt
from thumbrank_core.progress import console_sink, listen
from thumbrank_core.settings import Settings

START = "Start"
COLLECT = "Collect from YouTube"
OWN_DATA = "Bring your own"
LEARN = "Label, embed, train"
JUDGE = "Evaluate and deploy"
DATA_OUT = "Data out"
OPERATE = "Operate"
PANELS = (START, COLLECT, OWN_DATA, LEARN, JUDGE, DATA_OUT, OPERATE)
"""Every verb stands in one of these, in the order of the pipeline."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else, on stdout.")]


class OneSentence(TyperGroup):
    """Errors a person can mend are one sentence and exit status 1; Ctrl-C is 130; a defect keeps its traceback."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        _unwrap(self.commands.values())

    def list_commands(self, ctx: Any) -> list[str]:
        """The verbs, panel by panel; within one, in the order in which they were mounted."""
        panels: dict[str, int] = {
            name: PANELS.index(getattr(command, "rich_help_panel", OPERATE)) for name, command in self.commands.items()
        }
        return sorted(panels, key=lambda name: panels[name])

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if is_interrupt(error):
                typer.echo(INTERRUPTED, err=True)
                raise typer.Exit(EXIT_INTERRUPTED) from None
            from thumbrank_core.explain import explain  # it imports the database's driver, which --help does without

            sentence = explain(error)
            if sentence is None:
                raise
            typer.echo(f"thumbrank: {sentence}", err=True)
            raise typer.Exit(1) from None


def _unwrap(commands: Iterable[Any]) -> None:
    """Let the terminal break the lines of a help text: typer keeps those of the docstring in every paragraph but the first."""
    for command in commands:
        paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        _unwrap(getattr(command, "commands", {}).values())


def stdout() -> Console:
    """Where results go; progress and errors go to stderr."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def print_json(document: object) -> None:
    """Print a dataclass or a pydantic model as one JSON document; a figure that could not be had is null."""
    from pydantic_core import to_json

    typer.echo(to_json(document, indent=2, inf_nan_mode="null").decode())


@contextmanager
def opened(settings: Settings) -> Generator[Any]:
    """A migrated database for one verb."""
    from thumbrank_core.store.opening import open_database, running_servers

    with listen(console_sink()), running_servers(settings) as servers, open_database(servers.thumbrank) as database:
        yield database


def column_map(entries: list[str], example: str) -> dict[str, str]:
    """What `--map THEIRS=OURS` says, theirs -> ours.

    Raises:
        ColumnError: an entry is not written so.
    """
    pairs: dict[str, str] = {}
    for entry in entries:
        theirs, separator, ours = entry.rpartition("=")
        if not separator or not theirs or not ours:
            raise ColumnError(f"--map {entry}: write it as THEIRS=OURS, such as --map {example}.")
        pairs[theirs] = ours
    return pairs
