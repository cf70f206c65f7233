"""`python -m thumbrank_dagster`: the console script without an installed entry point."""

from thumbrank_dagster.cli import main

main()
