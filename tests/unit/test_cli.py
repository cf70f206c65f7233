"""The command line as a whole: its help, its examples, its exit statuses, completion, and how fast it starts."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from scripts.make_cli_reference import EXAMPLE, PAGE, reference
from tests.command_lines import check, every_command, refused
from thumbrank_core.cli import EXIT_STATUSES
from thumbrank_core.commands import (
    collect,
    common,
    completing,
    database,
    embeddings,
    evaluating,
    export_data,
    plan,
    promotion,
    quota,
    reach,
    score,
)
from thumbrank_core.features.specs import load_sets
from thumbrank_core.interrupts import EXIT_INTERRUPTED, INTERRUPTED
from thumbrank_core.niches import NICHES
from thumbrank_core.retention.removal import Removal
from thumbrank_core.settings import Settings
from thumbrank_core.youtube.collect import StageName
from thumbrank_dagster.cli import app

HEAVY = {
    "torch",
    "dagster",
    "mlflow",
    "numpy",
    "pandas",
    "sklearn",
    "transformers",
    "psycopg",
    "googleapiclient",
    "jinja2",
}
COMMANDS = dict(every_command())
DOCUMENTS = {
    "thumbrank plan": plan.PlanOut,
    "thumbrank collect": collect.CollectOut,
    "thumbrank quota": quota.QuotaOut,
    "thumbrank embeddings status": embeddings.EmbeddingsOut,
    "thumbrank db status": database.SchemaOut,
    "thumbrank score": score.RankingOut,
    "thumbrank evaluate": evaluating.EvaluationOut,
    "thumbrank reach status": reach.OwnersOut,
    "thumbrank promote": promotion.DecisionOut,
    "thumbrank rollback": promotion.DecisionOut,
    "thumbrank export-data": export_data.ExportOut,
    "thumbrank expire": Removal,
}
"""What each --json prints."""


def invoke(*words, **variables):
    return CliRunner().invoke(app, words, env={"COLUMNS": "80", **variables})


@pytest.mark.parametrize("name", COMMANDS)
def test_every_verb_has_an_example_that_the_program_would_take(name):
    examples = EXAMPLE.findall(COMMANDS[name].help)
    assert examples, f"{name} --help has no line 'Example: thumbrank …'"
    for example in examples:
        assert example.startswith(f"{name} ") or example == name, f"{example} is no example of {name}"
        assert check(example) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_line_of_a_verb_fits_into_the_table_of_contents(name):
    first, _, _ = COMMANDS[name].help.partition("\n\n")
    assert len(" ".join(first.split())) <= 60
    assert first.strip().endswith(".")


def test_examples_that_do_not_exist_are_found():
    assert check("thumbrank colect --niche tech") == [
        "thumbrank colect --niche tech: No such command 'colect'. Did you mean 'collect'?"
    ]
    assert "No such option: --nich" in check("A=b thumbrank collect --nich tech | head")[0]
    assert "No such option: --yess" in check("thumbrank reach logout --yess")[0]
    assert "extra argument" in check("thumbrank forget video -abcdefghij --yess")[0]
    assert "Missing option '--niche'" in check("x && .venv/bin/thumbrank run > file")[0]
    assert check("make demo; make nothing") == ["make nothing: there is no such target"]
    assert check("thumbrank collect --niche tech # and so on\ncat <<'X' >y\nthumbrank nonsense\nX\n") == []
    assert refused(["--version"]) == []


def test_the_help_lists_the_verbs_in_the_order_of_the_pipeline():
    found = invoke("--help").output
    places = [found.index(f"─ {panel} ─") for panel in common.PANELS]
    assert places == sorted(places)
    assert "─ Commands ─" not in found
    order = [line.split()[1] for line in found.splitlines() if re.match(r"│ [a-z]", line)]
    assert order == [name.split()[1] for name in sorted(COMMANDS, key=_place) if name.count(" ") == 1]


def _place(name):
    return common.PANELS.index(COMMANDS[name.rsplit(" ", 1)[0] if name.count(" ") > 1 else name].rich_help_panel)


def test_every_exit_status_is_in_the_help_and_is_what_comes(monkeypatch):
    found = " ".join(invoke("--help").output.split())
    for status, says in EXIT_STATUSES.items():
        assert f"{status} {says[0]}" in found
    assert set(EXIT_STATUSES) == {0, 1, 2, EXIT_INTERRUPTED}
    assert invoke("plan").exit_code == 0
    assert invoke("collect", "--niche", "cooking").exit_code == 1
    for wrong in ((), ("nonsense",), ("plan", "--nonsense"), ("plan", "--channels", "many")):
        assert invoke(*wrong).exit_code == 2

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(Settings, "read", interrupted)
    done = invoke("plan")
    assert (done.exit_code, done.stdout) == (130, "")
    assert "the same command continues" in done.stderr


def test_an_interrupt_that_python_wrapped_is_one_as_well(monkeypatch):
    """One that meets the body of a class, as during an import, becomes a RuntimeError."""

    class Interrupting:
        def __set_name__(self, *_):
            raise KeyboardInterrupt

    def interrupted():
        type("Read", (), {"name": Interrupting()})

    monkeypatch.setattr(Settings, "read", interrupted)
    done = invoke("plan")
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", INTERRUPTED + "\n")


def test_ctrl_c_before_the_command_line_is_there_is_the_same_sentence():
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'rich': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from thumbrank_dagster.__main__ import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", INTERRUPTED + "\n")


def test_the_version_is_the_package_s():
    assert re.fullmatch(r"thumbrank \d+\.\d+\.\d+\S*\n", invoke("--version").output)


def keys_in_help(name):
    [line] = re.findall(r"Keys of --json: (.*)", COMMANDS[name].help)
    flat = re.sub(r"\([^()]*\)", "", line.split(". ")[0].removesuffix("."))
    return re.findall(r"[a-z_]+", re.sub(r"\band\b", "", flat))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_help_names_every_key_of_the_document(name):
    document = DOCUMENTS[name]
    keys = (
        document.model_fields if hasattr(document, "model_fields") else [f.name for f in dataclasses.fields(document)]
    )
    assert sorted(keys_in_help(name)) == sorted(keys)


def test_every_verb_with_json_is_known_here():
    with_json = {name for name, command in COMMANDS.items() if any("--json" in p.opts for p in command.params)}
    assert with_json == set(DOCUMENTS)


def test_a_plan_in_json_is_the_plan_of_the_table():
    found = json.loads(invoke("plan", "--channels", "500", "--per-channel", "240", "--json").stdout)
    assert (found["channels"], found["videos"]) == (500, 120_000)
    table = invoke("plan", "--channels", "500", "--per-channel", "240", COLUMNS="200").output
    assert f"{found['pairs']:,} pairs" in table
    for row in found["units"]:
        assert re.search(rf"{re.escape(row['job'])}\s+│\s+{row['bucket']}\s+│\s+{row['units']:,}\s", table)
    assert set(found["gigabytes"]) <= set(re.findall(r"│ (\S.*?)\s+│", table))


def test_a_figure_that_could_not_be_had_is_null(capsys):
    common.print_json(plan.PlanOut(1, 1, 0, 30.0, (), {"embeddings": float("nan")}, {}))
    assert json.loads(capsys.readouterr().out)["gigabytes"] == {"embeddings": None}


@pytest.fixture
def complete(tmp_path):
    """What the shell gets for a line that ends where the Tab key is pressed."""

    def ask(line, words=None):
        done = subprocess.run(
            [Path(sys.executable).with_name("thumbrank")],
            env=os.environ
            | {"_THUMBRANK_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        return done.stdout.split()

    return ask


def test_the_shell_completes_verbs_options_and_names(complete):
    assert complete("thumbrank ex") == ["export", "export-data", "expire"]
    assert complete("thumbrank collect --niche e") == ["education", "entertainment"]
    assert "--dry-run" in complete("thumbrank train --")


def test_what_is_completed_is_what_there_is():
    assert completing.niches("") == list(NICHES)
    assert completing.recipes("gu") == ["guide"]
    assert completing.encoder_sets("") == list(load_sets())
    assert completing.stages("") == list(get_args(StageName))


def test_a_broken_file_completes_nothing_and_says_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(completing, "config_file", lambda name: tmp_path / name)
    assert completing.encoder_sets("") == [] == completing.recipes("")
    (tmp_path / "encoders.yaml").write_text("sets: [")
    assert completing.encoder_sets("") == []


def test_every_option_that_names_something_of_ours_completes_it():
    of = {
        "--niche": "niches",
        "--data": "niches",
        "--encoders": "encoder_sets",
        "--recipe": "recipes",
        "--stage": "stages",
    }
    for name, command in COMMANDS.items():
        for parameter in command.params:
            for option in set(parameter.opts) & set(of):
                found = [item.value for item in parameter.shell_complete(None, "")]
                assert found == getattr(completing, of[option])(""), f"{name} {option}"


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["train", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(words, tmp_path):
    """The measure is the modules, as seconds depend on the machine: about 0.3 s where numpy or psycopg alone would add 0.2."""
    code = (
        "import sys\nfrom thumbrank_dagster.cli import app\n"
        f"try:\n    app({words!r})\nfinally:\n    print(*sorted({{m.partition('.')[0] for m in sys.modules}}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert HEAVY & set(done.stderr.split()) == set()


def test_the_page_is_what_the_program_says_now():
    assert Path(PAGE).read_text(encoding="utf-8") == reference(), "run: .venv/bin/python scripts/make_cli_reference.py"
