"""`thumbrank reach …`: real click-through rates of channels whose owners consented."""

import sys
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from thumbrank_core.commands.common import opened, stdout
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.youtube.reach.rows import Purged
    from thumbrank_core.youtube.reach.sync import Synced

app = typer.Typer(
    no_args_is_help=True,
    help="Real impressions and click-through rates from YouTube's Reporting API, by the consent of a channel's owner.",
)

# Ids of YouTube may begin with a hyphen and are not options.
_IDS = {"ignore_unknown_options": True}


@app.command("login")
def login_command(
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address to open and start no browser.")
    ] = False,
) -> None:
    """Ask a channel's owner for consent in the browser, and order YouTube's reports.

    Needs THUMBRANK_OAUTH_CLIENT. Example: thumbrank reach login --no-browser
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
    """Read the reports that came since the last time, of every owner who consented. Example: thumbrank reach sync"""
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
    """Give a consent back at Google, and remove its token and every figure it gave. What came from Studio stays.

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
def status_command() -> None:
    """Say who consented and what is stored of them; asks nobody. Example: thumbrank reach status"""
    from thumbrank_core.youtube.reach.rows import standings
    from thumbrank_core.youtube.reach.sync import FIRST_REPORT_AFTER
    from thumbrank_core.youtube.reach.tokens import TokenStore

    settings = Settings.read()
    with opened(settings) as database, database.connection() as connection:
        found = {standing.owner_id: standing for standing in standings(connection)}
    here = set(TokenStore(settings.owners).owners())
    console = stdout()
    if not (here or found):
        console.print("No owner has consented: thumbrank reach login asks one.")
        return
    for owner_id in sorted(here | set(found)):
        table = Table(title=owner_id, show_header=False, title_justify="left")
        table.add_column()
        table.add_column(justify="right")
        table.add_row("token", "here" if owner_id in here else "not on this machine")
        standing = found.get(owner_id)
        if standing is not None:
            table.add_row("consent confirmed", f"{standing.checked_at:%Y-%m-%d %H:%M} UTC")
            if standing.job_created_at is not None:
                table.add_row("reports ordered", f"{standing.job_created_at:%Y-%m-%d %H:%M} UTC")
                if not standing.days:
                    table.add_row(
                        "first report by", f"{standing.job_created_at + FIRST_REPORT_AFTER:%Y-%m-%d %H:%M} UTC"
                    )
            table.add_row("reports read", f"{standing.days:,}")
            table.add_row("days", f"{standing.first_day} to {standing.last_day}" if standing.first_day else "none yet")
            table.add_row("videos", f"{standing.videos:,}")
            table.add_row("rows", f"{standing.rows:,}")
            table.add_row("impressions", f"{standing.impressions:,}")
        console.print(table)


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
