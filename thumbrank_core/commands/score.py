"""`thumbrank score`: candidates of one video, ranked before it is published."""

import warnings
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel
from rich.table import Table
from rich.text import Text  # a file's name is no markup: "[red]" is a name

from thumbrank_core.commands.common import JUDGE, JsonOption, print_json, stdout
from thumbrank_core.commands.models import ModelOption, choose
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.commands.models import Chosen
    from thumbrank_core.scoring import Ranking

NOTE = "Scores compare candidates of one channel; not a click-through rate."
MOST_COLUMNS = 4
"""Candidates that get a column each; of more, a table would not fit on a screen."""

app = typer.Typer()


class CandidateOut(BaseModel):
    """One candidate in --json. `p_beats`: against every candidate, in the order of `candidates`."""

    picture: str
    title: str
    rank: int
    score: float
    p_beats_next: float | None
    p_beats: list[float]
    weak_sub_scores: dict[str, float | None]


class RankingOut(BaseModel):
    """What --json prints; `candidates` are best first."""

    says: str
    note: str
    model: str
    fingerprint: str
    temperature: float
    too_close_to_call: bool
    candidates: list[CandidateOut]


@app.command("score", rich_help_panel=JUDGE)
def score_command(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE…", help="Two or more candidates of one video.")],
    title: Annotated[
        list[str], typer.Option("--title", help="The video's title; or one for each picture, in their order.")
    ],
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank candidate thumbnails, or say too close to call.

    The likelier winner and how likely. A score compares candidates of one channel; it is not a click-through rate.

    Keys of --json: says, note, model, fingerprint, temperature, too_close_to_call, candidates (best first).

    Example: thumbrank score a.jpg b.jpg --title "I tried it for 30 days"
    """
    from PIL import Image

    from thumbrank_core.scoring import LoadedEncoders, score_candidates, titles_for

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # our own limit is lower, and a sentence
    titles = titles_for(len(pictures), title)
    contents = [_content(path) for path in pictures]  # what is wrong with a file is said before a model is loaded
    settings = Settings.read()
    chosen = choose(settings, model)
    encoders = LoadedEncoders.of(chosen.bundle, offline=settings.offline)
    with _named(pictures):
        ranking = score_candidates(chosen.bundle, encoders, contents, titles)
    shown = _shown(chosen, ranking, pictures, titles)
    if as_json:
        print_json(shown)
    else:
        _show(chosen, shown)


def _content(path: Path) -> bytes:
    """A picture's bytes, once it is known that they are one.

    Raises:
        ScoringError: there is no such file, or it is no picture that can be scored.
    """
    from thumbrank_core.scoring import CandidateError, ScoringError
    from thumbrank_core.store.picture import MAX_BYTES, PictureError, inspect

    if path.is_dir():
        raise ScoringError(f"{path} is a folder: name the pictures in it.")
    if not path.is_file():
        raise ScoringError(f"There is no file {path}: name two or more pictures.")
    with _named([path]):
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:  # before it is read
                raise PictureError("too_large", f"the picture has {size:,} bytes; at most {MAX_BYTES:,} are read.")
            content = path.read_bytes()
            inspect(content)
        except PictureError as error:
            raise CandidateError(0, error) from None
        except OSError as error:
            raise ScoringError(
                f"{path} cannot be read ({error.strerror}): mend that, or name another picture."
            ) from None
    return content


@contextmanager
def _named(pictures: Sequence[Path]) -> Generator[None]:
    """Name the file that a picture's error is about."""
    from thumbrank_core.scoring import CandidateError, ScoringError

    try:
        yield
    except CandidateError as error:
        raise ScoringError(
            f"{pictures[error.position]} cannot be scored, save it again or name another picture: {error.cause}"
        ) from None


def _shown(chosen: "Chosen", ranking: "Ranking", pictures: Sequence[Path], titles: Sequence[str]) -> RankingOut:
    names = _names(pictures)
    found = [
        CandidateOut(
            picture=names[candidate.position],
            title=titles[candidate.position],
            rank=candidate.rank,
            score=candidate.score,
            p_beats_next=float(ranking.beats[row, row + 1]) if row + 1 < len(names) else None,
            p_beats=[float(p) for p in ranking.beats[row]],
            weak_sub_scores=candidate.weak_sub_scores,
        )
        for row, candidate in enumerate(ranking.candidates)
    ]
    card = chosen.bundle.card
    return RankingOut(
        says=_says(found, len(ranking.contenders)),
        note=NOTE,
        model=chosen.called,
        fingerprint=card.fingerprint,
        temperature=card.temperature,
        too_close_to_call=ranking.too_close_to_call,
        candidates=found,
    )


def _says(found: Sequence[CandidateOut], contenders: int) -> str:
    """The one sentence on top."""
    best, second = found[0], found[1]
    ahead = best.p_beats[1]
    if contenders == 1:
        among = "" if len(found) == 2 else ", the next best"
        return f"{best.picture} is the likelier winner: {_percent(ahead)} against {second.picture}{among}."
    close = [candidate.picture for candidate in found[:contenders]]
    if best.score == second.score and contenders == 2:
        return f"Too close to call: the model sees no difference between {close[0]} and {close[1]}."
    listed = f"{', '.join(close[:-1])} and {close[-1]}"
    return (
        f"Too close to call: any of {listed} may win; {best.picture} is at {_percent(ahead)} against {second.picture}."
    )


def _show(chosen: "Chosen", shown: RankingOut) -> None:
    console = stdout()
    console.print(Text(shown.says, style="bold"))
    console.print(Text(f"By {shown.model}. {shown.note}"))
    console.print(_ranked(shown))
    learnt = any(value is not None for value in shown.candidates[0].weak_sub_scores.values())
    console.print(_weak(chosen, shown) if learnt else "This model learnt no sub-scores.")
    if learnt and (agreement := chosen.bundle.card.sub_score_agreement):
        console.print(f"{_agreement(agreement)}.")


def _ranked(shown: RankingOut) -> Table:
    found = shown.candidates
    each = len(found) <= MOST_COLUMNS
    several_titles = len({candidate.title for candidate in found}) > 1
    table = Table(title="Probability to win, in percent", title_justify="left")
    table.add_column("rank", justify="right")
    table.add_column("picture", overflow="fold")
    if several_titles:
        table.add_column("title", overflow="fold")
    # By rank, as file names are long; who share a rank have the same numbers.
    for heading in (f"against {other.rank}" for other in found) if each else ["against the next"]:
        table.add_column(heading, justify="right")
    for row, candidate in enumerate(found):
        against = [Text("" if column == row else _percent(p)) for column, p in enumerate(candidate.p_beats)]
        table.add_row(
            str(candidate.rank),
            Text(candidate.picture),
            *([Text(candidate.title)] if several_titles else []),
            *(against if each else ["" if candidate.p_beats_next is None else _percent(candidate.p_beats_next)]),
        )
    return table


def _weak(chosen: "Chosen", shown: RankingOut) -> Table:
    """What the model makes of simple measures; they are not reasons for the rank."""
    card = chosen.bundle.card
    guides = card.recipe.get("sub_scores") == "engagement"
    of = "all six learnt engagement, as in the guide" if guides else "each imitates a simple measure"
    table = Table(title=f"Weak sub-scores, 0 to 1: {of}; no part of the ranking", title_justify="left")
    table.add_column("rank", justify="right")
    for name in SIGNALS:
        table.add_column(_words(name), justify="right")
    for candidate in shown.candidates:
        values = (candidate.weak_sub_scores[name] for name in SIGNALS)
        table.add_row(str(candidate.rank), *("none" if value is None else f"{value:.2f}" for value in values))
    return table


def _agreement(found: Mapping[str, float | None]) -> str:
    said = ((name, found.get(name)) for name in SIGNALS)
    return "Each follows its own measure (Spearman): " + ", ".join(
        f"{_words(name)} {'none' if value is None else f'{value:.2f}'}" for name, value in said
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _names(pictures: Sequence[Path]) -> list[str]:
    """What the pictures are called: the shortest that tells them apart, with a number where one is named twice."""
    paths = Counter(path.name for path in set(pictures))
    names = [path.name if paths[path.name] == 1 else str(path) for path in pictures]
    times, so_far = Counter(names), Counter[str]()
    found: list[str] = []
    for name in names:
        so_far[name] += 1
        told = name if times[name] == 1 else f"{name} ({so_far[name]})"
        found.append(told.encode(errors="replace").decode())  # a name that is no UTF-8 cannot be printed
    return found


def _percent(p: float) -> str:
    """Without claiming what no model can: nothing is certain."""
    if p > 0.99:
        return "over 99 %"
    return "under 1 %" if p < 0.01 else f"{p:.0%}".replace("%", " %")
