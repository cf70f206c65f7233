"""Claim: the code location loads in at most three times the time of `import dagster`.

Physical limit: `import dagster` itself, which every code location pays. What may come on top are our own small modules, pydantic
models of the configuration, and YAML; torch alone would be several times the limit. Fresh interpreters, one after the other,
A B A B: what else the machine does meets both. The first of each is not counted, as it fills the disk cache.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measure import report

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 9
LIMIT = 3.0
_TIMED = "import time; started = time.perf_counter(); import {module}; print(time.perf_counter() - started)"


def seconds_to_import(module: str) -> float:
    """In a new interpreter, without the time that the interpreter itself takes."""
    command = [sys.executable, "-c", _TIMED.format(module=module)]
    quiet = os.environ | {"DAGSTER_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=quiet)
    return float(done.stdout)


def main() -> None:
    times = [
        (seconds_to_import("dagster"), seconds_to_import("thumbrank_dagster.definitions")) for _ in range(REPEATS + 1)
    ][1:]
    found = {
        "dagster_s": round(statistics.median(dagster for dagster, _ in times), 3),
        "location_s": round(statistics.median(location for _, location in times), 3),
        "ratio": round(statistics.median(location / dagster for dagster, location in times), 2),
    }
    report("code-location-load", ("dagster",), [{"interpreters": REPEATS, **found, "limit": LIMIT}])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
