"""Features for training CLIP's own blocks: pictures of the picture store, as far as the frozen blocks take them.

Decoded on the fly; or, where that pays, what leaves the frozen blocks is kept in a float16 file and the frozen blocks run once.
Either way states pass through float16, so that the choice, which depends on the disk, does not change what is learnt.
"""

import shutil
import tempfile
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from thumbrank_core.array_types import Ints
from thumbrank_core.features.decoding import Batch, Waited, decoded_ahead, decoders
from thumbrank_core.features.preprocess import Square, to_square
from thumbrank_core.model.network import Pictures
from thumbrank_core.model.tower import Tower, TowerError
from thumbrank_core.progress import say, track
from thumbrank_core.store.images import ImageStore
from thumbrank_core.training.dataset import SPLITS, DatasetError, Items

MOST_BYTES = 256 * 2**30
"""How large a file of states may get: those of 200,000 pictures below ViT-L/14's last blocks are 98 GiB."""
FREE_SHARE = 0.8
"""How much of the free disk it may take."""

States = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Keeping:
    """Whether states are kept, and why."""

    keep: bool
    because: str


def keeping(size: int, free: int, epochs: int, most: int = MOST_BYTES) -> Keeping:
    """Whether `size` bytes of states are worth keeping.

    Args:
        size: of all states, in bytes.
        free: bytes free on the disk.
        epochs: how often each picture is seen in training.
        most: the largest file, in bytes.
    """
    gigabytes = f"{size / 1e9:,.1f} GB"
    if epochs == 1:
        return Keeping(False, "one epoch sees each picture about once")
    if size > most:
        return Keeping(False, f"they are {gigabytes}, and at most {most / 1e9:,.1f} GB are kept")
    if size > FREE_SHARE * free:
        return Keeping(False, f"they are {gigabytes}, and the disk has {free / 1e9:,.1f} GB free")
    return Keeping(True, f"{gigabytes} for {epochs} epochs")


class PictureSource:
    """The states of items' pictures, for a model whose `tower` is the tail of `tower`.

    Used in a `with` block: the file of states goes when it is left. A run that resumes computes them again.

    Args:
        items: whose pictures; those of test channels are not looked at until they are asked for.
        images: where the pictures are.
        tower: its stem computes the states.
        epochs: how often training will see each picture.
        scratch: the folder for the file of states.
        most_bytes: the largest file.

    Raises:
        DatasetError: a picture cannot be had; the sentence names its video.
        OSError: the disk is full.
        TowerError: a state is beyond what float16 holds.
    """

    def __init__(
        self,
        items: Items,
        images: ImageStore,
        tower: Tower,
        *,
        epochs: int,
        scratch: Path,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._images, self._tower = images, tower
        self._device = tower.vision.device
        self.chunk = tower.vision.batch
        """How many items a time where all of them are gone through: they pass the trained blocks together."""
        self._title = torch.from_numpy(np.ascontiguousarray(items.text, dtype=np.float32)).to(self._device)
        seen = items.split != SPLITS.index("test")
        pictured = dict(zip(reversed(items.picture), reversed(items.video_id), strict=True))
        wanted = {items.picture[row] for row in np.flatnonzero(seen)}
        ours = sorted(wanted)
        self._digests = ours + sorted(pictured.keys() - wanted)
        self._video = pictured
        number = {digest: row for row, digest in enumerate(self._digests)}
        self._picture: Ints = np.array([number[digest] for digest in items.picture], dtype=np.int64)
        self._kept: States | None = None
        self._keep_states(ours, epochs, most_bytes, scratch)

    def take(self, index: torch.Tensor) -> Pictures:
        """The states (k, *tower.stem.shape) and titles of the items `index` (k,), int64 on the CPU or on the device.

        Raises:
            DatasetError: a picture cannot be had.
        """
        rows = self._picture[index.cpu().numpy()]
        if self._kept is not None and (len(rows) == 0 or rows.max() < len(self._kept)):
            states = torch.from_numpy(self._kept[rows]).to(self._device)
        else:
            distinct, place = np.unique(rows, return_inverse=True)
            parts = [states for _, states in self._computed([self._digests[row] for row in distinct])]
            states = torch.cat(parts)[torch.from_numpy(place).to(self._device)]
        return Pictures(states.float(), self._title.index_select(0, index.to(self._device)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept = None

    def _keep_states(self, digests: Sequence[bytes], epochs: int, most: int, scratch: Path) -> None:
        shape = (len(digests), *self._tower.stem.shape)
        scratch.mkdir(parents=True, exist_ok=True)
        choice = keeping(int(np.prod(shape)) * 2, shutil.disk_usage(scratch).free, epochs, most)
        where = f"Below the trained part of CLIP ({self._tower.boundary}) the states of {len(digests):,} pictures are"
        if not choice.keep:
            say(f"{where} computed anew for every step: {choice.because}.")
            return
        say(f"{where} kept in a file in {scratch}: {choice.because}.")
        self._kept = self._written(digests, shape, scratch)

    def _written(self, digests: Sequence[bytes], shape: tuple[int, ...], scratch: Path) -> States:
        """The states in a file without a name, which the system takes back with the mapping, also after a kill: retention and
        `forget` could not reach what a dead process left of pictures. Each of several processes has its own."""
        with tempfile.TemporaryFile(dir=scratch) as file:
            with track("pictures through CLIP's frozen part", len(digests)) as advance:
                for count, part in self._computed(digests):
                    file.write(part.cpu().contiguous().numpy().data)
                    advance(count)
            file.flush()
            return np.memmap(file, np.float16, "r", shape=shape)

    def _computed(self, digests: Sequence[bytes]) -> Generator[tuple[int, torch.Tensor]]:
        """The states (n, …) float16 on the device of a batch after the other, in the order of `digests`."""
        tower, images = self._tower, self._images

        def prepare(digest: bytes) -> Square:
            return to_square(images.read(digest), tower.vision.side, tower.spec.resize)

        def new_batch(pictures: int) -> torch.Tensor:
            shape = (pictures, tower.vision.side, tower.vision.side, 3)
            return torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")

        threads = decoders("://" in images.place)
        batches = decoded_ahead(digests, tower.vision.batch, prepare, new_batch, threads, Waited())
        with closing(batches):
            for batch in self._whole(batches):
                states = tower.stem(batch.pixels.to(self._device, non_blocking=True)).half()
                if not bool(torch.isfinite(states).all()):
                    raise TowerError(
                        f"{tower.spec.model} has states at {tower.boundary} that float16 cannot hold: train more blocks, or all."
                    )
                yield len(states), states

    def _whole(self, batches: Iterable[Batch]) -> Generator[Batch]:
        for batch in batches:
            if batch.failed:
                digest, error = next(iter(batch.failed.items()))
                raise DatasetError(
                    f"The picture of {self._video[digest]} cannot be had for fine-tuning ({error.reason}: {error}): fetch the "
                    "niche's pictures again, or exclude the video."
                )
            yield batch
