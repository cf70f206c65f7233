"""What a team never collects, as config/exclusions.yaml says it, and what it is told when the file is wrong."""

import pytest

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.exclusions import Exclusions, load_exclusions

CHANNEL = "UC_x5XG1OV2P6uZZ5FSM9Ttw"


def written(tmp_path, text):
    path = tmp_path / "exclusions.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_file_excludes_nobody():
    assert load_exclusions() == Exclusions({}, {})


@pytest.mark.parametrize("text", ["", "exclusions: []", "# only a comment\n"])
def test_an_empty_file_excludes_nobody(tmp_path, text):
    assert load_exclusions(written(tmp_path, text)) == Exclusions({}, {})


def test_a_missing_file_excludes_nobody(tmp_path):
    assert load_exclusions(tmp_path / "exclusions.yaml") == Exclusions({}, {})


def test_channels_and_videos_are_read_with_their_reasons(tmp_path):
    found = load_exclusions(
        written(
            tmp_path,
            f"exclusions:\n  - {{channel: {CHANNEL}, reason: re-uploads, who: ana}}\n"
            "  - {video: '-abcdefghij', reason: shows a minor, who: ben}\n",
        )
    )
    assert found == Exclusions({CHANNEL: "re-uploads"}, {"-abcdefghij": "shows a minor"})


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("{channel: UCaaaaaaaaaaaaaaaaaaaaaa, who: ana}", r"exclusions\.0\.reason is wrong"),
        ("{channel: UCaaaaaaaaaaaaaaaaaaaaaa, reason: r}", r"exclusions\.0\.who is wrong"),
        ("{channel: UCaaaaaaaaaaaaaaaaaaaaaa, reason: '', who: ana}", r"exclusions\.0\.reason is wrong"),
        ("{reason: r, who: ana}", r"exclusions\.0 is wrong .*name either a channel or a video"),
        (
            "{channel: UCaaaaaaaaaaaaaaaaaaaaaa, video: vvvvvvvvvvv, reason: r, who: ana}",
            r"exclusions\.0 is wrong .*name either a channel or a video",
        ),
        ("{chanel: UC1, reason: r, who: ana}", r"exclusions\.0\.chanel is wrong"),
        ("UC1", r"exclusions\.0 is wrong"),
        ("{channel: Linus Tech Tips, reason: r, who: ana}", r"exclusions\.0\.channel is wrong"),
    ],
)
def test_a_wrong_entry_is_one_sentence_that_names_it(tmp_path, entry, says):
    with pytest.raises(ThumbrankError, match=rf"/exclusions\.yaml: {says}") as caught:
        load_exclusions(written(tmp_path, f"exclusions:\n  - {entry}\n"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "says"), [("exclusions: [", "is not YAML"), ("- a\n- b\n", "is wrong")])
def test_a_file_that_is_something_else_is_one_sentence(tmp_path, text, says):
    with pytest.raises(ThumbrankError, match=rf"/exclusions\.yaml.* {says}") as caught:
        load_exclusions(written(tmp_path, text))
    assert "\n" not in str(caught.value)
