"""What a data team edits, and what it is told when it is wrong."""

import pytest
import yaml
from pydantic import ValidationError

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features.specs import EncoderError, load_set, locate
from thumbrank_core.niches import NICHES, NicheConfig, UnknownNicheError, enabled_niches, load_niches, require_niche
from thumbrank_core.paths import config_file
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
        ("niches: {tech: {title: T, queries: []}}", r"niches\.tech\.queries is wrong"),
        ("niches: [", "is not YAML"),
        ("", "missing"),
    ],
)
def test_a_wrong_niches_file_is_one_sentence(tmp_path, text, says):
    path = tmp_path / "niches.yaml"
    path.write_text(text)
    with pytest.raises(ThumbrankError, match=says):
        load_niches(path)


def written_policy(tmp_path, **changes):
    """The shipped policy with some sections changed; None takes one out."""
    policy = yaml.safe_load(config_file("policy.yaml").read_text(encoding="utf-8"))
    for name, change in changes.items():
        if change is None:
            del policy[name]
        else:
            policy[name] = policy.get(name, {}) | change if isinstance(change, dict) else change
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump(policy), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"collection": {"per_channel": 0}}, r"collection\.per_channel"),
        ({"collection": {"search_pages": 11}}, r"collection\.search_pages"),
        ({"collection": {"trainability": "sometimes"}}, r"collection\.trainability"),
        ({"collection": {"pages": 1}}, r"collection\.pages"),
        ({"quota": {"search": -1}}, r"quota\.search"),
        ({"retention": {"days": 31}}, r"retention\.days"),
        ({"criteria": {"made_for_kids": "maybe"}}, r"criteria\.made_for_kids"),
        ({"mode": "lenient"}, "mode"),
        ({"quota": None}, "quota"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_wrong_policy_names_its_field(tmp_path, changes, field):
    with pytest.raises(ThumbrankError, match=rf"/policy\.yaml: {field} is wrong") as caught:
        load_policy(written_policy(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_a_policy_that_is_not_yaml_is_one_sentence(tmp_path):
    (tmp_path / "policy.yaml").write_text("mode: [")
    with pytest.raises(ThumbrankError, match=r"/policy\.yaml is not YAML"):
        load_policy(tmp_path / "policy.yaml")


def test_a_profile_changes_what_it_names_and_nothing_else():
    default, guide = load_policy(), load_policy(profile="guide")
    assert (guide.collection.per_channel, guide.collection.window_days) == (50, 90)
    assert (guide.labels.label, guide.labels.min_age_days) == ("views_per_hour", 0)
    assert (guide.criteria.outlier_sd, guide.pairs.later_partners) == (3, None)
    assert default.collection.per_channel == 150
    assert (default.labels.label, default.labels.min_age_days) == ("age_adjusted", 7)
    assert (default.criteria.outlier_sd, default.pairs.later_partners) == (None, 8)
    named = {
        "collection": ["per_channel", "window_days"],
        "criteria": ["outlier_sd"],
        "labels": ["label", "min_age_days"],
        "pairs": ["later_partners"],
    }
    back = {
        section: getattr(guide, section).model_copy(
            update={name: getattr(getattr(default, section), name) for name in names}
        )
        for section, names in named.items()
    }
    assert guide.model_copy(update=back) == default


def test_a_profile_may_change_what_is_no_section(tmp_path):
    path = written_policy(tmp_path, profiles={"ours": {"mode": "audited", "quota": {"default": 5}}})
    assert load_policy(path, profile="ours").mode == "audited"
    assert load_policy(path, profile="ours").quota.default == 5
    assert load_policy(path, profile="ours").quota.search == load_policy(path).quota.search
    assert load_policy(path).mode == "unaudited"


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(
        ThumbrankError, match=r"^config/policy\.yaml has no profile 'strict': use one of default, guide\."
    ):
        load_policy(profile="strict")


@pytest.mark.parametrize("change", [{"collection": {"per_channel": 0}}, {"colection": {"per_channel": 1}}])
def test_a_profile_is_validated_like_the_rest(tmp_path, change):
    with pytest.raises(ThumbrankError, match=r"/policy\.yaml: profiles\.ours\.col.* is wrong"):
        load_policy(written_policy(tmp_path, profiles={"ours": change}), profile="ours")


def test_rows_are_refreshed_before_they_expire_and_quotas_are_youtube_s():
    policy = load_policy()
    assert policy.mode == "unaudited"
    assert policy.retention.refresh_from_day < policy.retention.days <= 30
    assert (policy.quota.search, policy.quota.stats_batch, policy.quota.default) == (100, 10_000, 10_000)


def test_an_unknown_encoder_set_lists_the_known_ones():
    with pytest.raises(EncoderError, match="use one of production, tiny"):
        load_set("huge")


def test_production_encoders_are_pinned_to_a_revision():
    encoders = load_set("production")
    assert len(str(locate(encoders.image).revision)) == 40
    assert len(str(locate(encoders.title).revision)) == 40


@pytest.mark.parametrize("name", ["image", "title"])
def test_weights_that_are_not_the_pinned_ones_are_refused(name):
    spec = getattr(load_set("tiny"), name)
    assert locate(spec).is_local
    with pytest.raises(EncoderError, match=r"not those that config/encoders\.yaml pins"):
        locate(spec.model_copy(update={"sha256": "0" * 64}))


def test_a_folder_without_a_pin_is_refused_with_the_line_that_pins_it():
    spec = load_set("tiny").image
    with pytest.raises(EncoderError, match=f"sha256: {spec.sha256}"):
        locate(spec.model_copy(update={"sha256": None}))


def test_a_missing_package_or_an_unpinned_hub_model_is_refused():
    spec = load_set("tiny").title
    with pytest.raises(EncoderError, match="pip install"):
        locate(spec.model_copy(update={"model": "package:no_such_package_here/model"}))
    with pytest.raises(EncoderError, match="pin one"):
        locate(spec.model_copy(update={"model": "someone/model", "revision": None}))


def test_what_expires_before_it_is_refreshed_is_refused(tmp_path):
    text = (
        config_file("policy.yaml")
        .read_text()
        .replace("days: 30\n  refresh_from_day: 25", "days: 7\n  refresh_from_day: 25")
    )
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(ThumbrankError, match=r"retention is wrong .*refresh_from_day 25 must come before days 7"):
        load_policy(path)


def test_a_channel_s_name_is_no_channel_id_and_a_query_is_asked_once():
    with pytest.raises(ValidationError, match="should match pattern"):
        NicheConfig(title="T", queries=("a",), channels=("Linus Tech Tips",))
    assert NicheConfig(title="T", queries=("a", "b", "a")).queries == ("a", "b")
