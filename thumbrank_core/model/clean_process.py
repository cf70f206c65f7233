"""Whether a bundle loads and scores alone: in a process that shares nothing with the one that trained it.

`python -m thumbrank_core.model.clean_process FOLDER` is that process: it loads the bundle, scores a few seeded vectors twice
and writes the scores. `loads_cleanly` starts it and compares.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thumbrank_core.launch import exit_status
from thumbrank_core.model.bundle import Bundle, BundleError, load_bundle

ROWS = 8
PATIENCE_SECONDS = 120
TOLERANCE = 1e-5
"""Of a score, relative: the other process may add in another order, as it may have another number of threads."""


def loads_cleanly(folder: Path) -> str | None:
    """Why the bundle in `folder` does not load and score in a process of its own as it does here; None: it does."""
    try:
        here = _scores(load_bundle(folder))
    except BundleError as error:
        return str(error)
    command = [sys.executable, "-m", __name__, str(folder.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"{folder} did not load and score within {PATIENCE_SECONDS} s in a process of its own."
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        reason = words[-1].rstrip(".")[:300] if words else f"exit {done.returncode}"
        return f"{folder} does not load and score in a process of its own: {reason}."
    first, second = (np.array(scores) for scores in json.loads(done.stdout.splitlines()[-1]))
    if not np.array_equal(first, second):
        return f"{folder} scores the same vectors differently from one call to the next."
    if not np.allclose(first, here, rtol=TOLERANCE, atol=TOLERANCE):
        return f"{folder} scores the same vectors differently in a process of its own, by up to {np.abs(first - here).max():.2g}."
    return None


def _scores(bundle: Bundle) -> npt.NDArray[np.float64]:
    generator, shape = np.random.default_rng(0), bundle.card.network
    image = generator.normal(size=(ROWS, shape.clip_dim)).astype(np.float32)
    return bundle.score(image, generator.normal(size=(ROWS, shape.text_dim)).astype(np.float32))


def _work(folder: Path) -> None:
    bundle = load_bundle(folder)
    sys.stdout.write(json.dumps([_scores(bundle).tolist(), _scores(bundle).tolist()]) + "\n")


if __name__ == "__main__":
    sys.exit(exit_status(lambda: _work(Path(sys.argv[1]))))
