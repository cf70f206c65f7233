"""The data set that a run is asked for, out of the database: niches by name, encoders settled."""

from collections.abc import Sequence
from datetime import UTC, datetime

from thumbrank_core.features.precision import settle
from thumbrank_core.features.specs import EncoderSet, load_set
from thumbrank_core.niches import enabled_niches, require_niche
from thumbrank_core.settings import Settings
from thumbrank_core.store.database import Database
from thumbrank_core.store.opening import open_database, running_servers
from thumbrank_core.training import borders
from thumbrank_core.training.dataset import Dataset
from thumbrank_core.training.loading import load_dataset


def read_stored(
    database: Database,
    settings: Settings,
    niches: Sequence[str] = (),
    encoders: str | None = None,
    now: datetime | None = None,
) -> tuple[Dataset, EncoderSet]:
    """What is to be learnt from: the data set of these niches (none named: every enabled one), and the encoders (none:
    THUMBRANK_ENCODERS) of its vectors. `now`: until when counts have aged; None: the clock says it.

    Raises:
        UnknownNicheError: no such niche.
        EncoderError: no such encoder set.
        BorderError: a niche may not be learnt from; the sentence names every such one.
    """
    chosen, settled = _asked(database, settings, niches, encoders)
    return load_dataset(database, chosen, settled, "train", now), settled


def check_borders(
    database: Database, settings: Settings, niches: Sequence[str] = (), encoders: str | None = None
) -> tuple[borders.Border, ...]:
    """What `read_stored` asks of the niches before it reads them; for whoever starts processes that read.

    Raises:
        UnknownNicheError, EncoderError, BorderError: as `read_stored`.
    """
    chosen, settled = _asked(database, settings, niches, encoders)
    with database.connection() as connection:
        return borders.check(connection, chosen, settled, datetime.now(UTC))


def _asked(
    database: Database, settings: Settings, niches: Sequence[str], encoders: str | None
) -> tuple[list[str], EncoderSet]:
    chosen = [require_niche(niche) for niche in niches] or list(enabled_niches())
    with database.connection() as connection:
        return chosen, settle(connection, load_set(encoders or settings.encoders))


def stored_dataset() -> Dataset:
    """Everything that the configured database holds of the enabled niches."""
    settings = Settings.read()
    with running_servers(settings) as servers, open_database(servers.thumbrank) as database:
        return read_stored(database, settings)[0]
