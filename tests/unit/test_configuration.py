"""The files of config/ when they are wrong: whichever it is, one sentence with the file, the key and the mend."""

import shutil

import pytest

from thumbrank_core.automation.calendar import load_automation
from thumbrank_core.commands import completing
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.evaluation.floors import load_gate
from thumbrank_core.exclusions import load_exclusions
from thumbrank_core.features.specs import load_sets
from thumbrank_core.niches import load_niches
from thumbrank_core.paths import config_file
from thumbrank_core.policy import load_policy
from thumbrank_core.training.recipe import load_recipe

READERS = {
    "automation.yaml": load_automation,
    "encoders.yaml": load_sets,
    "exclusions.yaml": load_exclusions,
    "gate.yaml": load_gate,
    "niches.yaml": load_niches,
    "policy.yaml": load_policy,
    "recipes/ours.yaml": lambda path: load_recipe("ours", folder=path.parent),
}


@pytest.fixture(params=READERS)
def wrong(request, tmp_path):
    """Writes a file of config/ anew and gives what its reader says."""
    path = tmp_path / "config" / request.param
    path.parent.mkdir(parents=True)

    def says(content: bytes | None):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ThumbrankError) as caught:
            READERS[request.param](path)
        sentence = str(caught.value)
        assert "\n" not in sentence and sentence.endswith(".")
        assert caught.value.__cause__ is None
        return sentence.replace(f"{path.parent.name}/{path.name}", "FILE")

    says.name = request.param
    return says


def test_what_is_not_utf_8_is_said_with_the_mend(wrong):
    assert wrong(b"# caf\xe9\n") == "FILE is not UTF-8 text (at byte 5): save it as UTF-8."


@pytest.mark.parametrize("text", ["a: [", "a: 2026-13-45", "a: \x00"])
def test_what_is_not_yaml_is_said_with_the_mend(wrong, text):
    sentence = wrong(text.encode())
    assert sentence.startswith("FILE is not YAML (") and sentence.endswith("): correct it there.")


def test_what_is_something_else_than_a_mapping_is_said_with_the_mend(wrong):
    sentence = wrong(b"- a\n- b\n")
    assert "FILE: the whole of it is wrong (" in sentence or "FILE names no fields: write them" in sentence


def test_a_file_that_is_missing_or_may_not_be_read_is_said_with_the_mend(wrong):
    if wrong.name == "exclusions.yaml":
        return  # a missing one excludes nobody: test_exclusions.py
    sentence = wrong(None)
    assert (
        sentence == "FILE is missing: restore it from the project." or "'ours' is not a recipe: use one of" in sentence
    )


def test_a_folder_in_a_file_s_place_is_said(tmp_path):
    (tmp_path / "policy.yaml").mkdir()
    with pytest.raises(ThumbrankError, match=r"/policy\.yaml cannot be read \(Is a directory\): give this account"):
        load_policy(tmp_path / "policy.yaml")


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        (
            "automation.yaml",
            "hour: 3",
            "hour: 24",
            "config/automation.yaml: month.hour is wrong (Input should be less than",
        ),
        (
            "encoders.yaml",
            "resize: ",
            "resiez: ",
            "config/encoders.yaml: sets.production.image.resize is wrong (Field required",
        ),
        (
            "niches.yaml",
            "  tech:\n",
            "  tech:\n    colour: red\n",
            "config/niches.yaml: niches.tech.colour is wrong (Extra",
        ),
        ("gate.yaml", "slice_channels:", "slice_chanels:", "config/gate.yaml: slice_channels is wrong (Field required"),
    ],
)
def test_a_wrong_key_is_named_with_its_file_and_the_mend(tmp_path, name, old, new, says):
    text = config_file(name).read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "config" / name
    path.parent.mkdir()
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ThumbrankError) as caught:
        READERS[name](path)
    assert str(caught.value).startswith(says)
    assert str(caught.value).endswith("): correct it there.")


def test_the_tab_key_says_nothing_of_a_file_that_is_not_utf_8(tmp_path, monkeypatch):
    (tmp_path / "encoders.yaml").write_bytes(b"# caf\xe9\n")
    monkeypatch.setattr(completing, "config_file", lambda name: tmp_path / name)
    assert completing.encoder_sets("") == []


def test_a_file_that_is_mended_is_read_again(tmp_path):
    path = tmp_path / "niches.yaml"
    for _ in range(2):
        with pytest.raises(ThumbrankError, match="is missing"):
            load_niches(path)
    shutil.copy(config_file("niches.yaml"), path)
    assert load_niches(path) == load_niches()


def test_recipes_that_are_each_other_s_base_are_named_with_the_mend(tmp_path):
    for name, base in (("one", "two"), ("two", "three"), ("three", "one"), ("alone", "alone")):
        (tmp_path / f"{name}.yaml").write_text(f"base: {base}\nname: {name}\n")
    with pytest.raises(ThumbrankError) as caught:
        load_recipe("one", folder=tmp_path)
    assert str(caught.value) == (
        "Recipe three is its own base (one > two > three > one): name another in `base`, or take that line out of one of them."
    )
    with pytest.raises(ThumbrankError, match=r"^Recipe alone is its own base \(alone > alone\): name another"):
        load_recipe("alone", folder=tmp_path)
