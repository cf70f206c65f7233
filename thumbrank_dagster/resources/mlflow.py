"""MLflow for the model assets: the registry, and the way from a Dagster run to its MLflow run. Runs are opened by the training
itself (thumbrank_core/retraining.py), which writes the Dagster run on them: the way back.
"""

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

    def run_link(self, run_id: str) -> dg.UrlMetadataValue | dg.TextMetadataValue:
        """A run as metadata: a link to its page, or its bare id where no address of an MLflow UI is known.

        The address is THUMBRANK_MLFLOW_URL, else a tracking server's own; runs in a SQLite file have a page only while somebody
        serves them.
        """
        from thumbrank_core.settings import Settings
        from thumbrank_core.training.tracking.mlflow import run_page

        settings = Settings.read()
        page = run_page(settings.mlflow_url, settings.tracking_uri, run_id)
        return dg.MetadataValue.text(run_id) if page is None else dg.MetadataValue.url(page)
