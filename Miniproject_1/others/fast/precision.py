"""Where bfloat16 pays: where the hardware multiplies it."""

from functools import lru_cache
from typing import Dict

import torch


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16 on this device.

    Args:
        precision: "float32", "bfloat16", or "auto": bfloat16 where the hardware multiplies it.
        device: on which the network is.
    """
    if precision == "auto":
        return multiplies_bfloat16(device)
    return precision == "bfloat16"


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether PyTorch finds that this processor or GPU multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        instructions = ("avx512_bf16", "amx_bf16", "bf16")
        return any(capabilities().get(name, False) for name in instructions)
    return False


def has_amx() -> bool:
    """Whether this processor multiplies whole matrices in bfloat16."""
    return capabilities().get("amx_bf16", False)


@lru_cache(maxsize=None)
def capabilities() -> Dict[str, bool]:
    """What PyTorch finds that this processor can do; nothing where it cannot tell."""
    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    return {}
