"""CUDA graphs: a GPU gets all kernels of a pass at once, and does not wait for the processor.

A training step of this network is some hundred kernels of a few microseconds each. Launching them
one by one takes longer than computing them.
"""

import gc
import warnings
from typing import Callable, Optional

import torch
import torch.distributed
from torch import Tensor, nn

CALLS_BEFORE = 8  # calls with one shape before its graph is recorded


class GraphedNetwork:
    """A network in training mode on a GPU, whose passes are recorded for batches of one shape.

    The shape is the first that comes more than `CALLS_BEFORE` times: that of a full batch. Other
    batches, and several processes, which exchange gradients within a pass, have no graph.

    Gradients do not add up over calls: the next backward pass overwrites the memory that `.grad`
    may lie in. Set them to None before it, as `zero_grad()` does.

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
        has_team = torch.distributed.is_available() and torch.distributed.is_initialized()
        if self.recorded_shape is not None or has_team:
            return False
        if images.device.index != torch.cuda.current_device():  # its graph would be empty
            return False
        self.calls[images.shape] = self.calls.get(images.shape, 0) + 1
        return self.calls[images.shape] > CALLS_BEFORE

    def record(self, images: Tensor) -> None:
        self.recorded_shape = images.shape
        gc.collect()  # the graphs of networks that are gone are in reference cycles
        buffers = [buffer.clone() for buffer in self.computation.buffers()]
        stream = torch.cuda.current_stream()
        try:
            self.recorded = recorded_passes(self.computation, images)
        except (RuntimeError, ImportError) as error:
            torch.cuda.set_stream(stream)  # PyTorch would go on with the one that it recorded on
            reason = str(error).split("\n")[0]
            warnings.warn(f"computing without CUDA graphs: {reason}")
        # Recording runs the network, which changes the statistics of BatchNorms
        for buffer, before in zip(self.computation.buffers(), buffers):
            buffer.copy_(before)


def recorded_passes(computation: nn.Module, images: Tensor) -> Callable:
    """Record both passes for images of this shape; returns a function of images, with gradients.

    Autograd keeps a node for each parameter for as long as a loss or another graph refers to it,
    and the node keeps the stream on which it was made. A graph cannot wait for the default stream.
    So it is recorded with leaves that are new to autograd and share the parameters' memory.
    """
    from torch.func import functional_call  # not in PyTorch 1.13, which has no graphs

    parameters = dict(computation.named_parameters())
    leaves = [each.detach().requires_grad_(each.requires_grad) for each in parameters.values()]

    def compute(batch, *weights):
        return functional_call(computation, dict(zip(parameters, weights)), (batch,))

    graph = torch.cuda.make_graphed_callables(compute, (images.clone(), *leaves))
    return lambda batch: graph(batch, *parameters.values())
