"""A bundle for a service to take: its files and an INTEGRATION.md in one folder, all of it or nothing.

What belongs here: which files leave the house, that they are what the card says, and how the folder takes its place. What
stays at home: owners' files and the manifest of rows (TrainingRun.shared). Data for other tools is exporting.py.
"""

import errno
import hashlib
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features import tuned
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.features.specs import locate
from thumbrank_core.model.bundle import CARD, WEIGHTS, Bundle, weights_sha256
from thumbrank_core.model.encoders import encoders_of
from thumbrank_core.model.exports import STATE
from thumbrank_core.model.onnx_export import ONNX
from thumbrank_core.scoring import CALLED_FROM, learnt_sub_scores
from thumbrank_core.store.alone import alone_in
from thumbrank_core.store.files import to_disk, write_bytes
from thumbrank_core.training.run import TrainingRun

INTEGRATION = "INTEGRATION.md"
_BUNDLE = frozenset({CARD, WEIGHTS, STATE, ONNX, tuned.FOLDER})
_OURS = _BUNDLE | {INTEGRATION}
"""What an export may hold; a folder with anything else is somebody's."""


class DeployableError(ThumbrankError):
    """A bundle that is not whole, or a folder that cannot take it."""


@dataclass(frozen=True)
class Deployed:
    """One file of an export: its name below the folder, bytes and sha256."""

    name: str
    bytes: int
    sha256: str


def export_bundle(bundle: Bundle, folder: Path, *, dry_run: bool = False) -> list[Deployed]:
    """Put a bundle's files and INTEGRATION.md into a folder, in place of an earlier export there.

    The folder is written beside its place and then takes it. Killed between the two renames that takes, the earlier export
    still lies beside it, and the next export begins by putting it back.

    Args:
        bundle: which.
        folder: where to; made if it is not there.
        dry_run: check all of it and write nothing.

    Returns:
        The files, INTEGRATION.md last.

    Raises:
        DeployableError: a file is missing or not what the card says, the folder holds something else, or it cannot be written.
        EncodersChanged: nothing here could score with it.
    """
    target = folder.expanduser().resolve()
    with _explained(target):
        _check_place(target)
    sources = _sources(bundle)
    files = [Deployed(name, path.stat().st_size, weights_sha256(path)) for name, path in sources.items()]
    _check_digests(bundle, {file.name: file.sha256 for file in files})
    page = _page(bundle, files).encode()
    if not dry_run:
        with _explained(target):
            _write(target, sources, files, page)
    return [*files, _page_file(page)]


def _sources(bundle: Bundle) -> dict[str, Path]:
    """The files that leave the house: name below the folder -> where it is."""
    found: dict[str, Path] = {}
    for name in TrainingRun(bundle.folder, bundle.card, trained=False).shared:
        if name not in _BUNDLE:  # a card is a file that anybody can write: no path of it may lead elsewhere
            raise DeployableError(f"The {CARD} in {bundle.folder} names {name!r}, which no bundle has: train again.")
        place = bundle.folder / name
        inside = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        found |= {path.relative_to(bundle.folder).as_posix(): path for path in inside}
    for name in dict.fromkeys([STATE, WEIGHTS, CARD, ONNX, *found]):
        if name not in found or not found[name].is_file():
            raise DeployableError(f"{bundle.folder} has no {name}: restore it, or train again.")
    return found


def _check_digests(bundle: Bundle, digests: dict[str, str]) -> None:
    card = bundle.card
    for name, sha256 in {WEIGHTS: card.weights_sha256, **card.files}.items():
        if digests[name] != sha256:
            raise DeployableError(
                f"{bundle.folder / name} is not the file that {CARD} names (sha256 differs): restore it or train again."
            )
    encoders = encoders_of(bundle)
    if card.tuned_encoder is not None:
        locate(encoders.image)  # its weights are those its own card pins


def _page(bundle: Bundle, files: list[Deployed]) -> str:
    learnt = learnt_sub_scores(bundle)
    return (
        _templates()
        .get_template(f"{INTEGRATION}.j2")
        .render(
            card=bundle.card,
            called_from=CALLED_FROM,
            signals=list(SIGNALS),
            learnt=[name for name in SIGNALS if name in learnt],
            state=STATE,
            files=files,
        )
    )


@cache
def _templates() -> Environment:
    return Environment(  # Markdown, which is not escaped: nothing but a bundle's card goes in, and none of it into code
        loader=PackageLoader("thumbrank_core"),
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )


def _page_file(page: bytes) -> Deployed:
    return Deployed(INTEGRATION, len(page), hashlib.sha256(page).hexdigest())


def _check_place(target: Path) -> None:
    """Refuse a place whose content an exchange would take away."""
    above = next(path for path in target.parents if path.exists())
    if not above.is_dir():
        raise NotADirectoryError
    if not target.exists():
        return
    names = {path.name for path in target.iterdir()}
    if not names:
        return
    foreign = sorted(names - _OURS)
    if foreign or not {CARD, INTEGRATION} <= names:
        what = f"holds {foreign[0]}" if foreign else f"holds no {CARD} and {INTEGRATION}"
        raise DeployableError(f"{target} is not empty and no earlier export ({what}): name a new folder.")


def _write(target: Path, sources: dict[str, Path], files: list[Deployed], page: bytes) -> None:
    part, old = (target.with_name(f".{target.name}.thumbrank-{ending}") for ending in ("part", "old"))
    target.parent.mkdir(parents=True, exist_ok=True)
    busy = DeployableError(f"Another export is writing in {target.parent}: wait for it to end, and repeat.")
    with alone_in(target.parent, busy):
        _put_back(old, target)
        shutil.rmtree(part, ignore_errors=True)  # of an export that was killed
        try:
            for file in files:
                place = part / file.name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(sources[file.name], place)
                if weights_sha256(place) != file.sha256:
                    raise DeployableError(f"{sources[file.name]} changed while it was copied: export again.")
                to_disk(place)
            write_bytes(part / INTEGRATION, page, durable=True)
            if target.exists():
                target.rename(old)
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
            _put_back(old, target)


def _put_back(old: Path, target: Path) -> None:
    """An earlier export, where nothing took its place; otherwise it goes."""
    if old.exists() and not target.exists():
        old.rename(target)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _explained(target: Path) -> Generator[None]:
    """Errors of the disk as one sentence; a full one has its own (explain.py)."""
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise DeployableError(f"{target} is a file or lies below one: name a folder.") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DeployableError(f"{target} cannot be written ({error.strerror or error}): name another folder.") from None
