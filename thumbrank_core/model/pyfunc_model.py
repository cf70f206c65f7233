"""The bundle as MLflow loads it: `mlflow.pyfunc.load_model("models:/thumb-ranker@champion").predict(frame)`.

For people who compare versions inside MLflow. A service takes `thumbrank export` and never loads by this: loading runs the
code that lies in the registry, and whoever may write there would choose it (docs/decisions.md, No pickle).

MLflow copies this file beside the weights and runs it (models from code), so that no pickle is written or read. What scores
is the bundle, after its sha256 matched; thumbrank itself must be installed where the model is loaded. What belongs here: the
columns that MLflow's callers give and get. How a version is registered is registry.py.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from thumbrank_core.model.bundle import Bundle, load_bundle

ARTIFACT = "bundle"
IMAGE, TITLE = "image", "title"


class ThumbRanker(PythonModel):
    """Scores of thumbnails: the higher one of a channel is the likelier winner."""

    _bundle: Bundle

    def load_context(self, context: Any) -> None:
        """Load the bundle that MLflow unpacked.

        Raises:
            BundleError: it is damaged.
        """
        self._bundle = load_bundle(Path(context.artifacts[ARTIFACT]))

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]  # MLflow's own returns nothing
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> npt.NDArray[np.float64]:
        """Ranking scores (n,) of a frame of n rows: column `image`, the picture's vector, and `title`, the title's, both by
        the encoders that the bundle's card names.

        Raises:
            BundleError: the vectors are not of those encoders, or one is all zeros or not finite.
        """
        return self._bundle.score(_matrix(model_input[IMAGE]), _matrix(model_input[TITLE]))


def _matrix(column: "pd.Series[Any]") -> npt.NDArray[np.float32]:
    rows = [np.asarray(row, dtype=np.float32) for row in column]
    return np.stack(rows) if rows else np.empty((0, 0), np.float32)


set_model(ThumbRanker())
