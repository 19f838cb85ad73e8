"""The same network, sooner: `accelerated(network)` is used as `torch.compile(network)` is.

`network.py` merges layers, `winograd.py` has a convolution that needs fewer products, `memory.py`
keeps memory from one step to the next, `precision.py` knows where bfloat16 pays.
"""

from .network import accelerated

__all__ = ["accelerated"]
