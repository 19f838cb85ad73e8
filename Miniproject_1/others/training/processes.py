"""One training on several processes, on one machine or on several, started by PyTorch's torchrun.

    torchrun --nproc-per-node=2 -m Miniproject_1 train DATA --output m.pth

It computes what one process computes, but for rounding. Every process takes its share of every
batch, and what depends on all of the batch is added up over the processes:

- the statistics of BatchNorm (Ioffe and Szegedy, 2015), as `torch.nn.SyncBatchNorm` does on GPUs;
- the loss;
- the gradients of the parameters.

Then all processes take the same step.
"""

import io
import os
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

PATIENCE = timedelta(minutes=5)  # to wait for another process, which may be measuring or writing


@contextmanager
def team_of_processes(device=None):
    """Join the processes that torchrun has started, if it has; without it, this one is alone.

    All processes but the first are silent.

    Args:
        device: as in `Model`. "cuda": each process takes the GPU of its own number on its machine.

    Yields:
        a `OneProcess` or a `Team`.

    Raises:
        ConnectionError: another process has ended, or cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield OneProcess(device)
        return

    device = device_of_this_process(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        with ExitStack() as stack:
            if dist.get_rank() > 0:
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
            yield Team(device)
    except RuntimeError as error:
        if not is_lost_connection(error):
            raise
        text = f"another process of this training has ended, or is out of reach: {error}"
        raise ConnectionError(text) from error
    finally:
        dist.destroy_process_group()


def device_of_this_process(device):
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    return device


def is_lost_connection(error):
    """Whether a RuntimeError says that another process is out of reach."""
    text = str(error).lower()
    return any(word in text for word in ("gloo", "nccl", "connection", "timed out"))


class OneProcess:
    """A training in this process alone; `Team` has the same methods for several.

    Attributes:
        device: for `Model`.
        is_first: whether this process prints and writes files.
    """

    is_first = True

    def __init__(self, device):
        self.device = device

    def join(self, network):
        """Make all processes train this network together. To be called before `Training` is."""

    def shared(self, batches):
        """The same batches, of each the share of this process."""
        return batches

    def loss(self, loss):
        """The same loss, over the shares of all processes."""
        return loss

    def is_in_any(self, flag):
        """Whether the flag is true in any process."""
        return flag

    def from_first(self, function):
        """Call a function in the first process, and return its result in all of them.

        The result consists of tensors, numbers, texts, and containers of them.
        """
        return function()


class Team:
    """The processes of a training; see `OneProcess`."""

    def __init__(self, device):
        self.device = device
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self.is_first = self.rank == 0
        self.own_pairs = slice(self.rank, None, self.size)  # of a batch

    def join(self, network):
        synchronize_batch_norms(network)
        for value in network.state_dict().values():
            dist.broadcast(value, 0)
        for parameter in network.parameters():
            parameter.register_hook(sum_over_processes)  # of its gradient

    def shared(self, batches):
        """The share of each batch.

        A batch of fewer pairs than processes is taken whole by all of them. Gradients are the same
        as ever; in the factor n / (n - 1) of running variances its n pixels count several times.
        """
        pairs_of_last_process = slice(self.size - 1, None, self.size)

        def batches_of_this_process(step):
            noisy, _ = batches(step, pairs_of_last_process)
            if len(noisy) == 0:
                return batches(step)
            return batches(step, self.own_pairs)

        return batches_of_this_process

    def loss(self, loss):
        """The loss of the whole batch. Its gradient is that of this process's share."""

        def loss_of_all(output, target):
            number = sum_over_processes(torch.tensor(len(output), device=output.device)).item()
            all_targets = self.gathered(target, number)
            all_outputs = self.gathered(output.detach(), number)
            if output.requires_grad:
                all_outputs[self.own_pairs] = output
            return loss(all_outputs, all_targets)

        return loss_of_all

    def gathered(self, images, number):
        """The images of all processes, (number, 3, H, W), in the order of the batch."""
        everything = images.new_zeros(number, *images.shape[1:])
        everything[self.own_pairs] = images
        dist.all_reduce(everything)
        return everything

    def is_in_any(self, flag):
        number = torch.tensor(int(flag), device=self.device)
        return sum_over_processes(number).item() > 0

    def from_first(self, function):
        saved = io.BytesIO()
        if self.is_first:
            torch.save(function(), saved)
        size = sum_over_processes(torch.tensor(saved.tell(), device=self.device)).item()
        content = bytearray(size)
        if self.is_first:
            content[:] = saved.getvalue()
        memory = torch.frombuffer(content, dtype=torch.uint8)  # a tensor in the same place
        message = memory.to(self.device)  # PyTorch's own function for objects needs NumPy
        dist.broadcast(message, 0)
        memory.copy_(message)
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def sum_over_processes(values):
    """A tensor's sum over all processes, element by element."""
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


