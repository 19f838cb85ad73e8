"""CUDA graphs: a GPU gets all kernels of a pass at once, and does not wait for the processor.

A training step of this network is some hundred kernels of a few microseconds each. Launching them
one by one takes longer than computing them: on an H200, a forward and backward pass of 64 images
takes 3 ms as a graph, and Muon's step takes 4 ms without one.
"""

import gc
import warnings
from typing import Callable, Optional

import torch
import torch.distributed
from torch import Tensor, nn

CALLS_BEFORE = 8  # calls with one shape before its graph is recorded


class RecordedFunction:
    """A function of tensors, which becomes a CUDA graph after some calls.

    On other devices, and where it cannot be recorded, it is called as it is. Recording needs
    PyTorch 2.2 or newer.

    Args:
        function: it launches the same kernels each time. It depends on nothing but the tensors
            that it is given and on tensors that stay where they are, which it may change. It
            returns a tuple of tensors.
    """

    def __init__(self, function: Callable):
        self.function = function
        self.calls = 0
        self.graph = None
        self.inputs = ()
        self.outputs = ()

    def __call__(self, *tensors: Tensor):
        """Return what the function returns. Each call has the shapes of the first one."""
        if not can_record_on(tensors[0].device) or self.calls < CALLS_BEFORE:
            self.calls += 1
            return self.function(*tensors)
        if self.calls == CALLS_BEFORE:  # recording is tried once
            self.calls += 1
            self.record(tensors)
        if self.graph is None:
            return self.function(*tensors)
        torch._foreach_copy_(self.inputs, tensors)
        self.graph.replay()
        return tuple(output.clone() for output in self.outputs)

    def record(self, tensors):
        self.inputs = [tensor.clone() for tensor in tensors]
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):  # records only; nothing runs yet
                self.outputs = self.function(*self.inputs)
            self.graph = graph
        except RuntimeError as error:
            warn_without_graph(error)


class GraphedNetwork:
    """A network in training mode on a GPU, whose passes are recorded for batches of one shape.

    The shape is the first that comes more than `CALLS_BEFORE` times: that of a full batch. Smaller
    last batches, several processes (which exchange sums within a pass), and whatever cannot be
    recorded are computed without a graph.

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
        if not can_record_on(images.device):
            return False
        self.calls[images.shape] = self.calls.get(images.shape, 0) + 1
        return self.calls[images.shape] > CALLS_BEFORE

    def record(self, images: Tensor) -> None:
        self.recorded_shape = images.shape
        gc.collect()  # frees the graphs of networks that are gone
        buffers = [buffer.clone() for buffer in self.computation.buffers()]
        try:
            self.recorded = recorded_with_its_own_leaves(self.computation, images)
        except (RuntimeError, ImportError) as error:
            warn_without_graph(error)
        # Recording runs the network, which changes the statistics of BatchNorms
        for buffer, before in zip(self.computation.buffers(), buffers):
            buffer.copy_(before)


def recorded_with_its_own_leaves(computation: nn.Module, images: Tensor) -> Callable:
    """Record the passes of a module for images of this shape.

    Where autograd has met a parameter, it remembers the stream. It may have met the parameters of
    this module on another stream than the one that records, in another graph or in a loss that is
    still there, and then it would wait for that stream, which a graph cannot contain. So the graph
    is recorded with tensors of its own, which share the memory of the parameters.

    Returns:
        a function of images that returns the output, with gradients to the parameters.
    """
    from torch.func import functional_call  # PyTorch 2.0

    names, parameters = zip(*computation.named_parameters())
    leaves = [
        parameter.detach().requires_grad_(parameter.requires_grad) for parameter in parameters
    ]

    def compute(images, *leaves):
        return functional_call(computation, dict(zip(names, leaves)), (images,))

    graph = torch.cuda.make_graphed_callables(compute, (images.clone(), *leaves))
    return lambda images: graph(images, *parameters)


def can_record_on(device: torch.device) -> bool:
    """PyTorch records the current GPU only; a graph for another one would be empty."""
    return device.type == "cuda" and device.index == torch.cuda.current_device()


def has_several_processes() -> bool:
    """Whether this process trains together with others."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def warn_without_graph(error: RuntimeError) -> None:
    reason = str(error).split("\n")[0]
    warnings.warn(f"computing without CUDA graphs: {reason}", stacklevel=3)
