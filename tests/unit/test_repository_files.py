"""The files that a person meets before the code: what they name exists, and what they run is what `make lint` and CI run."""

import json
import re
from importlib.resources import files

import jsonschema
import pytest
import yaml

from tests.command_lines import ROOT

PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "INTEGRATION.md")


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def vendored(name):
    return json.loads((files("check_jsonschema") / "builtin_schemas" / "vendor" / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PAGES)
def test_every_link_and_every_path_leads_somewhere(name):
    text = re.sub(r"^```.*?^```", "", text_of(name), flags=re.DOTALL | re.MULTILINE)
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith(("http", "#"))]
    paths = re.findall(
        r"`((?:docs|scripts|tests|config|sql|thumbrank_core|thumbrank_dagster|\.ci|\.devcontainer|benchmarks)/[\w./-]*)`",
        text,
    )
    for target in [*targets, *paths]:
        path, _, anchor = target.partition("#")
        found = ROOT / path
        assert found.exists(), f"{name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{name}: {target}"


def test_the_hooks_before_a_commit_are_those_of_make_lint():
    config = yaml.safe_load(text_of(".pre-commit-config.yaml"))
    [repository] = config["repos"]
    assert repository["repo"] == "local"
    entries = {hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]}
    recipes = re.findall(r"^(?:lint|types-\w+):.*\n((?:\t.*\n)+)", text_of("Makefile"), re.MULTILINE)
    steps = [step.split() for step in re.findall(r"\$\(BIN\)(/[^&\n]+)", "".join(recipes))]
    assert entries == {
        ".venv/bin" + " ".join(word for word in step if word != ".") for step in steps
    }  # a hook is given the files
    assert all(hook["language"] == "system" for hook in repository["hooks"]), "nothing is fetched"


def test_the_workflow_is_one_that_runs_what_ci_runs():
    workflow = yaml.safe_load(text_of(".github/workflows/ci.yml"))
    as_json = {("on" if key is True else key): value for key, value in workflow.items()}  # YAML 1.1 reads on as true
    jsonschema.validate(as_json, vendored("github-workflows.json"))
    [job] = workflow["jobs"].values()
    steps = job["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    for step in steps:
        assert "uses" not in step or re.fullmatch(r"actions/[\w-]+@v\d+\.\d+\.\d+", step["uses"]), step
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text_of(".github/workflows/ci.yml")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_the_container_for_an_editor_is_a_plain_python_of_a_version_that_we_take():
    found = json.loads(text_of(".devcontainer/devcontainer.json"))
    name, _, tag = found["image"].partition(":")
    assert name == "python"
    assert tuple(map(int, tag.split("-")[0].split(".")[:2])) >= (3, 11)
    assert found["postCreateCommand"] == "make setup"


def test_no_file_holds_an_address_of_a_registry_or_a_path_of_a_machine():
    names = [
        *PAGES,
        ".pre-commit-config.yaml",
        ".devcontainer/devcontainer.json",
        ".github/workflows/ci.yml",
        "docs/cli.md",
        "docs/data-dictionary.md",
    ]
    for name in names:
        found = re.findall(
            r"(?:/home/|/root/|/work/|/Users/|index-url|pypi\.org|registry\.(?!py\b)|ghcr\.|docker\.io)\S*",
            text_of(name),
        )
        assert found == [], name


def test_no_placeholder_is_left_in_a_page():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        assert not re.search(r"@[A-Z]+@", page.read_text(encoding="utf-8")), page.name
