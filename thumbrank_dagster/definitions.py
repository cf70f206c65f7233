"""The code location that workspace.yaml names."""

from thumbrank_dagster.build import build_defs

defs = build_defs()
