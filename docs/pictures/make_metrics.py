"""Draws the pictures of docs/metrics.md: `.venv/bin/python docs/pictures/make_metrics.py`. The same files each time.

What belongs here: drawings that explain a definition. Every number in them is of the example that the page describes, of a formula
that it names, or of a committed benchmark; none is a result of ours on YouTube.
"""

import json
from collections.abc import Callable, Sequence
from math import asin, pi
from pathlib import Path
from typing import Any

import numpy as np
from scipy import integrate, stats

HERE = Path(__file__).parent
BENCHMARKS = HERE.parents[1] / "benchmarks" / "results"
STYLE = """<style>
.p{fill:#fff;stroke:#d0d7de}.t{fill:#1f2328}.m{fill:#59636e}.l{stroke:#8c959f;fill:none}.a{fill:#0b6e69;stroke:none}
.b{fill:#b35900;stroke:none}.al{stroke:#0b6e69;fill:none}.bl{stroke:#b35900;fill:none}.s{fill:#d0d7de}
@media (prefers-color-scheme:dark){.p{fill:#161b22;stroke:#3d444d}.t{fill:#f0f6fc}.m{fill:#9198a1}.l{stroke:#656c76}
.a{fill:#4fc3b5}.b{fill:#f0a35e}.al{stroke:#4fc3b5}.bl{stroke:#f0a35e}.s{fill:#3d444d}}
text{font-family:system-ui,-apple-system,"Segoe UI",sans-serif;font-size:13px}</style>"""
"""A panel of its own in light or dark, so that a picture can be read on any page."""


