"""Splits are a frozen hash of the channel id."""

from collections import Counter

from thumbrank_core.labels.splits import split_of


def test_a_channel_keeps_its_split_for_ever():
    # Written down once: changing these redraws every split and makes earlier figures incomparable.
    known = {
        "UC0000000000000000000000": "train",
        "UC0000000000000000000008": "validation",
        "UC0000000000000000000001": "test",
    }
    assert {channel: split_of(channel) for channel in known} == known


def test_about_70_10_20_per_cent_train_validate_and_test():
    counts = Counter(split_of(f"UC{number:022d}") for number in range(20_000))
    assert abs(counts["train"] / 20_000 - 0.7) < 0.01
    assert abs(counts["validation"] / 20_000 - 0.1) < 0.01
    assert abs(counts["test"] / 20_000 - 0.2) < 0.01
