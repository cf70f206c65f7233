"""How the simulated service behaves beyond its contents: its quotas, its moods and its faults. Only settings."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

REQUEST_FAULTS: tuple[str, ...] = (
    "burst_429",
    "throttle_403",
    "http_500",
    "http_503",
    "html_error",
    "truncated_json",
    "dropped",
    "slow",
)
"""What may become of a request to the Data API. At most one of them strikes a request."""

PICTURE_FAULTS: tuple[str, ...] = (
    "dropped",
    "picture_404grey_as_200",
    "picture_truncated",
    "picture_webp",
    "picture_html",
    "picture_500",
)
"""What may become of a request to the picture host. At most one of them strikes a request."""

UPLOAD_MIDCRAWL = "upload_midcrawl"
"""A new public upload appears after the first page of an uploads playlist was answered, so that all rows shift."""

FAULTS: tuple[str, ...] = tuple(dict.fromkeys((*REQUEST_FAULTS, *PICTURE_FAULTS, UPLOAD_MIDCRAWL)))


@dataclass(frozen=True)
class Behaviour:
    """What the service allows and how it misbehaves; ValueError for an unknown fault or an impossible rate."""

    quota_search: int = 100
    """Calls of search.list per Pacific day."""
    quota_stats_batch: int = 10_000
    """Calls of videos.batchGetStats per Pacific day."""
    quota_default: int = 10_000
    """Units of everything else per Pacific day; each request costs one."""
    search_varies: bool = False
    """Whether the same search finds another subset each time, as the real one does."""
    suspended: float = 0.0
    """The share of channels whose uploads answer 403 channelSuspended and whose videos are gone."""
    faults: Mapping[str, float] = field(default_factory=dict[str, float])
    """By kind (see FAULTS), the probability that a request meets it."""
    fault_seed: int = 0
    slow_seconds: float = 1.0
    """How long a `slow` answer waits."""

    def __post_init__(self) -> None:
        check_faults(self.faults)
        if not 0 <= self.suspended <= 1:
            raise ValueError("The share of suspended channels lies between 0 and 1.")

    def as_json(self) -> str:
        """One line that `from_json` reads; how it travels to the child process."""
        return json.dumps(asdict(self) | {"faults": dict(self.faults)})

    @staticmethod
    def from_json(text: str) -> "Behaviour":
        """What `as_json` wrote."""
        return Behaviour(**json.loads(text))


def check_faults(rates: Mapping[str, float]) -> None:
    """ValueError for an unknown kind, a rate outside [0, 1], or kinds that together strike more than every request."""
    unknown = sorted(set(rates) - set(FAULTS))
    if unknown:
        raise ValueError(f"There is no fault {unknown[0]!r}: use some of {', '.join(FAULTS)}.")
    if any(not 0 <= rate <= 1 for rate in rates.values()):
        raise ValueError("The rate of a fault lies between 0 and 1.")
    for kinds in (REQUEST_FAULTS, PICTURE_FAULTS):
        if sum(rates.get(kind, 0.0) for kind in kinds) > 1 + 1e-9:
            raise ValueError("The rates of faults that strike the same requests must not add up to more than 1.")
