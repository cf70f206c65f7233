"""Identifiers that look like YouTube's, derived from a seed and a place in the world.

A place is (niche, channel number, video number); it does not depend on how large the world is, so that a small and a
large world of one seed name the same channel alike, while two seeds share no identifier.
"""

import hashlib
from base64 import urlsafe_b64encode


def digest(size: int, *parts: object) -> bytes:
    """`size` bytes (at most 64) that depend on every part and on nothing else."""
    text = "/".join(str(part) for part in ("thumbrank", *parts))
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


def base64url(data: bytes) -> str:
    """URL-safe base64 without padding, the alphabet of YouTube's identifiers."""
    return urlsafe_b64encode(data).decode().rstrip("=")


def channel_id(seed: int, niche: str, channel: int) -> str:
    """ "UC" and 22 characters: 16 bytes, as on YouTube, so that the last character is one of A, Q, g, w."""
    return "UC" + base64url(digest(16, "channel", seed, niche, channel))


def video_id(seed: int, niche: str, channel: int, video: int) -> str:
    """11 characters: 8 bytes, as on YouTube. One in 64 begins with "-", which breaks careless command lines."""
    return base64url(digest(8, "video", seed, niche, channel, video))


def video_ids(seed: int, niche: str, channel: int, count: int) -> list[str]:
    """`video_id` for the first `count` videos of a channel, several times as fast."""
    start = hashlib.blake2b(f"thumbrank/video/{seed}/{niche}/{channel}/".encode(), digest_size=8)
    found: list[str] = []
    for number in range(count):
        drawn = start.copy()
        drawn.update(b"%d" % number)
        # Eight bytes are eleven characters and one "=".
        found.append(urlsafe_b64encode(drawn.digest())[:11].decode())
    return found


def uploads_playlist_id(channel: str) -> str:
    """The playlist that holds everything a channel has published."""
    return "UU" + channel[2:]
