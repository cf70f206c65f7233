"""Command lines that our pages and help texts show: read out of a page, and held against the program without running anything."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
import typer.main

from thumbrank_dagster.cli import app

UsageError: Any = typer.BadParameter.__base__
"""Typer's own copy of click has it, and no public name for it."""

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```sh\b([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HERE_DOCUMENT = re.compile(r"<<-?'?\"?(\w+)'?\"?(.*?)\n(.*?)^\s*\1$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
KEYWORDS = {"if", "then", "else", "elif", "fi", "while", "until", "do", "done", "!", "{", "}", "time"}
MARKS = ";|&<>()\n"


@dataclass(frozen=True)
class Block:
    """A block of shell in a page. `kind`: what stands after `sh`; nothing: it runs as it is written."""

    page: str
    number: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}#{self.number}"


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in their order, counted from 1."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    name = page.relative_to(ROOT).as_posix()
    return [Block(name, number, kind.strip(), text) for number, (kind, text) in enumerate(found, start=1)]


def pages() -> list[Path]:
    """README.md and the pages beside it, then docs/, in the order in which they are run."""
    return [
        *(
            path
            for name in ("README", "CONTRIBUTING", "SECURITY", "INTEGRATION")
            if (path := ROOT / f"{name}.md").is_file()
        ),
        *sorted((ROOT / "docs").glob("*.md")),
    ]


def commands(text: str) -> Iterator[list[str]]:
    """The simple commands of a piece of shell, each as its words; words of a here-document and of `sh -c` are not looked into.

    Raises:
        ValueError: a quote that is not closed.
    """
    script = COMMENT.sub("", HERE_DOCUMENT.sub(r"\2", text).replace("\\\n", " "))
    lexer = shlex.shlex(script, posix=True, punctuation_chars=MARKS)
    lexer.whitespace, lexer.commenters = " \t\r", ""  # a line ends a command, also one that ends with a comment
    lexer.whitespace_split = True
    words: list[str] = []
    skip = False
    for token in lexer:
        if set(token) <= set(MARKS):
            skip = token in ("<", ">", ">>", "2>", ">&", "&>")  # a file follows, which is no argument
            if not skip and words:
                yield words
                words = []
        elif skip:
            skip = False
        elif words or not (token in KEYWORDS or ASSIGNMENT.fullmatch(token)):
            words.append(token)
    if words:
        yield words


def check(text: str) -> list[str]:
    """Hold every `thumbrank …` and `make …` of a piece of shell against the program; returns what is wrong, in sentences."""
    wrong: list[str] = []
    for words in commands(text):
        name, rest = Path(words[0]).name, words[1:]
        if name == "thumbrank":
            wrong += [f"{shlex.join(words)}: {problem}" for problem in refused(rest)]
        elif name == "make":
            wrong += [
                f"make {target}: there is no such target"
                for target in rest
                if target not in _targets() and "=" not in target
            ]
    return wrong


def refused(words: Sequence[str]) -> list[str]:
    """What `thumbrank` would call wrong usage in these words; nothing is run."""
    command: Any = typer.main.get_command(app)
    context: Any = None
    name, rest = "thumbrank", list(words)
    try:
        while True:
            context = command.make_context(name, list(rest), parent=context)
            if not hasattr(command, "commands"):
                known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
                named = [
                    word.partition("=")[0] for word in rest if word.startswith("--")
                ]  # ids may begin with one hyphen
                return [f"No such option: {word}" for word in named if word not in known]
            name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    except UsageError as error:
        return [error.format_message()]
    except typer.Exit:
        return []


def unknown(words: Sequence[str]) -> list[str]:
    """Verbs and options in these words that do not exist; unlike `refused`, words may be missing and values may be placeholders."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if not re.fullmatch(r"[a-z][a-z-]*", rest[0]):
            return []  # VERB, …: a placeholder
        if rest[0] not in command.commands:
            return [f"no verb {rest[0]}"]
        command = command.commands[rest.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
    named = [word.partition("=")[0].rstrip(".,;:") for word in rest if word.startswith("--")]
    return [f"no option {word}" for word in named if word not in known and word != "--"]


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def every_command() -> Iterator[tuple[str, Any]]:
    """Every verb and group of verbs, with its full name."""

    def below(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            yield f"{prefix} {name}", command
            if hasattr(command, "commands"):
                yield from below(command, f"{prefix} {name}")

    yield from below(typer.main.get_command(app), "thumbrank")
