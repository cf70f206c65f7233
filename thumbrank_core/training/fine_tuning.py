"""CLIP's own blocks in a training run: the tower before it, its pictures during it, and the encoder that it has become after it.

What belongs here: what only fine-tuning needs. How the tower is cut is model/tower.py, how pictures become states is
pictures.py, what the tuned encoder's folder holds is features/tuned.py.
"""

from dataclasses import dataclass
from pathlib import Path

from thumbrank_core.features import tuned
from thumbrank_core.features.encoders import best_device
from thumbrank_core.features.specs import EncoderSet
from thumbrank_core.model.tower import Tower
from thumbrank_core.progress import say
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore
from thumbrank_core.training.dataset import Dataset
from thumbrank_core.training.pictures import PictureSource
from thumbrank_core.training.recipe import Recipe


@dataclass(frozen=True)
class TuningStores:
    """What fine-tuning CLIP needs besides vectors: pictures to look at, and a place for the tuned encoder's vectors."""

    database: Database
    images: ImageStore
    offline: bool


class FineTuning:
    """The tower of the recipe's blocks, loaded; `tail` is the part that is trained.

    Args:
        dataset: whose pictures it is trained on.
        recipe: how many blocks, and how.
        encoders: the set whose image tower it is.
        stores: where pictures and vectors are.

    Raises:
        EncoderError: the tower cannot be loaded.
        TowerError: it cannot be cut or computed with as the recipe says.
    """

    def __init__(self, dataset: Dataset, recipe: Recipe, encoders: EncoderSet, stores: TuningStores) -> None:
        self._dataset, self._recipe, self._encoders, self._stores = dataset, recipe, encoders, stores
        self._tower = Tower(
            encoders.image,
            recipe.fine_tune_blocks,
            checkpointing=recipe.gradient_checkpointing,
            offline=stores.offline,
        )
        self.tail = self._tower.tail
        if self._tower.warning is not None:
            say(self._tower.warning)

    def pictures(self, scratch: Path) -> PictureSource:
        """The states of the data set's pictures, to be used in a `with` block; see PictureSource for `scratch` and errors."""
        return PictureSource(
            self._dataset.items, self._stores.images, self._tower, epochs=self._recipe.epochs, scratch=scratch
        )

    def write(self, folder: Path) -> EncoderSet:
        """Write the trained tower into `folder` and the vectors of the data set's pictures into the database.

        Returns:
            The encoders with the tuned tower for pictures.
        """
        vision = self._tower.vision
        tuned.write_encoder(folder, vision.model, vision.processor, self._encoders.image, best_device())
        after = tuned.tuned_set(self._encoders, folder)
        tuned.embed_pictures(self._stores.database, self._stores.images, after.image, set(self._dataset.items.picture))
        return after
