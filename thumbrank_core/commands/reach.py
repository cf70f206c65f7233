"""`thumbrank reach …`: real click-through rates of channels whose owners consented."""

import sys
import webbrowser
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from thumbrank_core.commands.common import JsonOption, opened, print_json, stdout
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.store.owner_files import OwnerFiles
    from thumbrank_core.youtube.reach.rows import OwnerSummary, Purged
    from thumbrank_core.youtube.reach.sync import Synced

app = typer.Typer(
    no_args_is_help=True,
    help="Real click-through rates, by their owner's consent.\n\n"
    "Impressions and click-through rates from YouTube's Reporting API; they are their owner's, and are never added up over owners.\n\n"
    "Example: thumbrank reach login",
)


@dataclass(frozen=True)
class OwnerOut:
    """One owner in --json. `token_here`: whether the consent's token is on this machine; `stored`: null where no row is;
    `read_outs`: of each model on this machine, what this owner's own clicks say of its score."""

    owner_id: str
    token_here: bool
    stored: "OwnerSummary | None"
    read_outs: "tuple[ReadOutOut, ...]"


@dataclass(frozen=True)
class ReadOutOut:
    """One model's read-out in --json. `model`: its folder's name; `direction`: with, against or unclear."""

    model: str
    direction: str
    says: str


@dataclass(frozen=True)
class OwnersOut:
    """What --json prints."""

    owners: tuple[OwnerOut, ...]


# Ids of YouTube may begin with a hyphen and are not options.
_IDS = {"ignore_unknown_options": True}


@app.command("login")
def login_command(
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address to open and start no browser.")
    ] = False,
) -> None:
    """Ask an owner for consent, and order YouTube's reports.

    In the browser. Needs THUMBRANK_OAUTH_CLIENT, Google's file of an OAuth client of type Desktop app.

    Example: thumbrank reach login --no-browser
    """
    from thumbrank_core.youtube.reach.oauth import client_of
    from thumbrank_core.youtube.reach.sync import Reach, first_report_sentence, login

    settings = Settings.read()
    client_of(settings)  # said before a database is started and anybody is asked

    def show(address: str, port: int) -> None:
        if no_browser or not webbrowser.open(address):
            typer.echo("Open this address in a browser on this machine:")
            typer.echo(address)
            typer.echo(f"(From another machine, forward the port first: ssh -L {port}:127.0.0.1:{port} …)", err=True)
        typer.echo("Waiting for the owner's consent, ten minutes at most; Ctrl-C stops and leaves nothing.", err=True)

    with opened(settings) as database:
        found = login(Reach.of(settings, database), show)
    console = stdout()
    console.print(f"{found.title} ({found.owner_id}) consented.", markup=False)
    console.print(first_report_sentence(found.owner_id, found.job))
    console.print("Then, and every few days: thumbrank reach sync (reports vanish 60 days after they were made).")


@app.command("sync")
def sync_command() -> None:
    """Read the reports that came since, of every owner.

    Exit status 1 where one owner's could not be read; those of the others are read all the same.

    Example: thumbrank reach sync
    """
    from thumbrank_core.youtube.reach.sync import Reach, sync_all

    settings = Settings.read()
    with opened(settings) as database:
        found = sync_all(Reach.of(settings, database))
    if not found:
        stdout().print("No owner has consented: thumbrank reach login asks one.")
        return
    _show_synced(found)
    if any(each.problems for each in found):
        raise typer.Exit(1)


