"""Commands in our pages name verbs, options and targets that exist.

Whether they also run is tests/e2e/test_running_documented_commands.py.
"""

import re

import pytest

from tests.command_lines import ROOT, Block, blocks, check, commands, pages, unknown

INLINE = re.compile(r"`thumbrank ([^`\n]+)`")
ALL = [block for page in pages() for block in blocks(page)]


@pytest.mark.parametrize("block", ALL, ids=str)
def test_every_command_in_a_block_is_one_that_the_program_takes(block: Block):
    assert check(block.text) == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_in_a_sentence_names_what_exists(page):
    wrong = []
    for code in INLINE.findall(page.read_text(encoding="utf-8")):
        words = code.replace("\\|", " ").replace('"', " ").replace("'", " ").split()
        wrong += [f"thumbrank {code}: {problem}" for problem in unknown(words)]
    assert wrong == []


def test_what_does_not_exist_is_found():
    assert unknown(["collct", "--niche", "NAME"]) == ["no verb collct"]
    assert unknown(["collect", "--nish", "NAME"]) == ["no option --nish"]
    assert unknown(["VERB", "--help"]) == unknown(["reach"]) == unknown(["reach", "login"]) == unknown(["--help"]) == []


def test_shell_is_read_as_a_shell_reads_it():
    text = (
        "A=1 thumbrank plan \\\n  --channels 3   # it's a comment\n"
        "for f in a b; do thumbrank db dump \"$f\" > 'x y'; done\ncat <<'X' | wc -l\nthumbrank nonsense 'quote\nX\n"
    )
    found = list(commands(text))
    assert ["thumbrank", "plan", "--channels", "3"] in found
    assert ["thumbrank", "db", "dump", "$f"] in found
    assert ["wc", "-l"] in found
    assert not [words for words in found if "nonsense" in words]
