"""What time it is, for schedules and sensors: a resource, so that tests can travel in time."""

from datetime import UTC, datetime

import dagster as dg


class ClockResource(dg.ConfigurableResource):
    """The machine's clock."""

    def now(self) -> datetime:
        """Now, in UTC."""
        return datetime.now(UTC)
