"""What every verb shares: errors as one sentence, where results go, an open database."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from thumbrank_core.explain import explain
from thumbrank_core.imports.columns import ColumnError
from thumbrank_core.progress import console_sink, listen
from thumbrank_core.settings import Settings

EXIT_INTERRUPTED = 130


class OneSentence(TyperGroup):
    """Errors a person can mend are one sentence and exit status 1; Ctrl-C is 130; a defect keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("Interrupted: nothing is left running, and the same command continues.", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            sentence = explain(error)
            if sentence is None:
                raise
            typer.echo(f"thumbrank: {sentence}", err=True)
            raise typer.Exit(1) from None


def stdout() -> Console:
    """Where results go; progress and errors go to stderr."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


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
