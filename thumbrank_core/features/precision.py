"""What an encoder computes in: chosen by what the hardware gains by, and kept once vectors are stored.

The precision is part of an encoder's id, so two machines that choose differently would compute everything twice. So what
is stored decides, and the machine only where nothing is.
"""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from thumbrank_core.features.specs import PRECISIONS, EncoderSet, Precision, Spec

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PrecisionChoice:
    """A precision and why."""

    precision: Precision
    because: str


def gains(device: "torch.device") -> PrecisionChoice:
    """The precision that this device is fastest in, with vectors within a cosine of 0.999 of float32's.

    float16 on a GPU from Volta on: as fast there as bfloat16, with 8 times its resolution, and what CLIP was published in.
    bfloat16 on a CPU with units for it (AVX512-BF16, AMX). Elsewhere half precision is emulated: it measured 3 times slower.
    """
    import torch

    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        name = torch.cuda.get_device_name(device)
        if major >= 7:
            return PrecisionChoice("float16", f"{name} (compute capability {major}.{minor}) has tensor cores for it")
        return PrecisionChoice(
            "float32", f"{name} (compute capability {major}.{minor}) has no units for half precision"
        )
    has = torch.cpu.get_capabilities()
    units = [name for name in ("avx512_bf16", "amx_bf16") if has.get(name)]
    if units:
        return PrecisionChoice("bfloat16", f"this CPU has units for it ({', '.join(units)})")
    return PrecisionChoice("float32", "this CPU has no units for bfloat16, which would be about 3 times slower")


def settle(connection: psycopg.Connection, encoders: EncoderSet) -> EncoderSet:
    """The encoders with a precision each: the configured one; or the one of most stored vectors; or what this machine gains by,
    which alone brings torch."""
    return encoders.settled(_settled(connection, encoders.image), _settled(connection, encoders.title))


def as_trained(encoders: EncoderSet, image_encoder: str, title_encoder: str) -> EncoderSet:
    """The encoders with the precisions of a bundle's ids, where the configuration leaves them open."""

    def of(spec: Spec, encoder_id: str) -> Precision:
        if spec.precision != "auto":
            return spec.precision
        same: list[Precision] = [known for known in PRECISIONS if spec.id_in(known) == encoder_id]
        return same[0] if same else "float32"

    return encoders.settled(of(encoders.image, image_encoder), of(encoders.title, title_encoder))


def _settled(connection: psycopg.Connection, spec: Spec) -> Precision:
    if spec.precision != "auto":
        return spec.precision
    stored = connection.execute(
        "select e.encoder_id from thumbrank.encoders e join thumbrank.embeddings v using (encoder_key) "
        "where e.encoder_id = any(%s) group by 1 order by count(*) desc, 1 limit 1",
        ([spec.id_in(known) for known in PRECISIONS],),
    ).fetchone()
    if stored is not None:
        same: list[Precision] = [known for known in PRECISIONS if spec.id_in(known) == stored[0]]
        choice = PrecisionChoice(same[0], "its stored vectors are in it")
    else:
        from thumbrank_core.features.encoders import best_device

        choice = gains(best_device())
    logger.info("%s in %s: %s.", spec.model, choice.precision, choice.because)
    return choice.precision
