"""The temperature that turns score differences into probabilities: P(a beats b) = sigmoid((score a - score b) / temperature).

Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017). One number, so that no order changes.
"""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from thumbrank_core.array_types import Floats

REACH = 8.0
"""The temperature is looked for between exp(-8) and exp(8) times the spread of the differences."""


def fit_temperature(difference: Floats, outcome: Floats) -> float:
    """The temperature of least logistic loss.

    Args:
        difference: (p,) score of a less score of b, of pairs that the weights were not fitted on.
        outcome: (p,) 1 where a won, 0 where b won, 0.5 for a tie.

    Returns:
        Above 0; 1 where all scores are equal. Differences that say nothing, or the opposite, give a large one: all
        probabilities are near one half.
    """
    spread = float(np.sqrt(np.mean(np.square(difference)))) if len(difference) else 0.0
    if spread == 0.0:
        return 1.0
    signed = difference / spread

    def loss(log_temperature: float) -> float:
        logit = signed / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0.0, logit) - outcome * logit))

    # Convex in 1 / temperature, so that there is one minimum along the logarithm too.
    found: Any = minimize_scalar(loss, bounds=(-REACH, REACH), method="bounded", options={"xatol": 1e-6})
    return spread * float(np.exp(found.x))
