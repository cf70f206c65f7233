"""`thumbrank expire` and `thumbrank forget`: what must go. Without --yes they only say what would."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from thumbrank_core.commands.common import OPERATE, JsonOption, opened, print_json, stdout
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.retention.removal import Removal
    from thumbrank_core.store.tombstones import ItemKind

app = typer.Typer()
forget_app = typer.Typer(
    no_args_is_help=True,
    help="Remove one channel or video from every store, for good.\n\n"
    "It is never collected again. Without --yes it only says what would go.\n\n"
    "Example: thumbrank forget video xxxxxxxxxxx",
)
app.add_typer(forget_app, name="forget", rich_help_panel=OPERATE)

Yes = Annotated[
    bool, typer.Option("--yes", help="Remove it. Without: say what would be removed, and ask on a terminal.")
]
# Ids of YouTube may begin with a hyphen and are not options.
_IDS = {"ignore_unknown_options": True}


@app.command("expire", rich_help_panel=OPERATE)
def expire_command(yes: Yes = False, as_json: JsonOption = False) -> None:
    """Remove what the policy no longer lets us keep.

    By config/policy.yaml: rows, pictures, vectors, and videos shown in reports. Models, their figures and a team's own data stay.

    Keys of --json: action, subject, mode, dry_run, counts (by store). It asks nothing: with --yes it removes, without it does not.

    Example: thumbrank expire --yes
    """
    from thumbrank_core.policy import load_policy
    from thumbrank_core.retention.removal import expire, stores_of
    from thumbrank_core.store.images import ImageStore

    settings = Settings.read()
    policy = load_policy(profile=settings.profile)
    with opened(settings) as database:
        stores = stores_of(settings, ImageStore(settings.images))

        def remove(dry_run: bool) -> "Removal":
            return expire(database, stores, policy, dry_run=dry_run)

        if as_json:
            print_json(remove(not yes))
        elif _after_asking(remove, yes).total == 0:
            typer.echo(f"Nothing is older than policy.yaml allows (mode {policy.mode}).")


@forget_app.command("channel", context_settings=_IDS)
def forget_channel_command(
    channel_id: Annotated[str, typer.Argument(metavar="ID", help="The channel's id, such as UC….")], yes: Yes = False
) -> None:
    """Remove a channel with all of its videos.

    Example: thumbrank forget channel UCxxxxxxxxxxxxxxxxxxxxxx --yes
    """
    _forget("channel", channel_id, yes)


@forget_app.command("video", context_settings=_IDS)
def forget_video_command(
    video_id: Annotated[str, typer.Argument(metavar="ID", help="The video's id.")], yes: Yes = False
) -> None:
    """Remove one video; its channel stays.

    Example: thumbrank forget video xxxxxxxxxxx --yes
    """
    _forget("video", video_id, yes)


def _forget(kind: "ItemKind", item_id: str, yes: bool) -> None:
    from thumbrank_core.policy import load_policy
    from thumbrank_core.retention.removal import forget, stores_of
    from thumbrank_core.store.images import ImageStore
    from thumbrank_core.youtube.reach.tokens import TokenStore

    settings = Settings.read()
    mode = load_policy(profile=settings.profile).mode
    with opened(settings) as database:
        stores = stores_of(settings, ImageStore(settings.images))

        def remove(dry_run: bool) -> "Removal":
            return forget(database, stores, mode, kind, item_id, dry_run=dry_run)

        found = _after_asking(remove, yes)
        removed = not found.dry_run
        if kind == "channel" and removed and TokenStore(settings.owners).delete(item_id):
            typer.echo(
                f"The consent of {item_id} is deleted here; its owner ends it at Google: https://myaccount.google.com/connections"
            )
        if found.total == 0:
            if not removed:
                typer.echo(
                    f"thumbrank: Nothing of {kind} {item_id} is stored: correct the id, or add --yes to have it never collected.",
                    err=True,
                )
                raise typer.Exit(1)
            typer.echo(f"Nothing of {kind} {item_id} was stored; it will never be collected.")


def _after_asking(remove: Callable[[bool], "Removal"], yes: bool) -> "Removal":
    """Show what would go, and remove it where that was asked for, by the option or at the prompt; returns what was done last."""
    found = remove(not yes)
    if found.total == 0:
        return found
    _show(found)
    if found.dry_run:
        if sys.stdin.isatty() and typer.confirm("Remove it?"):
            found = remove(False)
            _show(found)
        else:
            typer.echo("Nothing was removed: add --yes to remove it.")
    return found


def _show(removal: "Removal") -> None:
    word = "Would be removed" if removal.dry_run else "Removed"
    table = Table(
        title=f"{word}: {removal.subject} (policy mode {removal.mode})", show_header=False, title_justify="left"
    )
    table.add_column()
    table.add_column(justify="right")
    for store, count in removal.counts.items():
        if count:
            table.add_row(store.replace("_", " "), f"{count:,}")
    stdout().print(table)
