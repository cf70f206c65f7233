"""MLflow for the model assets: runs that know their Dagster run, and the registry."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from thumbrank_core.registry import Registry
    from thumbrank_core.training.tracking import MlflowTracker


class MlflowResource(dg.ConfigurableResource):
    """Where runs and versions go: MLFLOW_TRACKING_URI, or SQLite below THUMBRANK_HOME."""

    def tracker(self, run_name: str, context: dg.AssetExecutionContext) -> "MlflowTracker":
        """A new MLflow run, tagged with the Dagster run that asked for it."""
        from thumbrank_core.settings import Settings
        from thumbrank_core.training.tracking import MlflowTracker

        settings = Settings.read()
        return MlflowTracker(
            settings.tracking_uri,
            settings.home / "mlflow" / "artifacts",
            run_name,
            {"dagster_run_id": context.run.run_id, "dagster_asset": context.asset_key.to_user_string()},
        )

    def registry(self) -> "Registry":
        """The registry."""
        from thumbrank_core.registry import Registry
        from thumbrank_core.settings import Settings

        return Registry(Settings.read().tracking_uri)
