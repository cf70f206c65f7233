"""Write docs/cli.md: every verb as `--help` knows it, and its options. A test holds the page and the program together.

Run: .venv/bin/python scripts/make_cli_reference.py
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from thumbrank_core.cli import COMPLETION, EXIT_STATUSES, OUTPUT
from thumbrank_core.commands.common import PANELS
from thumbrank_dagster.cli import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
EXAMPLE = re.compile(r"^Example: (thumbrank .*)$", re.MULTILINE)


def reference() -> str:
    """The page."""
    root = typer.main.get_command(app)
    lines = [
        "# Every command",
        "",
        "Made by `scripts/make_cli_reference.py` from the program itself; mend the text there. `thumbrank VERB --help` says the same.",
        "",
        f"**Output.** {_prose(OUTPUT)} What could not be had is null.",
        "",
        f"**Shell completion.** `{COMPLETION.replace(',', '`,', 1)}",
        "",
        "| exit status | meaning |",
        "|---|---|",
        *(f"| {status} | {_cell(' '.join(says))} |" for status, says in EXIT_STATUSES.items()),
        "",
    ]
    verbs = list(_verbs(root, "thumbrank"))
    for panel in PANELS:
        lines += [f"## {panel}", ""]
        for name, command, where in verbs:
            if where == panel:
                lines += _section(name, command)
    return "\n".join(lines).rstrip() + "\n"


def _verbs(group: Any, prefix: str, panel: str | None = None) -> Iterator[tuple[str, Any, str]]:
    """Every command and group below one, with its full name and the panel it stands in, in the order of the help."""
    for name in group.list_commands(typer.Context(group)):
        command, full = group.commands[name], f"{prefix} {name}"
        where = panel or command.rich_help_panel
        yield full, command, where
        if hasattr(command, "commands"):
            yield from _verbs(command, full, where)


def _section(name: str, command: Any) -> list[str]:
    context = typer.Context(command, info_name=name)
    text = _plain(command.help)
    examples = EXAMPLE.findall(text)
    paragraphs = [part.strip() for part in EXAMPLE.sub("", text).split("\n\n") if part.strip()]
    lines = [f"### {name}", ""]
    for paragraph in paragraphs:
        item = "- " if paragraph.startswith("**") else ""  # of a list: the columns of an import
        lines += [item + _prose(" ".join(paragraph.split())), *([] if item else [""])]
    if lines[-1]:
        lines.append("")
    if hasattr(command, "commands"):
        lines += ["Verbs: " + ", ".join(f"`{name} {verb}`" for verb in command.commands) + ".", ""]
    lines += ["```sh notest", *examples, "```", ""]
    rows = [_row(parameter, context) for parameter in command.params]
    if rows:
        lines += ["| argument or option | default | meaning |", "|---|---|---|", *rows, ""]
    return lines


def _row(parameter: Any, context: Any) -> str:
    default = parameter.get_default(context)
    if parameter.required:
        shown = "required"
    elif default is None or default is False:
        shown = ""
    else:
        shown = f"`{default}`"
    least = f" At least {parameter.min}." if getattr(parameter, "min", None) is not None else ""
    return f"| `{_name(parameter, context)}` | {shown} | {_cell(_prose(_plain(parameter.help or '')))}{least} |"


def _name(parameter: Any, context: Any) -> str:
    if parameter.param_type_name == "argument":
        return _cell(parameter.display_name_raw.upper())
    names = ", ".join(parameter.opts)
    return (
        names if parameter.is_flag else f"{names} {_cell(parameter.display_type_rich(context).replace(' range>', '>'))}"
    )


def _plain(markup: str) -> str:
    """Rich's markup as Markdown; there is nothing but bold in ours."""
    return re.sub(r"\[bold\](.*?)\[/bold\]", r"**\1**", markup)


def _prose(text: str) -> str:
    """`<video_id>` and bare names with underscores, which Markdown would take for its own."""
    return re.sub(r"(?<!`)(<[a-z_]+>(?:\.[a-z]+)?|--[a-z][a-z-]+)(?!`)", r"`\1`", text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    PAGE.write_text(reference(), encoding="utf-8")
    print(f"{PAGE.relative_to(PAGE.parents[1])}: written")


if __name__ == "__main__":
    main()
