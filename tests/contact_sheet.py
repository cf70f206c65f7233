"""A sheet of the pictures that a signal puts first and last: the quickest way to see whether it means what it says."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

_TILE = (160, 90)
_LABEL = 14
_ROW = _TILE[1] + _LABEL


def contact_sheet(
    pictures: Sequence[Image.Image], signals: Mapping[str, npt.NDArray[np.floating]], count: int = 8
) -> Image.Image:
    """Per signal two rows: its `count` highest pictures and its `count` lowest, each with its value; NaN are left out.

    Args:
        pictures: n pictures.
        signals: (n,) values by name.
        count: pictures in a row.
    """
    sheet = Image.new("RGB", (count * _TILE[0], 2 * len(signals) * _ROW), (24, 24, 24))
    pencil = ImageDraw.Draw(sheet)
    for number, (name, values) in enumerate(signals.items()):
        order = np.argsort(values)[: int((~np.isnan(values)).sum())]  # NaN sort last
        for side, chosen in enumerate((order[::-1][:count], order[:count])):
            top = (2 * number + side) * _ROW
            for column, picture in enumerate(chosen.tolist()):
                left = column * _TILE[0]
                sheet.paste(pictures[picture].convert("RGB").resize(_TILE), (left, top + _LABEL))
                label = f"{name} {('top', 'bottom')[side]} {values[picture]:.2f}"
                pencil.text((left + 2, top + 1), label, fill=(240, 240, 240))
    return sheet
