"""Which request meets which fault. Only the choice; `api` and `picture_host` do what was chosen.

The choice depends on the seed and on the request's number alone, so that a run that sends the same requests in the same
order meets the same faults.
"""

from collections.abc import Mapping, Sequence

from thumbrank_core.simulator.behaviour import PICTURE_FAULTS, REQUEST_FAULTS, UPLOAD_MIDCRAWL, check_faults
from thumbrank_core.simulator.lots import Lots

BURST = 3
"""How many requests in a row a burst of 429 strikes. A caller that retries at once meets it again."""


class Faults:
    """The faults at their current rates."""

    def __init__(self, rates: Mapping[str, float], seed: int) -> None:
        self._requests = Lots(f"fault/{seed}/request")
        self._pictures = Lots(f"fault/{seed}/picture")
        self._uploads = Lots(f"fault/{seed}/upload")
        self._burst_ends = 0
        self.set(rates)

    def set(self, rates: Mapping[str, float]) -> None:
        """Other rates from now on; ValueError where `check_faults` says so. A burst under way ends."""
        check_faults(rates)
        self._rates = dict(rates)
        self._burst_ends = 0

    def of_request(self, number: int) -> str | None:
        """What befalls the Data API's request with this number."""
        if number < self._burst_ends:
            return "burst_429"
        kind = self._choice(REQUEST_FAULTS, self._requests.share(str(number)))
        if kind == "burst_429":
            self._burst_ends = number + BURST
        return kind

    def of_picture(self, number: int) -> str | None:
        """What befalls the picture host's request with this number."""
        return self._choice(PICTURE_FAULTS, self._pictures.share(str(number)))

    def uploads_midcrawl(self, number: int) -> bool:
        """Whether a video is uploaded just after the Data API's request with this number."""
        return self._uploads.share(str(number)) < self._rates.get(UPLOAD_MIDCRAWL, 0.0)

    def _choice(self, kinds: Sequence[str], lot: float) -> str | None:
        for kind in kinds:
            lot -= self._rates.get(kind, 0.0)
            if lot < 0:
                return kind
        return None
