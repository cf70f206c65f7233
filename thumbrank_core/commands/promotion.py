"""`thumbrank promote` and `thumbrank rollback`: which model serves, and why. Both leave a row in thumbrank.promotions."""

import os
import platform
import pwd
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from thumbrank_core.commands.common import opened, stdout
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.evaluation.gate import Verdict
    from thumbrank_core.promotion import Deployment, Proposal

app = typer.Typer()


@app.command("promote")
def promote_command(
    force: Annotated[
        bool, typer.Option("--force", help="Let it serve although the gate refused it. It must still load.")
    ] = False,
    why: Annotated[str | None, typer.Option(help="The reason of a forced promotion; it is kept.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
) -> None:
    """Let the challenger serve if its verdict was a pass. Exit status 1 where it does not.

    Example: thumbrank promote --force --why "the old champion cannot read the new encoders"
    """
    from thumbrank_core.promotion import promote, proposed
    from thumbrank_core.registry import Registry

    settings = Settings.read()
    with opened(settings) as database:
        registry = Registry(settings.tracking_uri)
        proposal = proposed(registry)
        seen = proposal.champion.number if proposal.champion is not None else None
        _show(proposal)
        done = promote(
            database,
            registry,
            version=proposal.version.number,
            expected=seen if force else proposal.verdict.against,
            who=account(),
            force=force,
            why=why,
            dry_run=dry_run,
        )
    _tell(done, seen, dry_run=dry_run)
    if done.kind == "refused":
        raise typer.Exit(1)


@app.command("rollback")
def rollback_command(
    why: Annotated[str, typer.Option(help="The reason; it is kept.")],
    to: Annotated[
        int | None,
        typer.Option(metavar="VERSION", help="A version that was champion once. Default: the one before this one."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
) -> None:
    """Let an earlier champion serve again. What it replaces is not promoted again without --force.

    Example: thumbrank rollback --why "ranks every beauty thumbnail alike"
    """
    from thumbrank_core.promotion import rollback
    from thumbrank_core.registry import Registry

    settings = Settings.read()
    with opened(settings) as database:
        registry = Registry(settings.tracking_uri)
        champion = registry.get("champion")
        seen = champion.number if champion is not None else None
        done = rollback(database, registry, expected=seen, to=to, why=why, who=account(), dry_run=dry_run)
    _tell(done, seen, dry_run=dry_run)


def account() -> str:
    """Who runs this, for the audit: the account of the process, which no variable changes, and its machine."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may run under a number that has no name
        name = f"uid {uid}"
    return f"{name}@{platform.node()}"


def _show(proposal: "Proposal") -> None:
    version, verdict = proposal.version, proposal.verdict
    against = f"version {verdict.against}" if verdict.against is not None else "no champion"
    table = Table(title=f"Version {version.number}, measured against {against}: {verdict.status}", title_justify="left")
    table.add_column("what it must show")
    table.add_column("")
    table.add_column("", overflow="fold")
    for condition in verdict.conditions:
        style = "" if condition.passed else "bold"
        table.add_row(condition.name, "passed" if condition.passed else "not shown", condition.says, style=style)
    stdout().print(table)
    _show_data(verdict)


def _show_data(verdict: "Verdict") -> None:
    for size in verdict.minimums:
        typer.echo(f"The guide's data, {size}" + ("." if size.short else ": there."))


def _tell(done: "Deployment", seen: int | None, *, dry_run: bool) -> None:
    typer.echo(done.says)
    now, before = (f"version {number}" if number is not None else "none" for number in (done.champion, seen))
    if not done.changed:
        typer.echo(f"Champion: {now}, as before.")
    elif dry_run:
        typer.echo(f"Champion: {before}; it would be {now}. Nothing was changed: leave out --dry-run to change it.")
    else:
        typer.echo(f"Champion: {now}, before: {before}.")
