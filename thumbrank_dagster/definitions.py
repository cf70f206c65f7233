"""The code location that workspace.yaml names."""

from thumbrank_core.interrupts import send_again_what_is_lost
from thumbrank_core.settings import Settings
from thumbrank_dagster.build import build_defs

send_again_what_is_lost()  # the processes of runs and steps import this: Terminate must not be lost in them
settings = Settings.read()
defs = build_defs(deployment=settings.deployment, launcher=settings.run_launcher)
