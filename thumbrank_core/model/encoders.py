"""The encoders that a bundle was trained with, found again by their ids.

What belongs here: from a bundle's card to an encoder set. No model is loaded; that is features/encoders.py.
"""

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features.precision import as_trained
from thumbrank_core.features.specs import EncoderSet, load_set
from thumbrank_core.features.tuned import tuned_base, tuned_set
from thumbrank_core.model.bundle import Bundle


class EncodersChanged(ThumbrankError):
    """The encoder set of a bundle is no longer what it was when the bundle was trained."""


def encoders_of(bundle: Bundle) -> EncoderSet:
    """The encoders that the bundle was trained with, its own tuned image tower among them; precisions settled.

    Raises:
        EncodersChanged: config/encoders.yaml names others under that name.
        EncoderError: it names none, or the folder of the tuned tower is broken.
    """
    card = bundle.card
    if card.tuned_encoder is None:
        encoders = as_trained(load_set(card.encoder_set), card.image_encoder, card.title_encoder)
    else:
        folder = bundle.folder / card.tuned_encoder
        base = tuned_base(folder).encoder_id
        encoders = tuned_set(as_trained(load_set(card.encoder_set), base, card.title_encoder), folder)
    if (encoders.image.encoder_id, encoders.title.encoder_id) != (card.image_encoder, card.title_encoder):
        raise EncodersChanged(
            f"The encoder set {card.encoder_set} is not the one the model was trained with: train again, or restore "
            "config/encoders.yaml."
        )
    return encoders
