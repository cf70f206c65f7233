"""MLflow for the model assets: the registry. Runs are opened by the training itself (thumbrank_core/retraining.py)."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from thumbrank_core.registry import Registry


class MlflowResource(dg.ConfigurableResource):
    """Where runs and versions go: MLFLOW_TRACKING_URI, or SQLite below THUMBRANK_HOME."""

    def registry(self) -> "Registry":
        """The registry."""
        from thumbrank_core.registry import Registry
        from thumbrank_core.settings import Settings

        return Registry(Settings.read().tracking_uri)