@app.command("logout", context_settings=_IDS)
def logout_command(
    owner: Annotated[
        str | None,
        typer.Argument(metavar="[OWNER]", help="The channel's id; may be left out where there is one owner."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without: say what would be removed, and ask on a terminal.")
    ] = False,
) -> None:
    """Give a consent back, and remove every figure it gave.

    At Google, and here its token. What came from Studio stays.

    Example: thumbrank reach logout UCxxxxxxxxxxxxxxxxxxxxxx --yes
    """
    from thumbrank_core.youtube.reach.sync import Reach, known_owners, logout
    from thumbrank_core.youtube.reach.tokens import require_owner_id

    settings = Settings.read()
    with opened(settings) as database:
        reach = Reach.of(settings, database)
        owner_id = _chosen(known_owners(reach), owner if owner is None else require_owner_id(owner))
        if not yes:
            _show_purged(owner_id, logout(reach, owner_id, dry_run=True), "Would be removed")
            if not (sys.stdin.isatty() and typer.confirm("Give the consent back and remove it?")):
                typer.echo("Nothing was removed: add --yes to remove it.")
                return
        _show_purged(owner_id, logout(reach, owner_id), "Removed")


@app.command("status")
def status_command(as_json: JsonOption = False) -> None:
    """Say who consented and what is stored of them.

    And, of each model on this machine, whether the owner's own clicks rise with its score. Asks nobody, and adds nothing up over owners.

    Keys of --json: owners (each: owner_id, token_here, stored with checked_at, days, videos, rows, impressions, …, and read_outs
    with model, direction, says).

    Example: thumbrank reach status --json
    """
    from thumbrank_core.store.owner_files import OwnerFiles
    from thumbrank_core.youtube.reach.rows import owner_summaries
    from thumbrank_core.youtube.reach.tokens import TokenStore

    settings = Settings.read()
    with opened(settings) as database, database.connection() as connection:
        found = {summary.owner_id: summary for summary in owner_summaries(connection)}
    here, files = set(TokenStore(settings.owners).owners()), OwnerFiles(settings.models)
    owners = [
        OwnerOut(name, name in here, found.get(name), _read_outs(files, name))
        for name in sorted(here | set(found) | files.owners())
    ]
    if as_json:
        print_json(OwnersOut(tuple(owners)))
        return
    if not (here or found):
        stdout().print("No owner has consented: thumbrank reach login asks one.")
    for owner in owners:
        _show_owner(owner)


def _read_outs(files: "OwnerFiles", owner_id: str) -> tuple[ReadOutOut, ...]:
    if not files.of(owner_id):
        return ()
    from thumbrank_core.training.read_outs import read_outs_of

    return tuple(
        ReadOutOut(read_out.model[:12], read_out.direction, read_out.sentence())
        for read_out in read_outs_of(files, owner_id)
    )


def _show_owner(owner: OwnerOut) -> None:
    from thumbrank_core.youtube.reach.sync import FIRST_REPORT_AFTER

    table = Table(title=owner.owner_id, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("token", "here" if owner.token_here else "not on this machine")
    summary = owner.stored
    if summary is not None:
        table.add_row("consent confirmed", f"{summary.checked_at:%Y-%m-%d %H:%M} UTC")
        if summary.job_created_at is not None:
            table.add_row("reports ordered", f"{summary.job_created_at:%Y-%m-%d %H:%M} UTC")
            if not summary.days:
                table.add_row("first report by", f"{summary.job_created_at + FIRST_REPORT_AFTER:%Y-%m-%d %H:%M} UTC")
        table.add_row("reports read", f"{summary.days:,}")
        table.add_row("days", f"{summary.first_day} to {summary.last_day}" if summary.first_day else "none yet")
        table.add_row("videos", f"{summary.videos:,}")
        table.add_row("rows", f"{summary.rows:,}")
        table.add_row("impressions", f"{summary.impressions:,}")
    console = stdout()
    console.print(table)
    for read_out in owner.read_outs:
        console.print(f"Model {read_out.model}, of {read_out.says}", markup=False)


def _chosen(owners: list[str], asked: str | None) -> str:
    if asked is not None:
        if asked not in owners:
            raise ThumbrankError(f"Nothing of {asked} is here: the owners are {', '.join(owners) or 'none'}.")
        return asked
    if len(owners) == 1:
        return owners[0]
    if not owners:
        raise ThumbrankError("No owner has consented: there is nothing to give back.")
    raise ThumbrankError(f"There are {len(owners)} owners: name one of {', '.join(owners)}.")


def _show_synced(found: "list[Synced]") -> None:
    table = Table(title="Reach reports", title_justify="left")
    for name in ("owner", "reports read", "of these reissued", "rows", "impressions", "rows of no video"):
        table.add_column(name, justify="left" if name == "owner" else "right")
    for each in found:
        figures = (each.days, each.reissued, each.rows, each.impressions, each.without_video)
        table.add_row(each.owner_id, *(f"{figure:,}" for figure in figures))
    console = stdout()
    console.print(table)
    for each in found:
        for sentence in each.news:
            console.print(sentence, markup=False)
        if not (each.days or each.news or each.problems):
            console.print(f"{each.owner_id}: nothing new.")
        for problem in each.problems:
            typer.echo(f"thumbrank: {each.owner_id}: {problem}", err=True)


def _show_purged(owner_id: str, purged: "Purged", word: str) -> None:
    table = Table(title=f"{word}: the consent of {owner_id}, its token, and", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for name, count in purged.counts.items():
        table.add_row(name.replace("_", " "), f"{count:,}")
    stdout().print(table)
