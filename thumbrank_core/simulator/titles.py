"""Titles in plausible English, written from a video's hidden qualities. Words only: no numbers about views, no drawing.

A title says four things of its own (curiosity, a number, an emotional word, length), names its topic, and now and then
mentions what is on the picture: each picture quality with the probability `title_mentions`. A misleading title speaks of
another topic and of another video's picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOPICS: dict[str, tuple[str, ...]] = {
    "tech": ("Laptop", "Phone", "Camera", "Headphones", "Smart Watch", "Keyboard", "Graphics Card", "Tablet"),
    "gaming": ("Boss Fight", "Speedrun", "Castle Build", "Ranked Match", "Open World", "Loot", "Zombie Map", "Racing"),
    "education": ("Black Holes", "Roman Empire", "Algebra", "Volcanoes", "Grammar", "DNA", "Chess", "Oceans"),
    "entertainment": ("Prank", "Movie", "Road Trip", "Magic Trick", "Talent Show", "Stunt", "Reunion", "Street Food"),
    "beauty": ("Lipstick", "Skincare", "Eyeliner", "Haircut", "Nail Art", "Foundation", "Perfume", "Curls"),
    "news": ("Election", "Storm", "Budget", "Trade Deal", "Court Case", "Housing", "Strike", "Energy Prices"),
}
TOPICS_PER_NICHE = 8
_PLAIN: dict[str, tuple[str, ...]] = {
    "tech": ("Review", "Setup", "Test", "Unboxing"),
    "gaming": ("Gameplay", "Guide", "Run", "Highlights"),
    "education": ("Lesson", "Explained", "Basics", "Lecture"),
    "entertainment": ("Night", "Story", "Special", "Show"),
    "beauty": ("Tutorial", "Routine", "Look", "Haul"),
    "news": ("Report", "Update", "Briefing", "Analysis"),
}
_COUNTED: dict[str, tuple[str, ...]] = {
    "tech": ("Tips", "Mistakes", "Upgrades"),
    "gaming": ("Tricks", "Secrets", "Wins"),
    "education": ("Facts", "Myths", "Ideas"),
    "entertainment": ("Moments", "Fails", "Dares"),
    "beauty": ("Hacks", "Looks", "Products"),
    "news": ("Questions", "Numbers", "Takeaways"),
}
_CURIOSITY = ("Why Nobody Mentions", "The Truth About", "You Won't Guess", "The Secret Behind", "What They Hide About")
_EMOTION = ("Insane", "Heartbreaking", "Terrifying", "Unbelievable", "Hilarious")
_LONG = (
    "Step by Step for Complete Beginners",
    "and What I Learned Along the Way",
    "With My Friends & Family All Weekend",
    "Before It's Too Late This Year",
)
MENTIONS: tuple[tuple[str, ...], ...] = (
    ("blank face", "calm face", "smiling", "surprised", "shocked"),
    ("far away", "small figure", "half figure", "close up", "huge close up"),
    ("wordless", "one word", "caption", "big letters", "wall of text"),
    ("foggy", "soft", "clear", "sharp", "stark"),
    ("grey", "pale", "tinted", "colorful", "neon"),
    ("empty room", "tidy", "some props", "busy", "messy"),
)
"""For each picture quality, in the order of PICTURE_QUALITIES, the words for five steps from low to high."""

_STEPS = (-1.2, -0.4, 0.4, 1.2)


@dataclass(frozen=True, slots=True)
class Title:
    """A written title and what it is about."""

    text: str
    topic: int
    """Index into TOPICS of the niche: what the picture shows, which a misleading text does not name."""


def write_titles(
    rng: np.random.Generator,
    niche: str,
    title_qualities: NDArray[np.bool_],
    picture_qualities: NDArray[np.float64],
    title_mentions: float,
    topics_aside: NDArray[np.int64] | None = None,
) -> list[Title]:
    """Titles for N videos of one niche from (N, 4) title and (N, 6) picture qualities.

    Where `topics_aside`, (N,), is not 0, the text names the topic that lies so many further on and mentions what is on
    the picture of the video before; without it every title is honest.

    Every video draws the same number of random values whatever `title_mentions` is, so that a higher rate only adds
    mentions and changes nothing else.
    """
    count, kinds = picture_qualities.shape
    draws = rng.random((count, 6 + kinds))
    steps = np.searchsorted(_STEPS, picture_qualities)
    drawn = (draws[:, 0] * TOPICS_PER_NICHE).astype(np.int64)
    topics = named = drawn.tolist()
    if topics_aside is not None:
        named = ((drawn + topics_aside) % TOPICS_PER_NICHE).tolist()
        steps = np.where(topics_aside[:, None] > 0, np.roll(steps, 1, axis=0), steps)
    return [
        Title(
            _write(
                niche,
                named[row],
                title_qualities[row].tolist(),
                steps[row].tolist(),
                draws[row].tolist(),
                title_mentions,
            ),
            topics[row],
        )
        for row in range(count)
    ]


def _write(
    niche: str, topic: int, has: Sequence[bool], steps: Sequence[int], draws: Sequence[float], mentions: float
) -> str:
    curiosity, number, emotion, long = has
    name = TOPICS[niche][topic]
    if number:
        words = [f"{3 + int(draws[1] * 48)} {name} {_pick(_COUNTED[niche], draws[2])}"]
    else:
        words = [f"{name} {_pick(_PLAIN[niche], draws[2])}"]
    if curiosity:
        words.insert(0, _pick(_CURIOSITY, draws[3]))
    if emotion:
        words.insert(0, _pick(_EMOTION, draws[4]) + "!")
    if long:
        words.append(_pick(_LONG, draws[5]))
    said = [MENTIONS[kind][step] for kind, step in enumerate(steps) if draws[6 + kind] < mentions]
    if said:
        words.append(f"({', '.join(said)})")
    return " ".join(words)


def _pick(words: Sequence[str], draw: float) -> str:
    return words[int(draw * len(words))]
