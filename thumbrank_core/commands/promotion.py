"""`thumbrank promote` and `thumbrank rollback`: which model serves, and why. Both leave a row in thumbrank.promotions."""

import os
import platform
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from thumbrank_core.commands.common import JUDGE, JsonOption, opened, print_json, stdout
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.evaluation.gate import Verdict
    from thumbrank_core.promotion import Deployment, Kind, Proposal

app = typer.Typer()


@dataclass(frozen=True)
class DecisionOut:
    """What --json prints. `champion`: who serves now, or would; `challenger` and `verdict`: null of a rollback."""

    kind: "Kind"
    changed: bool
    dry_run: bool
    champion: int | None
    champion_before: int | None
    says: str
    challenger: int | None
    verdict: "Verdict | None"


@app.command("promote", rich_help_panel=JUDGE)
def promote_command(
    force: Annotated[
        bool, typer.Option("--force", help="Let it serve although the gate refused it. It must still load.")
    ] = False,
    why: Annotated[str | None, typer.Option(help="The reason of a forced promotion; it is kept.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let the challenger serve, if its verdict was a pass.

    Exit status 1 where it does not. The decision is kept with its figures, a refusal too.

    Keys of --json: kind (promoted, forced, refused, unchanged), changed, dry_run, champion, champion_before, says, challenger, verdict.

    Example: thumbrank promote --dry-run --json

    Example: thumbrank promote --force --why "the old champion cannot read the new encoders"
    """
    from thumbrank_core.promotion import promote, proposed
    from thumbrank_core.registry import Registry

    if force and not (why or "").strip():
        raise typer.BadParameter("a forced promotion needs a reason, which is kept.", param_hint="--why")
    settings = Settings.read()
    with opened(settings) as database:
        registry = Registry(settings.tracking_uri)
        proposal = proposed(registry)
        seen = proposal.champion.number if proposal.champion is not None else None
        if not as_json:
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
    if as_json:
        _print(done, seen, proposal, dry_run=dry_run)
    else:
        _tell(done, seen, dry_run=dry_run)
    if done.kind == "refused":
        raise typer.Exit(1)


@app.command("rollback", rich_help_panel=JUDGE)
def rollback_command(
    why: Annotated[str, typer.Option(help="The reason; it is kept.")],
    to: Annotated[
        int | None,
        typer.Option(metavar="VERSION", help="A version that was champion once. Default: the one before this one."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let an earlier champion serve again.

    What it replaces is not promoted again without --force.

    Keys of --json: kind (rolled_back), changed, dry_run, champion, champion_before, says, challenger and verdict (null).

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
    if as_json:
        _print(done, seen, None, dry_run=dry_run)
    else:
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
    title = f"Version {version.number}, measured against {against}: {verdict.status}"
    missing = [condition for condition in verdict.conditions if not condition.passed]
    if missing:
        table = Table(title=title, title_justify="left")
        table.add_column("what it did not show")
        table.add_column("figures", overflow="fold")
        for condition in missing:
            table.add_row(condition.name, condition.says)
        stdout().print(table)
    else:
        typer.echo(f"{title}.")
    if shown := [condition.name for condition in verdict.conditions if condition.passed]:
        count = f"{len(shown)} of {len(verdict.conditions)}"
        typer.echo(f"Shown, {count}: {', '.join(shown)}. Their figures: --json, or the report.")
    _show_data(verdict)


def _show_data(verdict: "Verdict") -> None:
    for size in verdict.minimums:
        typer.echo(f"The guide's data, {size}" + ("." if size.short else ": there."))


def _print(done: "Deployment", seen: int | None, proposal: "Proposal | None", *, dry_run: bool) -> None:
    challenger, verdict = (proposal.version.number, proposal.verdict) if proposal is not None else (None, None)
    print_json(DecisionOut(done.kind, done.changed, dry_run, done.champion, seen, done.says, challenger, verdict))


def _tell(done: "Deployment", seen: int | None, *, dry_run: bool) -> None:
    typer.echo(done.says)
    now, before = (f"version {number}" if number is not None else "none" for number in (done.champion, seen))
    if not done.changed:
        typer.echo(f"Champion: {now}, as before.")
    elif dry_run:
        typer.echo(f"Champion: {before}; it would be {now}. Nothing was changed: leave out --dry-run to change it.")
    else:
        typer.echo(f"Champion: {now}, before: {before}.")
