"""Torch's random generators, for checkpoints: a resumed run draws what the interrupted one would have drawn."""

import torch


def states(device: torch.device) -> torch.Tensor:
    """The states of torch's generators, one after the other: dropout draws from the device's."""
    found = [torch.get_rng_state()]
    if device.type == "cuda":
        found.append(torch.cuda.get_rng_state(device))
    return torch.cat(found)


def restore(kept: torch.Tensor, device: torch.device) -> None:
    """Put back what `states` gave for that device."""
    own = torch.get_rng_state().numel()
    torch.set_rng_state(kept[:own])
    if device.type == "cuda":
        torch.cuda.set_rng_state(kept[own:], device)
