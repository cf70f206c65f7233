"""The data set that a run is asked for, out of the database: niches by name, encoders settled."""

from collections.abc import Sequence

from thumbrank_core.features.encoders import best_device
from thumbrank_core.features.precision import settle
from thumbrank_core.features.specs import EncoderSet, load_set
from thumbrank_core.niches import enabled_niches, require_niche
from thumbrank_core.settings import Settings
from thumbrank_core.store.database import Database
from thumbrank_core.store.opening import open_database, running_servers
from thumbrank_core.training.dataset import Dataset
from thumbrank_core.training.loading import load_dataset


def read_stored(
    database: Database, settings: Settings, niches: Sequence[str] = (), encoders: str | None = None
) -> tuple[Dataset, EncoderSet]:
    """The data set of these niches (none named: every enabled one) and the encoders (none: THUMBRANK_ENCODERS) of its vectors.

    Raises:
        NicheError: no such niche.
        EncoderError: no such encoder set.
        DatasetError: a niche has nothing to learn from.
    """
    chosen = [require_niche(niche) for niche in niches] or list(enabled_niches())
    with database.connection() as connection:
        settled = settle(connection, load_set(encoders or settings.encoders), best_device())
    return load_dataset(database, chosen, settled), settled


def stored_dataset() -> Dataset:
    """Everything that the configured database holds of the enabled niches."""
    settings = Settings.read()
    with running_servers(settings) as servers, open_database(servers.thumbrank) as database:
        return read_stored(database, settings)[0]
