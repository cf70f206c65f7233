"""What search.list finds: which channels and videos answer to some words, and in which order.

Like YouTube's, the search is loose: every word belongs to the niches whose vocabulary has it, and a niche's videos are
found together. It never finds deleted or private videos, and never more than 500 results.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest, nsmallest

from thumbrank_core.niches import NICHES
from thumbrank_core.simulator.channels import Channel
from thumbrank_core.simulator.counts import Counts
from thumbrank_core.simulator.ids import digest
from thumbrank_core.simulator.live import LiveWorld
from thumbrank_core.simulator.lots import Lots
from thumbrank_core.simulator.requests import Query
from thumbrank_core.simulator.search_filters import video_filter
from thumbrank_core.simulator.titles import TOPICS
from thumbrank_core.simulator.world import Video

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


def searched(live: LiveWorld, query: Query) -> list[Found]:
    """Everything that a search finds, best first, at most 500; the parameters were checked before."""
    kinds = query.all("type") or ["video", "channel"]
    wanted = _wanted(query.get("q"))
    owner = query.get("channelId")
    after, before = query.time("publishedAfter"), query.time("publishedBefore")

    def in_time(when: datetime) -> bool:
        return (after is None or when >= after) and (before is None or when < before)

    found: list[Found] = []
    if "channel" in kinds:
        found += [
            channel
            for channel in live.channels
            if owner in (None, channel.id) and in_time(channel.created_at) and wanted.has(channel.niche, channel.title)
        ]
    if "video" in kinds:
        fits = video_filter(query)
        found += [
            video
            for video in _candidates(live, owner)
            if video.is_listed
            and in_time(video.published_at)
            and wanted.has(video.channel.niche, video.title)
            and fits(video)
        ]
    return _ordered(found, live.counts, query.get("order") or "relevance", query.get("q") or "")


def _candidates(live: LiveWorld, owner: str | None) -> Iterator[Video]:
    if owner is not None:
        yield from live.uploads(owner)
    else:
        for niche in live.niches:
            yield from live.videos_of(niche)


@dataclass(frozen=True)
class _Wanted:
    """What a query with `|` for OR and a leading `-` for NOT is looking for."""

    niches: frozenset[str]
    needed: tuple[frozenset[str], ...]
    """Any of these sets of words, all of the set."""
    banned: frozenset[str]

    def has(self, niche: str, title: str) -> bool:
        """Whether a thing of some niche and title answers to the query."""
        if niche in self.niches:
            return not (self.banned and _words(title) & self.banned)
        lower = title.lower()
        # Most titles have none of the words in them at all, and splitting them all would take seconds.
        if self.needed and not any(all(word in lower for word in words) for words in self.needed):
            return False
        words = _words(title)
        return not words & self.banned and (not self.needed or any(needed <= words for needed in self.needed))


def _wanted(text: str | None) -> _Wanted:
    niches: set[str] = set()
    needed: list[frozenset[str]] = []
    banned: set[str] = set()
    for choice in (text or "").split("|"):
        pieces = choice.split()
        banned |= {word for piece in pieces if piece.startswith("-") for word in _words(piece)}
        wanted = {word for piece in pieces if not piece.startswith("-") for word in _words(piece)}
        if not wanted:
            continue
        needed.append(frozenset(wanted))
        hits = {niche: len(wanted & words) for niche, words in _NICHE_WORDS.items()}
        most = max(hits.values())
        niches |= {niche for niche, count in hits.items() if count == most > 0}
    return _Wanted(frozenset(NICHES) if not needed else frozenset(niches), tuple(needed), frozenset(banned))


def _ordered(found: list[Found], counts: Counts, order: str, text: str) -> list[Found]:
    match order:
        case "date":
            return nlargest(
                SEARCH_LIMIT, found, key=lambda it: it.published_at if isinstance(it, Video) else it.created_at
            )
        case "viewCount" | "rating" | "videoCount":
            return nlargest(
                SEARCH_LIMIT, found, key=lambda it: counts.views(it) if isinstance(it, Video) else it.views_per_video
            )
        case "title":
            return nsmallest(SEARCH_LIMIT, found, key=lambda it: it.title)
        case _:
            # Relevance is nobody's business: an order of its own for each query, and the same each time.
            lots = Lots(f"relevance/{text}", 8)
            return nsmallest(SEARCH_LIMIT, found, key=lambda it: lots.number(it.id))


def estimated_total(text: str, found: int) -> int:
    """What `pageInfo.totalResults` says: an estimate that is often far too high, at most a million."""
    return min(1_000_000, found * (1 + digest(1, "total", text)[0] % 40))
