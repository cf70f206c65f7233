"""Names for the numpy arrays that pass between modules; a shape and a unit stand where one is taken or returned."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
