"""Where bfloat16 pays: where the hardware multiplies it."""

import torch


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16 on this device.

    Args:
        precision: "float32", "bfloat16", or "auto": bfloat16 where the hardware multiplies it.
        device: on which the network is.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and processor_has("avx512_bf16", "amx_bf16", "bf16")


def processor_has(*instructions: str) -> bool:
    """Whether PyTorch finds one of these instructions here; older versions cannot tell."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in instructions)
