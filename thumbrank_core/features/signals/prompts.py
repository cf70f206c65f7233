"""Measures of stored CLIP vectors: antonym prompts, and how well a title fits its picture. No model is loaded here.

They cost a product of matrices, so they are computed when they are read and never stored. They mean something only where
the text tower knows the words: a real CLIP does, the tiny one knows only the simulator's titles.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import expit

Vectors = npt.NDArray[np.floating]

PROMPTS: dict[str, tuple[str, str]] = {
    "clarity.prompts.1": ("Sharp photo.", "Blurry photo."),
    "emotion.prompts.1": ("A face with a strong emotion.", "A face without emotion."),
}
"""For each measure the positive and the negative prompt, in the form that CLIP-IQA found to work best."""


def antonym_score(image: Vectors, positive: Vectors, negative: Vectors, scale: float) -> npt.NDArray[np.float64]:
    """Probability (n,) that a picture is nearer to the positive prompt than to the negative one.

    The softmax over an antonym pair of CLIP-IQA (Wang, Chan & Loy, AAAI 2023, arXiv 2207.12396).

    Args:
        image: (n, d) unit vectors; NaN rows give NaN.
        positive: (d,) unit vector.
        negative: (d,) unit vector.
        scale: CLIP's logit scale, 100 for OpenAI's models.
    """
    wide = np.asarray(image, dtype=np.float64)
    return expit(scale * (wide @ (np.asarray(positive, np.float64) - np.asarray(negative, np.float64))))


def title_match(image: Vectors, text: Vectors) -> npt.NDArray[np.float64]:
    """Cosine (n,) of each picture and its own title, from (n, d) unit vectors; NaN where either row is NaN.

    Without CLIPScore's rescaling and cut at zero (Hessel et al., EMNLP 2021), which change no rank above zero.
    """
    return np.einsum("nd,nd->n", np.asarray(image, np.float64), np.asarray(text, np.float64))
