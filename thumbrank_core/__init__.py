"""The library: collection, labels, features, training, evaluation. No Dagster in it."""

import os

# Idle OpenMP threads of torch spin by default. Where cores are shared (two cores and a Postgres, a CI machine, six niches at
# once) each waits for a thread that another spinner keeps from running: an epoch measured 9.4 s spinning and 1.1 s waiting.
# It must be set before torch is loaded, so here; whoever sets it outside keeps their choice.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
