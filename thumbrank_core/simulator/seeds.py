"""Which seeds belong to whom. Only numbers and the reason why they must not mix.

The tiny CLIP in `thumbrank_core/features/tiny_clip` was trained on worlds of `TRAINING_SEEDS`. A model that is measured
on a world whose pictures its encoder has seen would be measured on its own training data, so no demo, test or benchmark
may use a seed from `TRAINING_SEEDS`; `tests/unit/test_simulator_world.py` holds every named seed to that.
"""

TRAINING_SEEDS: tuple[int, ...] = (9001, 9002, 9003)
"""The worlds that `scripts/train_tiny_clip.py` draws. Nothing else may use them."""

PROBE_SEED = 9101
"""The world on which the model card's probes are measured: seen neither in training nor in the demo."""

DEFAULT_SEED = 0
"""The demo's world."""

TEST_SEEDS: tuple[int, ...] = (1, 2, 3, 4, 5)
"""Further worlds that tests and benchmarks are free to use."""
