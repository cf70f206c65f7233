"""Telling the team: the webhook of THUMBRANK_ALERT_WEBHOOK, and links to the UI. The address never enters a run's configuration."""

from typing import TYPE_CHECKING

import dagster as dg

from thumbrank_core.addresses import without_login

if TYPE_CHECKING:
    from thumbrank_core.automation.alerts import Webhook

NOT_SET = "THUMBRANK_ALERT_WEBHOOK is not set, so nobody is told."


class AlertsResource(dg.ConfigurableResource):
    """What can be told, read from the environment whenever it is."""

    def webhook(self) -> "Webhook | None":
        """Where messages go; None: nowhere.

        Raises:
            AlertError: what is set cannot be a webhook.
        """
        from thumbrank_core.automation.alerts import webhook_of
        from thumbrank_core.settings import Settings

        return webhook_of(Settings.read())

    def without_secrets(self, text: str) -> str:
        """The text without the value of any secret setting."""
        from thumbrank_core.automation.alerts import without_secrets
        from thumbrank_core.settings import Settings

        return without_secrets(text, Settings.read())

    def run_link(self, run_id: str) -> str | None:
        """The run's page; None: THUMBRANK_DAGSTER_URL is not set."""
        from thumbrank_core.settings import Settings

        return run_page(Settings.read().dagster_url, run_id)


def run_page(dagster_url: str | None, run_id: str) -> str | None:
    """The address of a run's page in the Dagster UI, without any login; None: the UI's own is not known."""
    return None if dagster_url is None else f"{without_login(dagster_url).rstrip('/')}/runs/{run_id}"
