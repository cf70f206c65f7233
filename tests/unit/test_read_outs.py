"""An owner's read-out: planted click-through rates come back, and one owner's figures never reach another's file."""

import json
import re
import stat

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import t as student

from thumbrank_core.store.owner_files import OwnerFiles
from thumbrank_core.training.owner_rates import OwnerRates
from thumbrank_core.training.read_outs import (
    MIN_CLICKS,
    MIN_IMPRESSIONS,
    MIN_VIDEOS,
    ReadOut,
    ReadOutError,
    fit_read_out,
    read_outs_of,
    write_read_outs,
)

FIRST, SECOND = "UC" + "a" * 22, "UC" + "b" * 22
MODEL = "f" * 64


def drawn(intercept=-3.0, slope=0.4, *, videos=80, scatter=0.3, tail=1.2, typical=8.0, seed=0):
    """Scores, and clicks drawn from them: `scatter` is how videos of one score differ, `tail` how impressions do."""
    generator = np.random.default_rng(seed)
    score = 5 + 1.3 * generator.normal(size=videos)
    impressions = np.ceil(np.exp(generator.normal(typical, tail, videos)))
    truth = expit(intercept + slope * (score - 5) + scatter * generator.normal(size=videos))
    rate = generator.binomial(impressions.astype(int), truth) / impressions
    return score, OwnerRates(np.arange(videos), rate, impressions), truth


def fitted(*arguments, **options):
    score, rates, truth = drawn(*arguments, **options)
    found = fit_read_out(score, rates, FIRST, MODEL)
    assert isinstance(found, ReadOut)
    return found, score, truth


def told(found, scores):
    """Click-through rates and the 95 % interval of each video's own rate, by what a read-out's file holds."""
    logit = found.intercept + found.slope * scores
    rate = expit(logit)
    intercept, both, slope = found.covariance
    # The scatter of rates, rate (1 - rate) spread, on the scale of log-odds.
    variance = intercept + 2 * scores * both + scores**2 * slope + found.spread / (rate * (1 - rate))
    reach = student.ppf(0.975, found.n_videos - 2) * np.sqrt(variance)
    return rate, expit(logit - reach), expit(logit + reach)


@pytest.mark.parametrize(
    ("videos", "scatter", "tail"), [(20, 0.3, 1.2), (80, 0.0, 1.2), (80, 0.3, 0.3), (200, 0.4, 1.6)]
)
@pytest.mark.parametrize("slope", [0.4, -0.3])
def test_a_planted_click_through_rate_is_inside_the_interval_as_often_as_it_says(videos, scatter, tail, slope):
    slopes, rates = [], []
    for seed in range(60):
        found, score, truth = fitted(slope=slope, videos=videos, scatter=scatter, tail=tail, seed=seed)
        low, high = found.slope_interval
        slopes.append(low <= slope <= high)
        _, lowest, highest = told(found, score)
        rates.append(((lowest <= truth) & (truth <= highest)).mean())
    assert np.mean(slopes) >= 0.85
    assert 0.85 <= np.mean(rates) <= 1


def test_intercept_and_slope_are_of_the_raw_score():
    found, _, _ = fitted(intercept=-3.0, slope=0.5, videos=400, scatter=0.1, typical=10.0)
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.intercept == pytest.approx(-3.0 - 5 * 0.5, abs=0.15)
    assert told(found, np.array([5.0]))[0] == pytest.approx(expit(-3.0), rel=0.05)


def test_a_read_out_says_whether_clicks_follow_the_score_and_what_it_gains_on_videos_left_out():
    found, _, _ = fitted(slope=0.6, videos=200)
    assert found.direction == "with"
    assert "clicks rise with the score" in found.sentence()
    assert found.log_loss < found.log_loss_of_mean
    assert found.gain_low < found.log_loss_of_mean - found.log_loss < found.gain_high
    against, _, _ = fitted(slope=-0.6, videos=200)
    assert against.direction == "against"
    assert "the model's order is not this owner's viewers'" in against.sentence()
    unclear, _, _ = fitted(slope=0.0, videos=30, seed=1)
    assert unclear.direction == "unclear"
    assert unclear.gain_low < 0


def test_one_video_with_a_million_impressions_is_not_the_whole_fit():
    score, rates, _ = drawn(slope=0.4, videos=100, tail=0.3)
    impressions, rate = rates.impressions.copy(), rates.click_rate.copy()
    top = int(np.argmax(score))
    impressions[top], rate[top] = 5_000_000, 0.01
    found = fit_read_out(score, OwnerRates(rates.item, rate, impressions), FIRST, MODEL)
    assert isinstance(found, ReadOut)
    assert found.slope_interval[0] < 0.4 < found.slope_interval[1]
    assert found.direction == "with"


def test_impressions_weigh():
    score, rates, truth = drawn(slope=0.4, videos=100, scatter=0.0, tail=0.1)
    rate, impressions = rates.click_rate.copy(), rates.impressions.copy()
    impressions[::2] = 20
    rate[::2] = np.random.default_rng(1).binomial(20, truth[::2]) / 20
    found = fit_read_out(score, OwnerRates(rates.item, rate, impressions), FIRST, MODEL)
    rest = OwnerRates(rates.item[1::2], rate[1::2], impressions[1::2])
    other = fit_read_out(score, rest, FIRST, MODEL)
    assert isinstance(found, ReadOut) and isinstance(other, ReadOut)
    assert found.slope == pytest.approx(other.slope, abs=0.01)
    assert found.spread < 1e-3


