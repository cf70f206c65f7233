"""Which model a verb speaks of: the one that --model names, or the registry's champion. Postgres is not needed for either."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.model.bundle import Bundle

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="PATH",
        help="A bundle's folder, or a thumbnail_ranking_model.pt with its bundle.json. Default: the champion.",
    ),
]


@dataclass(frozen=True)
class Chosen:
    """A bundle, and what people call it."""

    bundle: "Bundle"
    called: str


def choose(settings: Settings, model: Path | None) -> Chosen:
    """The bundle that `model` names, or the champion's.

    Raises:
        BundleError: it is not there, or not what it should be.
        RegistryError: no model is the champion, or its folder holds other weights than were registered.
    """
    from thumbrank_core.model.locate import bundle_at
    from thumbrank_core.registry import Registry, RegistryError

    if model is not None:
        bundle = bundle_at(model)
        return Chosen(bundle, f"model {bundle.card.fingerprint[:12]}")
    uri = settings.tracking_uri
    # Asking a registry that is not there would make one: seconds, and a file where nothing was to be written.
    absent = uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file()
    version = None if absent else Registry(uri).get("champion")
    if version is None:
        raise RegistryError(
            "No model is the champion yet: train and evaluate one (`thumbrank run --niche NAME`), or name a bundle with --model."
        )
    bundle = version.bundle()
    return Chosen(bundle, f"the champion, version {version.number} ({bundle.card.fingerprint[:12]})")
