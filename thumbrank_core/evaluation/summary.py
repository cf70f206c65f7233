"""The figures of an evaluation as plain JSON, for files and for the demo's summary."""

from typing import Any

import numpy as np

from thumbrank_core.bootstrap import Interval
from thumbrank_core.evaluation import report
from thumbrank_core.evaluation.figures import CEILING, MODEL, AbFigures, EvaluatedPairs, Evaluation, Slice
from thumbrank_core.evaluation.gate import Verdict


def summary(evaluation: Evaluation, verdict: Verdict) -> dict[str, Any]:
    """Every figure with its interval and n; None for what could not be had. Nothing of one owner."""
    scorers, calibration = evaluation.unseen.scorers, evaluation.calibration
    accuracy, auc = (scorers[MODEL].metrics[name] for name in ("pair_accuracy_micro", "pair_auc_pooled"))
    return {
        "label": evaluation.label,
        "pair_accuracy": _known(accuracy.value),
        "ci_low": _known(accuracy.low),
        "ci_high": _known(accuracy.high),
        "pair_auc": _known(auc.value),
        "pair_auc_ci_low": _known(auc.low),
        "pair_auc_ci_high": _known(auc.high),
        "spearman_within_channel": _known(scorers[MODEL].metrics["spearman_within_channel"].value),
        "ceiling": scorers[CEILING].metrics["pair_accuracy_micro"].value if CEILING in scorers else None,
        "references": {s.name: s.metrics["pair_accuracy_micro"].value for s in evaluation.references},
        "reference_intervals": {s.name: _bounds(s.metrics["pair_accuracy_micro"]) for s in evaluation.references},
        "minus_model": {s.name: _interval(s.above_model) for s in evaluation.references},
        "n_pairs": evaluation.unseen.n_pairs,
        "n_test_channels": evaluation.unseen.n_channels,
        "sets": {
            name: None if measured is None else _measured(measured)
            for name, measured in (
                ("unseen", evaluation.unseen),
                ("unseen_later", evaluation.later),
                ("seen_later", evaluation.seen_later),
            )
        },
        "slices": [_slice(part) for part in evaluation.slices],
        "later_slices": [_slice(part) for part in evaluation.later_slices],
        "calibration": {
            "temperature": calibration.temperature,
            "brier_before": _interval(calibration.brier_before),
            "brier": _interval(calibration.brier),
            "ece_before": _interval(calibration.ece_before),
            "ece": _interval(calibration.ece),
        },
        "coverage": [
            {"share": part.share, "n_pairs": part.n_pairs, **_interval(part.accuracy)} for part in evaluation.covered
        ],
        "sub_score_agreement": None if evaluation.sub_scores is None else evaluation.sub_scores.agreement,
        "all_pairs": {
            "n_pairs": evaluation.all_pairs.n_pairs,
            "n_channels": evaluation.all_pairs.n_channels,
            "newer_wins": evaluation.all_pairs.newer_wins.value,
            "newer_wins_interval": _bounds(evaluation.all_pairs.newer_wins),
            "test_pairs_later_in_time": evaluation.later.n_pairs if evaluation.later else 0,
        },
        "id_memoriser": {
            "unseen_channels": evaluation.leak.unseen.value,
            "random_pairs": evaluation.leak.random_pairs.value if evaluation.leak.random_pairs else None,
        },
        "ab_tests": None if evaluation.ab is None else _ab_tests(evaluation.ab),
        "verdict": verdict.status,
        "verdict_sentence": verdict.sentence,
        "conditions": {condition.name: condition.passed for condition in verdict.conditions},
        "caveats": report.caveats(evaluation),
    }


def _ab_tests(found: AbFigures) -> dict[str, Any]:
    return {
        "n_tests": found.n_tests,
        "n_pairs": found.n_pairs,
        "n_channels": found.n_channels,
        "of_seen_channels": found.n_seen,
        "decided_by_click_rate": found.n_ctr,
        "performed_same": found.n_same,
        "left_out": found.left_out,
        "sets": {
            tests.name: {
                "n_tests": tests.n_tests,
                "n_pairs": tests.n_pairs,
                "n_channels": tests.n_channels,
                "scorers": {scorer: _interval(accuracy) for scorer, accuracy in tests.accuracy.items()},
            }
            for tests in found.sets
        },
    }


def _slice(part: Slice) -> dict[str, Any]:
    return {
        "by": part.by,
        "name": part.name,
        "n_pairs": part.n_pairs,
        "n_channels": part.n_channels,
        **{scorer: _interval(found) for scorer, found in part.accuracy.items()},
        "above_champion": None if part.lead is None else _interval(part.lead),
    }


def _measured(measured: EvaluatedPairs) -> dict[str, Any]:
    return {
        "n_pairs": measured.n_pairs,
        "n_channels": measured.n_channels,
        "effective_channels": round(measured.effective_channels, 1),
        "scorers": {
            scored.name: {metric: _interval(found) for metric, found in scored.metrics.items()}
            for scored in measured.scorers.values()
        },
    }


def _interval(found: Interval) -> dict[str, float | None]:
    return {"value": _known(found.value), "ci_low": _known(found.low), "ci_high": _known(found.high)}


def _bounds(found: Interval) -> list[float | None]:
    return [_known(found.low), _known(found.high)]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
