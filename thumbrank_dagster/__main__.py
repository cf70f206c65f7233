"""`thumbrank …`, also as `python -m thumbrank_dagster …`: the entry point, ready for Ctrl-C before anything slow is imported."""

import sys

from thumbrank_core.interrupts import EXIT_INTERRUPTED, INTERRUPTED, end_on_signals


def main() -> None:
    """Run the command line. SIGTERM ends like Ctrl-C, so that nothing that was started is left behind."""
    end_on_signals()
    try:
        from thumbrank_dagster.cli import app
    except KeyboardInterrupt:
        sys.stderr.write(INTERRUPTED + "\n")
        sys.exit(EXIT_INTERRUPTED)
    app()


if __name__ == "__main__":
    main()
