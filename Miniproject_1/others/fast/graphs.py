"""CUDA graphs: a GPU gets all kernels of a pass at once, and does not wait for the processor.

A training step of this network is some hundred kernels of a few microseconds each. Launching them
one by one takes longer than computing them.
"""

import warnings
from typing import Optional

import torch
import torch.distributed
from torch import Tensor, nn

CALLS_BEFORE = 8  # of one shape, after which a graph is worth recording


class GraphedNetwork:
    """A network in training mode on a GPU, whose passes are recorded for batches of one shape.

    The shape is the first that comes `CALLS_BEFORE` times: that of a full batch. Smaller last
    batches, several processes (which exchange sums within a pass), and whatever cannot be recorded
    are computed without a graph.

    Args:
        computation: maps images in channels_last to the output, by the same kernels each time.
    """

    def __init__(self, computation: nn.Module):
        self.computation = computation
        self.calls = {}  # of each shape
        self.recorded_shape = None
        self.recorded = None

    def __call__(self, images: Tensor) -> Optional[Tensor]:
        """The output, with gradients; None if there is no graph for these images (yet)."""
        if self.recorded is None and self.is_due(images):
            self.record(images)
        if self.recorded is None or images.shape != self.recorded_shape:
            return None
        return self.recorded(images)

    def is_due(self, images: Tensor) -> bool:
        """Whether it is time to record a graph, which is tried once."""
        if self.recorded_shape is not None or has_several_processes():
            return False
        self.calls[images.shape] = self.calls.get(images.shape, 0) + 1
        return self.calls[images.shape] > CALLS_BEFORE

    def record(self, images: Tensor) -> None:
        self.recorded_shape = images.shape
        buffers = [buffer.clone() for buffer in self.computation.buffers()]
        try:
            recorded = torch.cuda.make_graphed_callables(self.computation, (images.clone(),))
            self.recorded = recorded
        except RuntimeError as error:
            reason = str(error).split("\n")[0]
            warnings.warn(f"computing without CUDA graphs: {reason}", stacklevel=2)
        # Recording runs the network, which changes the statistics of BatchNorms
        for buffer, before in zip(self.computation.buffers(), buffers):
            buffer.copy_(before)


def has_several_processes() -> bool:
    """Whether this process trains together with others."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()