def test_a_handful_of_videos_that_a_score_divides_perfectly_do_not_make_the_slope_run_away():
    score = np.repeat([0.0, 1.0], 10)
    rates = OwnerRates(np.arange(20), np.repeat([0.0, 1.0], 10), np.full(20, 2_000.0))
    found = fit_read_out(score, rates, FIRST, MODEL)
    assert isinstance(found, ReadOut)
    assert np.isfinite([found.slope, *found.covariance, found.log_loss, found.spread]).all()
    assert 0 < found.slope < 40


def rates_of(videos, impressions, rate):
    return OwnerRates(np.arange(videos), np.full(videos, rate), np.full(videos, float(impressions)))


@pytest.mark.parametrize(
    ("rates", "says"),
    [
        (rates_of(MIN_VIDEOS - 1, 1e6, 0.05), rf"has {MIN_VIDEOS - 1} videos .* takes {MIN_VIDEOS} and"),
        (rates_of(50, MIN_IMPRESSIONS / 50 - 1, 0.05), r"with 19,950 impressions, and a read-out"),
        (
            rates_of(50, MIN_IMPRESSIONS, 0.0),
            rf"has 0 clicks in 1,000,000 impressions, and a read-out takes {MIN_CLICKS}",
        ),
        (rates_of(50, MIN_IMPRESSIONS, 1.0), r"has 1,000,000 clicks"),
    ],
)
def test_too_little_is_no_read_out_but_one_sentence(tmp_path, rates, says):
    scores = np.random.default_rng(0).normal(size=50)
    found = fit_read_out(scores, rates, FIRST, MODEL)
    assert isinstance(found, str)
    assert re.search(says, found), found
    assert found.count(".") == 1
    write_read_outs(tmp_path / "model", MODEL, {FIRST: rates}, scores)
    assert list(tmp_path.rglob("*.json")) == []


def test_one_score_for_all_videos_is_no_read_out():
    said = fit_read_out(np.zeros(50), rates_of(50, 10_000, 0.05), FIRST, MODEL)
    assert isinstance(said, str) and "one score" in said


def two_owners(seed_of_first=0):
    score_a, a, _ = drawn(seed=seed_of_first, slope=0.5)
    score_b, b, _ = drawn(seed=99, slope=-0.2, videos=60)
    return np.concatenate([score_a, score_b]), {
        FIRST: a,
        SECOND: OwnerRates(b.item + len(score_a), b.click_rate, b.impressions),
    }


def test_one_owner_s_figures_never_reach_another_s_file(tmp_path):
    folder = tmp_path / "models" / "abcdef"
    files = OwnerFiles(tmp_path / "models")
    scores, owners = two_owners()
    found = write_read_outs(folder, MODEL, owners, scores)
    first, second = (files.path("abcdef", owner) for owner in (FIRST, SECOND))
    assert {owner: [read_out] for owner, read_out in found.items()} == {
        owner: read_outs_of(files, owner) for owner in (FIRST, SECOND)
    }
    before = second.read_bytes(), first.read_bytes()
    assert FIRST not in second.read_text()
    owners[FIRST] = OwnerRates(owners[FIRST].item, owners[FIRST].click_rate / 2, owners[FIRST].impressions * 3)
    write_read_outs(folder, MODEL, owners, scores)
    assert (second.read_bytes(), first.read_bytes() != before[1]) == (before[0], True)
    write_read_outs(folder, MODEL, {SECOND: owners[SECOND]}, scores)
    assert second.read_bytes() == before[0], "the other's absence changes nothing either"
    assert not first.exists(), "an owner without figures keeps no file"


def test_files_are_private_from_their_first_moment_on_whatever_was_there(tmp_path):
    files = OwnerFiles(tmp_path)
    (tmp_path / "model" / "owners").mkdir(parents=True, mode=0o755)
    (tmp_path / "model" / "owners" / f"{FIRST}.json.part").write_text("of a killed run")
    path = files.write("model", FIRST, "{}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_an_owner_s_files_go_beside_every_model_and_no_other_s_with_them(tmp_path):
    files = OwnerFiles(tmp_path)
    for model in ("one", "two"):
        for owner in (FIRST, SECOND):
            files.write(model, owner, "{}")
    (tmp_path / "two" / "owners" / f"{FIRST}.json.part").write_text("of a killed run")
    assert (len(files.of(FIRST)), files.delete(FIRST), files.delete(FIRST)) == (2, 2, 0)
    assert files.owners() == {SECOND}
    assert [path for path in tmp_path.rglob("*") if FIRST in path.name] == []


@pytest.mark.parametrize("owner", ["../../etc", "", "a/b", "."])
def test_an_id_that_is_no_file_s_name_gets_a_sentence_and_no_file(tmp_path, owner):
    scores, owners = two_owners()
    found = write_read_outs(tmp_path / "model", MODEL, {owner: owners[FIRST]}, scores)
    said = found[owner]
    assert isinstance(said, str) and "is not the id of a channel" in said
    assert list(tmp_path.rglob("*")) == []


def test_a_read_out_of_another_owner_or_a_broken_one_is_refused(tmp_path):
    scores, owners = two_owners()
    files = OwnerFiles(tmp_path)
    write_read_outs(tmp_path / "model", MODEL, owners, scores)
    assert read_outs_of(files, "UC" + "c" * 22) == []
    path = files.path("model", FIRST)
    path.write_text(files.path("model", SECOND).read_text())
    with pytest.raises(ReadOutError, match="of another owner"):
        read_outs_of(files, FIRST)
    path.write_text(json.dumps({"format": 2}))
    with pytest.raises(ReadOutError, match="not a read-out of this version"):
        read_outs_of(files, FIRST)