class Drawing:
    """A picture of (width, height) user units that is written as SVG."""

    def __init__(self, width: int, height: int, says: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" aria-label="{says}"><title>{says}</title>{STYLE}'
            f'<rect class="p" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="6"/>'
        ]

    def text(self, x: float, y: float, words: str, kind: str = "t", anchor: str = "start") -> None:
        """Words at a point."""
        self.parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{words}</text>')

    def bar(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """A filled box."""
        self.parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>')

    def line(self, points: Sequence[tuple[float, float]], kind: str = "l", width: float = 1.5, dash: str = "") -> None:
        """Points joined by straight lines."""
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline class="{kind}" points="{joined}" stroke-width="{width:g}"{dashes}/>')

    def dot(self, x: float, y: float, kind: str, radius: float = 4) -> None:
        """A filled circle."""
        self.parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>')

    def save(self, name: str) -> None:
        """Write it beside this file."""
        (HERE / f"metric-{name}.svg").write_text("\n".join([*self.parts, "</svg>", ""]), encoding="utf-8")


def pairs() -> None:
    """Four videos of a channel, their six pairs, which of them are ordered rightly."""
    label, score = {"A": 3.0, "B": 1.5, "C": 1.0, "D": 0.4}, {"A": 0.9, "B": 0.2, "C": 0.5, "D": 0.1}
    it = Drawing(560, 190, "Four videos with label and score, and their six pairs: five ordered rightly, one wrongly")
    for place, (name, scale, values) in enumerate((("label", 26, label), ("score", 86, score))):
        left = 20 + 145 * place
        it.text(left, 26, name, "m")
        for row, video in enumerate(label):
            y = 40 + 34 * row
            it.text(left, y + 16, video)
            it.bar(left + 18, y, values[video] * scale, 22, "a" if name == "label" else "b")
            it.text(left + 24 + values[video] * scale, y + 16, f"{values[video]:g}", "m")
    it.text(330, 26, "pair: is the order right?", "m")
    order = list(label)
    both = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
    right = 0
    for row, (a, b) in enumerate(both):
        holds = score[a] > score[b]
        right += holds
        it.text(330, 50 + 21 * row, f"{a} beats {b}")
        it.text(430, 50 + 21 * row, "right" if holds else "wrong", "a" if holds else "b")
    it.text(330, 50 + 21 * len(both), f"{right} of {len(both)}: {right / len(both):.2f}")
    it.save("pairs")


def auc_of(rho: float) -> float:
    """ROC-AUC of score differences over pairs in both orders, for normal label and score that correlate by rho: two winners'
    differences, drawn at random, add up to more than 0."""
    skew = rho / (1 - rho * rho) ** 0.5
    return float(integrate.quad(lambda x: stats.skewnorm.pdf(x, skew) * stats.skewnorm.sf(-x, skew), -8, 8)[0])


def auc() -> None:
    """Pair accuracy and pooled AUC of the same model, by how well it correlates."""
    it = Drawing(560, 250, "Pair accuracy and pooled AUC of the same scores, by their correlation with the label")

    def at(rho: float, value: float) -> tuple[float, float]:
        return 60 + rho / 0.8 * 470, 210 - (value - 0.5) / 0.4 * 180

    for value in (0.5, 0.6, 0.7, 0.8, 0.9):
        it.line([at(0, value), at(0.8, value)], width=0.5)
        it.text(52, at(0, value)[1] + 4, f"{value:g}", "m", "end")
    rhos = [step / 50 for step in range(41)]
    it.line([at(rho, 0.5 + asin(rho) / pi) for rho in rhos], "al", 2.5)
    it.line([at(rho, auc_of(rho)) for rho in rhos], "bl", 2.5)
    for floor in (0.65, 0.72, 0.75):
        rho = next(step / 1000 for step in range(1000) if auc_of(step / 1000) >= floor)
        accuracy = 0.5 + asin(rho) / pi
        it.line([at(rho, floor), at(rho, accuracy)], "l", 1.5, "3 3")
        it.dot(*at(rho, floor), "b")
        it.dot(*at(rho, accuracy), "a")
        it.text(at(rho, floor)[0] - 8, at(rho, floor)[1] - 6, f"{floor:g}", "b", "end")
        it.text(at(rho, accuracy)[0] + 8, at(rho, accuracy)[1] + 14, f"{accuracy:.2f}", "a")
    it.text(330, 48, "pooled AUC", "b", "end")
    it.text(535, 150, "pair accuracy", "a", "end")
    it.text(295, 242, "correlation of score and label within a channel", "m", "middle")
    for rho in (0, 0.2, 0.4, 0.6, 0.8):
        it.text(at(rho, 0.5)[0], 224, f"{rho:g}", "m", "middle")
    it.save("auc")


def ranks() -> None:
    """Three channels, rank of the score against rank of the label in each."""
    channels = ("1 2 3 4 5 6", "1 3 2 5 4 6"), ("1 2 3 4 5 6", "2 1 5 6 3 4"), ("1 2 3 4 5 6", "4 2 6 1 5 3")
    it = Drawing(
        560, 200, "Rank of score against rank of label in three channels, their Spearman correlations and the mean"
    )
    found: list[float] = []
    for place, (xs, ys) in enumerate(channels):
        left, x, y = 20 + 145 * place, [int(n) for n in xs.split()], [int(n) for n in ys.split()]
        it.line([(left, 30), (left, 160), (left + 125, 160)])
        for one, other in zip(x, y, strict=True):
            it.dot(left + one * 18.5, 160 - other * 19, "a", 5)
        correlation: Any = stats.spearmanr(x, y)
        found.append(float(correlation.statistic))
        it.text(left + 62, 182, f"channel {place + 1}: {found[-1]:.2f}", anchor="middle")
    it.text(458, 85, "mean over", "m")
    it.text(458, 103, "channels:", "m")
    it.text(458, 127, f"{np.mean(found):.2f}", "a")
    it.save("ranks")


def weights() -> None:
    """One channel with many pairs and three with few: what each mean makes of them."""
    pairs_of, right = np.array([600, 20, 20, 20]), np.array([0.70, 0.55, 0.60, 0.50])
    micro, macro = float((pairs_of * right).sum() / pairs_of.sum()), float(right.mean())
    it = Drawing(560, 190, "A channel of 600 pairs and three of 20: mean over pairs and mean over channels")
    left = 20.0
    for count, share in zip(pairs_of, right, strict=True):
        width = max(count / 660 * 300, 22)
        it.bar(left, 150 - share * 120, width, share * 120, "a")
        it.text(left + width / 2, 144 - share * 120, f"{share:.2f}", "t", "middle")
        it.text(left + width / 2, 168, f"{count}", "m", "middle")
        left += width + 14
    it.text(20, 184, "width: pairs of the channel; height: share ordered rightly", "m")
    it.text(430, 70, "mean over pairs:", "m")
    it.text(430, 90, f"{micro:.3f} (micro)", "a")
    it.text(430, 120, "over channels:", "m")
    it.text(430, 140, f"{macro:.3f} (macro)", "b")
    it.save("micro-macro")


def three() -> None:
    """Three uploads: the pick, the best, and what is given away."""
    label, score, picked = (2.0, 1.0, 1.6), (0.4, 0.1, 0.7), 2
    it = Drawing(560, 170, "Three uploads in a row: the highest score is not the best one and gives away a fifth")
    for place, value in enumerate(label):
        left = 30 + 110 * place
        it.bar(left, 110 - value * 40, 70, value * 40, "b" if place == picked else "a")
        it.text(left + 35, 104 - value * 40, f"{value:g}", "t", "middle")
        it.text(left + 35, 128, f"score {score[place]:g}", "m", "middle")
        it.text(left + 35, 148, ("best", "", "picked")[place], "b" if place == picked else "a", "middle")
    it.text(370, 60, "top 1 of 3: 0 (another one)")
    it.text(370, 84, f"regret: (2 - 1.6) / 2 = {1 - label[picked] / max(label):.1f}")
    it.save("three")


def calibration() -> None:
    """Called at 70 %, right in 60 %: an overconfident model before and after its temperature."""
    it = Drawing(
        560, 250, "Confidence against share right: below the diagonal before the temperature, on it afterwards"
    )

    def at(sure: float, right: float) -> tuple[float, float]:
        return 60 + (sure - 0.5) * 2 * 300, 205 - (right - 0.5) * 2 * 175

    it.line([at(0.5, 0.5), at(1, 1)], "l", 1.5, "4 3")
    sure = np.linspace(0.52, 0.97, 8)
    logit = np.log(sure / (1 - sure))
    right = 1 / (1 + np.exp(-logit / 1.8))
    for before, share in zip(sure, right, strict=True):
        it.line([at(before, before), at(before, share)], "bl", 1)
        it.dot(*at(before, share), "b")
        it.dot(*at(share, share), "a", 3)
    it.text(210, 228, "how sure it was of its winner", "m", "middle")
    it.text(60, 244, "0.5", "m", "middle")
    it.text(360, 244, "1", "m", "middle")
    it.text(20, 30, "share right", "m")
    it.text(375, 80, "orange: as trained, too", "b")
    it.text(375, 98, "sure; the distance from", "b")
    it.text(375, 116, "the diagonal is the error", "b")
    it.text(375, 150, "green: divided by the", "a")
    it.text(375, 168, "temperature (here 1.8)", "a")
    it.save("calibration")


def intervals() -> None:
    """How often a 95 % interval holds the truth when pairs are drawn, and when channels are."""
    source = next(BENCHMARKS.glob("evaluate-*.json"))
    row = json.loads(source.read_text(encoding="utf-8"))["rows"][-1]
    covered = {"bootstrap of pairs": row["coverage_pair_level_100"], "ours, over channels": row["coverage_100"]}
    it = Drawing(560, 150, "Share of 2,000 worlds in which the interval held the truth: pairs drawn, channels drawn")
    for place, (name, share) in enumerate(covered.items()):
        y = 46 + 44 * place
        it.text(20, y + 16, name)
        it.bar(180, y, share * 300, 24, "b" if place == 0 else "a")
        it.text(190 + share * 300, y + 16, f"{int(share * 1000 + 0.5) / 10} %")
    it.line([(180 + 0.95 * 300, 30), (180 + 0.95 * 300, 128)], "l", 1.5, "4 3")
    it.text(180 + 0.95 * 300, 24, "95 %", "m", "middle")
    it.text(20, 142, "held the truth, of 2,000 drawn worlds with 100 channels each", "m")
    it.save("intervals")


def ruler() -> None:
    """Where a figure lies between a coin and the ceiling. Places, not measurements."""
    it = Drawing(560, 150, "A ruler from a coin to the ceiling with the reference models between them")
    marks = (
        (40, "coin", "m"),
        (95, "clock", "m"),
        (200, "title alone", "m"),
        (335, "ridge", "b"),
        (400, "model", "a"),
        (480, "ceiling", "t"),
    )
    it.line([(40, 80), (520, 80)], width=2)
    for place, (x, name, kind) in enumerate(marks):
        it.line([(x, 72), (x, 88)], width=2)
        it.text(x, 62 if place % 2 == 0 else 108, name, kind, "middle")
    it.line([(372, 80), (430, 80)], "al", 6)
    it.text(401, 132, "its interval", "a", "middle")
    it.text(20, 26, "share of pairs ordered rightly; places, not measurements", "m")
    it.save("ruler")


def abstaining() -> None:
    """Accuracy on the pairs that the model is surest of, for normal scores that correlate by 0.4."""
    rho, rng = 0.4, np.random.default_rng(0)
    score = rng.standard_normal(200_000)
    label = rho * score + (1 - rho * rho) ** 0.5 * rng.standard_normal(200_000)
    right = (score > 0) == (label > 0)
    order = np.argsort(-np.abs(score))
    shares = np.arange(0.1, 1.01, 0.1)
    found = [float(right[order[: round(share * len(order))]].mean()) for share in shares]
    it = Drawing(560, 220, "Accuracy on the surest share of the pairs: it falls as more pairs are called")

    def at(share: float, value: float) -> tuple[float, float]:
        return 60 + share * 440, 175 - (value - 0.5) / 0.4 * 140

    for value in (0.5, 0.6, 0.7, 0.8):
        it.line([at(0, value), at(1, value)], width=0.5)
        it.text(52, at(0, value)[1] + 4, f"{value:g}", "m", "end")
    it.line([at(share, value) for share, value in zip(shares, found, strict=True)], "al", 2.5)
    for share, value in ((shares[0], found[0]), (shares[4], found[4]), (shares[-1], found[-1])):
        it.dot(*at(share, value), "a")
        it.text(at(share, value)[0], at(share, value)[1] - 10, f"{value:.2f}", "a", "middle")
    for share in (0.1, 0.5, 1):
        it.text(at(share, 0.5)[0], 192, f"{share:.0%}", "m", "middle")
    it.text(280, 210, "share of the pairs that it calls, the surest first", "m", "middle")
    it.save("abstaining")


DRAWINGS: tuple[Callable[[], None], ...] = (
    pairs,
    auc,
    ranks,
    weights,
    three,
    calibration,
    intervals,
    ruler,
    abstaining,
)

if __name__ == "__main__":
    for draw in DRAWINGS:
        draw()
