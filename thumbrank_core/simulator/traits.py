"""What is true of a video or a channel beside what the world drew: decided by lots, so that no random stream moves.

Pure functions of identifiers and settings; how they look in an answer is in `video_answers` and `channel_answers`.
"""

from thumbrank_core.simulator.lots import Lots
from thumbrank_core.simulator.world import Video

SHORT_SECONDS = 60
"""Every video of this world that is shorter than this is a Short; the others are two minutes or longer."""

_DEFINITION = Lots("definition", 1)
_CAPTION = Lots("caption", 1)
_TAGS = Lots("tags", 1)
_LANGUAGE = Lots("language", 1)
_PAID = Lots("paid", 1)
_RECORDED = Lots("recorded live")
_LARGEST = Lots("larger than maxres")
_SHORTS_PICTURE = Lots("shorts aspect ratio")
_KIDS = Lots("made for kids")
_SUSPENDED = Lots("suspended")
_TRAINING = Lots("third-party training")
_STATISTICS = Lots("no statistics in a batch")

RECORDED_SHARE = 0.02
LARGEST_SHARE = 0.2
"""Of the videos with large pictures, how many have pictures above 720p too."""
NO_STATISTICS_SHARE = 0.004


def is_short(video: Video) -> bool:
    """Whether it is a vertical video of less than a minute."""
    return 0 < video.duration_seconds < SHORT_SECONDS


def is_high_definition(video: Video) -> bool:
    """Whether contentDetails.definition is hd."""
    return _DEFINITION.number(video.id) > 12


def has_captions(video: Video) -> bool:
    """Whether contentDetails.caption is "true"."""
    return _CAPTION.number(video.id) < 90


def has_tags(video: Video) -> bool:
    """Whether the snippet has tags."""
    return _TAGS.number(video.id) < 200


def names_its_language(video: Video) -> bool:
    """Whether the snippet names the video's language."""
    return _LANGUAGE.number(video.id) < 180


def is_paid_placement(video: Video) -> bool:
    """Whether it declares a paid product placement."""
    return _PAID.number(video.id) < 10


def is_recorded_live(video: Video) -> bool:
    """Whether it is the recording of a live stream that has ended."""
    return video.state == "public" and not is_short(video) and _RECORDED.share(video.id) < RECORDED_SHARE


def has_largest_pictures(video: Video) -> bool:
    """Whether fhd, qhd and uhd pictures exist beside maxres."""
    return video.large_pictures and _LARGEST.share(video.id) < LARGEST_SHARE


def has_shorts_picture(video: Video) -> bool:
    """Whether a vertical picture exists: about half of all Shorts."""
    return is_short(video) and _SHORTS_PICTURE.share(video.id) < 0.5


def is_made_for_kids(channel_id: str, share: float) -> bool:
    """Whether a channel and all its videos are made for kids, where `share` of all channels is."""
    return share > 0 and _KIDS.share(channel_id) < share


def is_suspended(channel_id: str, share: float) -> bool:
    """Whether YouTube has taken a channel down, where it has taken down `share` of all."""
    return _SUSPENDED.share(channel_id) < share


def batch_statistics(video: Video) -> str:
    """What videos:batchGetStats gives: "full", "empty" ({}) or "absent"; an upcoming video has none."""
    lot = _STATISTICS.share(video.id)
    if video.state != "upcoming" and lot >= NO_STATISTICS_SHARE:
        return "full"
    return "empty" if int(lot * 1e6) % 2 else "absent"


def permitted_trainers(video_id: str) -> list[str]:
    """Whom the creator allows to train on a video: 70 % everybody, 20 % nobody, 10 % some parties."""
    lot = _TRAINING.share(video_id)
    if lot < 0.7:
        return ["all"]
    if lot < 0.9:
        return ["none"]
    return ["partyOne", "partyTwo"] if lot < 0.95 else ["partyTwo"]
