"""The code location that workspace.yaml names."""

from thumbrank_core.settings import Settings
from thumbrank_dagster.build import build_defs

settings = Settings.read()
defs = build_defs(deployment=settings.deployment, launcher=settings.run_launcher)
