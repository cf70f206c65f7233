"""Which bundle a path names: its folder, or the guide's `thumbnail_ranking_model.pt` with the JSON that says what it is.

What belongs here: from what a person types to a verified `Bundle`. Which version the registry calls champion is registry.py.
"""

from pathlib import Path

from thumbrank_core.model.bundle import CARD, Bundle, BundleCard, BundleError, load_bundle, load_card, weights_sha256
from thumbrank_core.model.exports import STATE, load_state


def bundle_at(path: Path) -> Bundle:
    """The bundle that a path names, after its digests matched.

    Args:
        path: a bundle's folder; or a state dict whose bundle.json lies beside it, or in a folder beside it, as in `models/`,
            where the newest model's `thumbnail_ranking_model.pt` lies above the bundles.

    Raises:
        BundleError: there is nothing there, a card or file is not what it should be, or no card names that state dict.
    """
    if path.is_dir():
        return load_bundle(path)
    if not path.is_file():
        raise BundleError(f"There is no {path}: name a bundle's folder, or the {STATE} in it.")
    if path.suffix != ".pt":
        raise BundleError(f"{path} is no model: name the bundle's folder, or the {STATE} in it.")
    folder, card, digest = _named(path)
    return Bundle(folder, card, load_state(path, card.network, sha256=digest))


def _named(path: Path) -> tuple[Path, BundleCard, str]:
    """The folder and the card that name this very state dict, and its digest."""
    digest = weights_sha256(path)
    if (path.parent / CARD).is_file():
        card = load_card(path.parent)
        if card.files.get(STATE) != digest:
            raise BundleError(
                f"{path} is not the file that the {CARD} beside it names (sha256 differs): restore it or train again."
            )
        return path.parent, card, digest
    for found in sorted(path.parent.glob(f"*/{CARD}")):
        try:
            card = load_card(found.parent)
        except BundleError:  # another bundle's, of another version
            continue
        if card.files.get(STATE) == digest:
            return found.parent, card, digest
    raise BundleError(
        f"{path} has no {CARD} beside it that says what network and encoders it is of: put the JSON that training wrote there, "
        "or name the bundle's folder."
    )
