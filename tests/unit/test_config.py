"""What a data team edits, and what it is told when it is wrong."""

import pytest

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features.specs import EncoderError, load_set, locate
from thumbrank_core.niches import NICHES, UnknownNicheError, enabled_niches, load_niches, require_niche
from thumbrank_core.policy import load_policy


def test_the_shipped_files_are_valid():
    assert tuple(load_niches()) == NICHES == enabled_niches()
    assert load_policy().pairs.window_days == 30
    assert load_set("production").image.dimension == 768
    assert load_set("production").title.dimension == 384


def test_an_unknown_niche_lists_the_known_ones():
    with pytest.raises(UnknownNicheError, match=r"use one of tech, gaming, education, entertainment, beauty, news\."):
        require_niche("cooking")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("niches: {tech: {title: T, queries: [a]}}", "missing"),
        ("niches: {tech: {title: T, queries: []}}", "cannot be read"),
        ("niches: [", "cannot be read"),
        ("", "missing"),
    ],
)
def test_a_wrong_niches_file_is_one_sentence(tmp_path, text, says):
    path = tmp_path / "niches.yaml"
    path.write_text(text)
    with pytest.raises(ThumbrankError, match=says):
        load_niches(path)


def test_a_wrong_policy_names_its_field(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("mode: unaudited\ncollection: {per_channel: 0}\ncriteria: {}\npairs: {window_days: 30}")
    with pytest.raises(ThumbrankError, match=r"collection\.per_channel is wrong"):
        load_policy(path)


def test_an_unknown_encoder_set_lists_the_known_ones():
    with pytest.raises(EncoderError, match="use one of production, tiny"):
        load_set("huge")


def test_production_encoders_are_pinned_to_a_revision():
    encoders = load_set("production")
    assert len(locate(encoders.image).revision) == 40
    assert len(locate(encoders.title).revision) == 40


@pytest.mark.parametrize("name", ["image", "title"])
def test_weights_that_are_not_the_pinned_ones_are_refused(name):
    spec = getattr(load_set("tiny"), name)
    assert locate(spec).is_local
    with pytest.raises(EncoderError, match=r"not those that config/encoders\.yaml pins"):
        locate(spec.model_copy(update={"sha256": "0" * 64}))


def test_a_missing_package_or_an_unpinned_hub_model_is_refused():
    spec = load_set("tiny").title
    with pytest.raises(EncoderError, match="pip install"):
        locate(spec.model_copy(update={"model": "package:no_such_package_here/model"}))
    with pytest.raises(EncoderError, match="pin one"):
        locate(spec.model_copy(update={"model": "someone/model", "revision": None}))
