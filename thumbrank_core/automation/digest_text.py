"""The digest's words: Markdown that also reads as plain text in a chat, the outcome first, short enough for a phone. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from thumbrank_core.automation.month_facts import Figure, Measured, MonthFacts, NicheMonth
from thumbrank_core.evaluation.wording import count, figure

MOST_REASONS = 3
LONGEST = 400
"""Characters of a sentence that somebody else wrote."""


def write(facts: MonthFacts) -> str:
    """The whole digest. The same facts give the same text."""
    parts = [
        _headline(facts),
        _section("Model", _model(facts)),
        _section("Niches", map(_niche, facts.niches)),
        _section("Drift", _drift(facts)),
        _section("Retention", _removed(facts)),
        _section("Units spent", _units(facts)),
        _section("Still open", (f"{niche.niche}: {_cut(niche.waits)}" for niche in facts.niches if niche.waits)),
    ]
    return "\n\n".join(part for part in parts if part)


def _headline(facts: MonthFacts) -> str:
    simulated = " These are simulated data." if facts.simulated else ""
    return f"Thumbrank {facts.month}: {_outcome(facts)}.{simulated}"


def _outcome(facts: MonthFacts) -> str:
    serves = f"version {facts.serving} serves" if facts.serving is not None else "no model serves"
    changes = [decision for decision in facts.decisions if decision.kind != "refused"]
    if changes:
        last = changes[-1]
        how = {"forced": " by force", "rolled_back": " again, after a rollback"}.get(last.kind, "")
        place = f" in place of version {last.before}" if last.before is not None else ""
        return f"version {last.version} serves now{how}{place}"
    if facts.decisions:
        still = serves if facts.serving is None else f"version {facts.serving} still serves"
        return f"{still}; version {facts.decisions[-1].version} was refused"
    if facts.training is None:
        return f"nothing was trained; {serves}"
    said = {
        "requested": "the training is on its way",
        "failed": "the training failed",
        "skipped": "nothing was trained",
        "trained": "the training changed nothing",
    }[facts.training.state]
    return f"{said}; {serves}"


def _model(facts: MonthFacts) -> Iterator[str]:
    row = facts.training
    if row is not None:
        again = f", attempt {row.attempt}" if row.attempt > 1 else ""
        yield f"Training: {row.state} (asked for by {row.trigger}{again}). {_cut(row.reason)}"
        if row.why is not None and row.why != row.reason:
            yield _cut(row.why)
    for found in facts.figures:
        yield _delta(found)
    verdict = facts.verdict
    if verdict is not None:
        yield f"Verdict on version {facts.challenger}: {verdict.sentence}"
        lead = next((each for each in verdict.conditions if each.name == "beats the champion"), None)
        if lead is not None and lead.says not in verdict.sentence:
            yield lead.says
        others = [
            reason
            for reason in verdict.refusals
            if reason not in verdict.sentence and reason != (lead.says if lead else None)
        ]
        yield from others[:MOST_REASONS]
        if len(others) > MOST_REASONS:
            yield f"And {len(others) - MOST_REASONS} more reasons: they stand in the report."
    told = verdict.sentence if verdict is not None else None
    for decision in facts.decisions:
        if decision.why != told:
            yield f"Version {decision.version} {decision.kind.replace('_', ' ')}: {_cut(decision.why)}"


def _delta(found: Figure) -> str:
    now = f"{found.metric}: {_value(found.now)}"
    if found.then is None:
        return f"{now}, {_n(found.now)}."
    if found.same_pairs:
        return f"{found.metric}: {_value(found.then)} -> {_value(found.now)}, {_n(found.now)}."
    # Two test sets: the arrow alone would look like a difference that was measured.
    return (
        f"{found.metric}: {_value(found.then)}, {_n(found.then)} -> {_value(found.now)}, {_n(found.now)} (other pairs)."
    )


def _niche(niche: NicheMonth) -> str:
    parts: list[str] = []
    for number, what in (
        (niche.new_channels, "new channels"),
        (niche.new_videos, "new videos"),
        (niche.pictures_changed, "pictures changed"),
    ):
        if number:
            parts.append(f"{count(number)} {what}")
    for lost, what in (
        (niche.lost_channels, "channels"),
        (niche.lost_videos, "videos"),
        (niche.lost_pictures, "pictures"),
    ):
        if lost:
            parts.append(f"{count(sum(lost.values()))} {what} lost ({_reasons(lost)})")
    news = ", ".join(parts) or "nothing new, nothing lost"
    has = f"{count(niche.pairs)} pairs in {count(niche.channels)} channels" if niche.pairs is not None else "no pairs"
    return f"{niche.niche}: {news}; {has}."


def _drift(facts: MonthFacts) -> Iterator[str]:
    compared = [(niche.niche, niche.drift) for niche in facts.niches if niche.drift is not None]
    drifted = [(name, found) for name, found in compared if found.drifted]
    for name, found in drifted:
        yield (
            f"{name}: pictures differ from the run before (KS {found.ks:.2f}, p {found.p_value:.1g}, mean shift "
            f"{found.mean_shift:.2f}; {count(found.pictures_then)} pictures then, {count(found.pictures_now)} now)."
        )
    if not drifted:
        yield f"None in {len(compared)} niches that were compared." if compared else "Nothing was compared."


def _removed(facts: MonthFacts) -> Iterator[str]:
    words = {
        "expire": "too old",
        "forget": "asked for",
        "logout": "an owner logged out",
        "revoked": "consent withdrawn",
    }
    for action, (videos, channels) in facts.removed.items():
        yield f"{count(videos)} videos and {count(channels)} channels removed ({words.get(action, action)})."


def _units(facts: MonthFacts) -> Iterator[str]:
    if not facts.units:
        yield "None."
        return
    yield ", ".join(f"{bucket} {count(spent)}" for bucket, spent in facts.units.items()) + "."


def _section(title: str, lines: Iterable[str]) -> str:
    said = [f"- {line}" for line in lines]
    return "\n".join([f"*{title}*", "", *said]) if said else ""


def _reasons(lost: Mapping[str, int]) -> str:
    return ", ".join(f"{reason.replace('_', ' ')} {count(number)}" for reason, number in lost.items())


def _value(measured: Measured) -> str:
    return figure(measured[0])


def _n(measured: Measured) -> str:
    return f"{count(measured[1])} pairs of {count(measured[2])} unseen channels"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
