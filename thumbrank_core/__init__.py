"""The library: collection, labels, features, training, evaluation. No Dagster in it."""

import os

# Idle OpenMP threads of torch spin by default. Where cores are shared (two cores and a Postgres, a CI machine, six niches at
# once) each waits for a thread that another spinner keeps from running: an epoch measured 9.4 s spinning and 1.1 s waiting.
# It must be set before torch is loaded, so here; whoever sets it outside keeps their choice.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it does not hear DO_NOT_TRACK=1, but only the word true
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Nobody else's telemetry. Dagster's is off in its own file (thumbrank_dagster/instance_file.py), Weights & Biases' in its tracker."""
# The libraries read it when they are loaded, so here; it is a default as well.
for _name, _value in NO_TELEMETRY.items():
    os.environ.setdefault(_name, _value)