class SynchronizedBatchNorm(nn.BatchNorm2d):
    """BatchNorm with the statistics of the batches of all processes together; on CPUs too."""

    def forward(self, features):
        """(N, C, H, W) to the same shape."""
        if not self.training:
            return super().forward(features)
        output, mean, variance, number = NormalizedByAll.apply(
            features, self.weight, self.bias, self.eps
        )
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (number / max(number - 1, 1)), self.momentum)
        return output


def synchronize_batch_norms(network):
    """Replace each BatchNorm of an `nn.Sequential` by one that all processes compute together."""
    for index, layer in enumerate(network):
        if isinstance(layer, nn.BatchNorm2d):
            new_layer = SynchronizedBatchNorm(layer.num_features, layer.eps, layer.momentum)
            new_layer.weight, new_layer.bias = layer.weight, layer.bias
            new_layer.running_mean = layer.running_mean
            new_layer.running_var = layer.running_var
            new_layer.num_batches_tracked = layer.num_batches_tracked
            network[index] = new_layer.train(layer.training)


class NormalizedByAll(torch.autograd.Function):
    """BatchNorm in training mode: weight * (x - mean) / sqrt(variance + eps) + bias.

    Mean and variance are over the batches of all processes. Sums of a channel over its own pixels
    are computed here, those over the processes by `sum_over_processes`.
    """

    @staticmethod
    def forward(ctx, features, weight, bias, eps):
        own_number = features[:, 0].numel()
        own_mean, own_variance = torch.batch_norm_update_stats(
            features.to(weight.dtype), None, None, 0.0
        )
        own_moments = [torch.ones_like(own_mean), own_mean, own_variance + own_mean.square()]
        moments = sum_over_processes(own_number * torch.stack(own_moments).double())  # (3, C)
        number = moments[0, 0].item()
        mean, mean_square = moments[1:] / number
        variance = (mean_square - mean.square()).clamp(min=0)
        mean, variance = mean.to(weight.dtype), variance.to(weight.dtype)

        ctx.save_for_backward(features, weight, mean, torch.rsqrt(variance + eps))
        ctx.number = number
        ctx.mark_non_differentiable(mean, variance)
        output = F.batch_norm(features, mean, variance, weight, bias, eps=eps)
        return output, mean, variance, number

    @staticmethod
    def backward(ctx, gradient, *_):
        """With x' = (x - mean) / sqrt(variance + eps) and g the gradient: that of x is

        weight / sqrt(variance + eps) * (g - mean(g) - x' * mean(g * x')).
        """
        features, weight, mean, scale = ctx.saved_tensors
        dtype_of_features = features.dtype
        features, gradient = features.to(weight.dtype), gradient.to(weight.dtype)
        gradient_of_bias = gradient.sum((0, 2, 3))
        products = (gradient * features).sum((0, 2, 3))
        gradient_of_weight = (products - mean * gradient_of_bias) * scale

        own_sums = torch.stack([gradient_of_bias, gradient_of_weight])
        mean_gradient, mean_product = sum_over_processes(own_sums) / ctx.number
        # The formula above, sorted by powers of x, so that it passes over the features once
        of_gradient = weight * scale
        of_features = -of_gradient * scale * mean_product
        constant = -of_gradient * mean_gradient - of_features * mean
        result = torch.addcmul(channels(constant), gradient, channels(of_gradient))
        result.addcmul_(features, channels(of_features))
        return result.to(dtype_of_features), gradient_of_weight, gradient_of_bias, None


def channels(values):
    """(C,) as (C, 1, 1), to go with (N, C, H, W)."""
    return values[:, None, None]
