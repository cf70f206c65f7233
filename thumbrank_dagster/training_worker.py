"""One of several processes of a training that Dagster started. Only the first one opens Pipes: two reports would be refused."""

import os
import sys
from collections.abc import Sequence

from dagster_pipes import open_dagster_pipes


def main(given: Sequence[str] | None = None) -> int:
    """One process's part; the first one tells the run what was registered."""
    from thumbrank_core import training_worker

    if os.environ.get("RANK", "0") != "0":
        return training_worker.main(given)
    with open_dagster_pipes() as pipes:
        code = training_worker.main(given)
        pipes.log.info("The training processes ended." if code == 0 else f"Training stopped (exit {code}).")
    return code


if __name__ == "__main__":
    sys.exit(main())
