"""What search.list finds: which channels and videos answer to some words, and in which order.

Like YouTube's, the search is loose: every word belongs to the niches whose vocabulary has it, and a niche's videos are
found together. It never finds deleted or private videos, and never more than 500 results.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from thumbrank_core.niches import NICHES
from thumbrank_core.simulator import api_errors
from thumbrank_core.simulator.channels import Channel
from thumbrank_core.simulator.ids import digest
from thumbrank_core.simulator.requests import Query
from thumbrank_core.simulator.titles import TOPICS
from thumbrank_core.simulator.world import Video, World

SEARCH_LIMIT = 500

Found = Video | Channel

_VOCABULARY: dict[str, str] = {
    "tech": "tech technology gadget gadgets smartphone iphone android pc computer software programming coding ai "
    "review unboxing hardware developer robot app apps benchmark",
    "gaming": "gaming game games gameplay gamer minecraft fortnite roblox esports walkthrough playthrough lets play "
    "playstation xbox nintendo steam rpg indie",
    "education": "education educational science history math maths physics chemistry biology learn learning lesson "
    "explained explainer documentary study school lecture language geography",
    "entertainment": "entertainment entertaining comedy funny prank pranks challenge vlog reaction celebrity music "
    "sketch trailer film show tv viral stunts stories",
    "beauty": "beauty makeup skin hair nails cosmetics fashion style routine grwm tutorial hairstyle glow lip lashes",
    "news": "news politics political breaking report world economy economic government headlines current affairs journalism "
    "interview policy war climate international",
}
"""Words beside the niche's topics; `config/niches.yaml` asks with words such as these."""


def _words(text: str) -> set[str]:
    return set("".join(letter if letter.isalnum() else " " for letter in text.lower()).split())


_NICHE_WORDS: dict[str, set[str]] = {
    niche: {niche, *_words(_VOCABULARY[niche]), *_words(" ".join(TOPICS[niche]))} for niche in NICHES
}


def search(world: World, query: Query) -> list[Found]:
    """Everything that a search finds, best first, at most 500."""
    kinds = query.all("type") or ["video", "channel"]
    for kind in kinds:
        if kind not in ("video", "channel", "playlist"):
            raise api_errors.invalid_value("type", kind)
    matches = _matcher(query.get("q"))
    channel = query.get("channelId")
    after, before = query.time("publishedAfter"), query.time("publishedBefore")

    def in_time(when: datetime) -> bool:
        return (after is None or when >= after) and (before is None or when < before)

    found: list[Found] = []
    if "channel" in kinds:
        found += [
            it
            for it in world.channels
            if channel in (None, it.id) and in_time(it.created_at) and matches(it.niche, it.title)
        ]
    if "video" in kinds:
        found += [
            it
            for it in world.videos
            if it.is_listed
            and channel in (None, it.channel.id)
            and in_time(it.published_at)
            and matches(it.channel.niche, it.title)
        ]
    return _ordered(found, query.get("order") or "relevance", query.get("q") or "")[:SEARCH_LIMIT]


def _matcher(text: str | None) -> Callable[[str, str], bool]:
    """Whether a thing of some niche and title answers to a query with `|` for OR and a leading `-` for NOT."""
    if text is None:
        return lambda niche, title: True
    niches: set[str] = set()
    needed: list[set[str]] = []
    banned: set[str] = set()
    for choice in text.split("|"):
        pieces = choice.split()
        banned |= {word for piece in pieces if piece.startswith("-") for word in _words(piece)}
        wanted = {word for piece in pieces if not piece.startswith("-") for word in _words(piece)}
        if not wanted:
            continue
        needed.append(wanted)
        hits = {niche: len(wanted & words) for niche, words in _NICHE_WORDS.items()}
        most = max(hits.values())
        niches |= {niche for niche, count in hits.items() if count == most > 0}

    def matches(niche: str, title: str) -> bool:
        words = _words(title) if banned or niche not in niches else set[str]()
        if words & banned:
            return False
        return not needed or niche in niches or any(wanted <= words for wanted in needed)

    return matches


def _ordered(found: Sequence[Found], order: str, text: str) -> list[Found]:
    match order:
        case "date":
            return sorted(
                found, key=lambda it: it.published_at if isinstance(it, Video) else it.created_at, reverse=True
            )
        case "viewCount" | "rating" | "videoCount":
            return sorted(found, key=lambda it: it.views if isinstance(it, Video) else it.views_per_video, reverse=True)
        case "title":
            return sorted(found, key=lambda it: it.title)
        case "relevance":
            # Relevance is nobody's business: an order of its own for each query, and the same each time.
            return sorted(found, key=lambda it: digest(8, "relevance", text, it.id))
        case _:
            raise api_errors.invalid_value("order", order)


def estimated_total(text: str, found: int) -> int:
    """What `pageInfo.totalResults` says: an estimate that is often far too high, at most a million."""
    return min(1_000_000, found * (1 + digest(1, "total", text)[0] % 40))
