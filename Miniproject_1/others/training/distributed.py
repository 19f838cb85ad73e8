"""One training on several processes, on one machine or on several, started by PyTorch's torchrun.

    torchrun --nproc-per-node=2 -m Miniproject_1 train DATA --output m.pth

It computes what one process computes, but for rounding. Every process takes its share of every batch, and what is a sum
over the batch is summed over the processes: the loss, its gradients, and the statistics of BatchNorm, forward and
backward (Ioffe and Szegedy, 2015; `torch.nn.SyncBatchNorm` does so on GPUs alone). Then all take the same step.
"""

import io
import os
import sys
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.nn  # imported later, it would keep the group, and threads that must end before Python does
import torch.nn.functional as F
from torch import nn

from ...model import Training

PATIENCE = timedelta(minutes=5)  # to wait for another process, which may be measuring or writing


class Team:
    """The processes of this training: see `longrun.Alone`, whose interface this is."""

    def __init__(self, device):
        self.device, self.first = device, dist.get_rank() == 0

    def share(self, pairs):
        mine = slice(dist.get_rank(), None, dist.get_world_size())
        return lambda step: pairs(step, mine)

    def training(self, *arguments, **options):
        return JointTraining(*arguments, **options)

    def any(self, flag):
        flags = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(flags)
        return flags.item() > 0

    def from_first(self, function):
        content = io.BytesIO()
        torch.save(function() if self.first else None, content)
        size = torch.tensor(content.tell(), device=self.device)
        dist.broadcast(size, 0)
        data = torch.empty(size.item(), dtype=torch.uint8)
        if self.first:
            data = torch.frombuffer(content.getbuffer(), dtype=torch.uint8)
        data = data.to(self.device)
        dist.broadcast(data, 0)
        return torch.load(io.BytesIO(bytes(data.tolist())), map_location="cpu", weights_only=True)


@contextmanager
def team(device=None):
    """Join the processes that torchrun has started, until the end; all but the first print nothing.

    Args:
        device: as in `Model`. "cuda": every process takes the GPU of its own number on its machine.

    Raises:
        ConnectionError: another process has ended, or cannot be reached.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    streams = sys.stdout, sys.stderr
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        if dist.get_rank():
            sys.stdout, sys.stderr = (open(os.devnull, "w") for _ in streams)
        yield Team(device)
    except RuntimeError as error:  # what collectives raise
        if isinstance(error, (NotImplementedError, RecursionError)) or "out of memory" in str(error):
            raise
        raise ConnectionError(f"another process of this training has ended, or is out of reach: {error}") from error
    finally:
        sys.stdout, sys.stderr = streams
        dist.destroy_process_group()


class JointTraining(Training):
    """A `Training` whose batches are spread over all processes; arguments as there, the pairs a process's share."""

    def __init__(self, network, pairs, *arguments, **options):
        super().__init__(network, pairs, *arguments, **options)
        for layer in network:
            if isinstance(layer, nn.BatchNorm2d):
                layer.batch_norm = batch_norm
        for value in network.state_dict().values():
            dist.broadcast(value, 0)
        self.good = {name: value.clone() for name, value in network.state_dict().items()}

    def loss_of(self, batch, training=True):
        number = torch.tensor(float(len(batch[0])), dtype=torch.float64, device=self.device)
        total = number.clone()
        dist.all_reduce(total)
        if number == 0:  # a last batch of fewer pairs than processes
            batch = [images.new_zeros(1, *images.shape[1:]) for images in batch]
        with counting(number.item()):
            loss = super().loss_of(batch, training)
        return _Sum.apply(loss * (number / total))

    def start_optimizer(self, in_hybrid):
        super().start_optimizer(in_hybrid)
        step = self.optimizer.step

        def joint_step(closure):
            def of_all():
                loss = closure()
                add_up([parameter.grad for parameter in self.network.parameters()])
                return loss

            return step(of_all)

        self.optimizer.step = joint_step


class _Sum(torch.autograd.Function):
    """The sum of a number over the processes. Each differentiates its own part; the gradients are added up later."""

    @staticmethod
    def forward(ctx, loss):
        total = loss.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient):
        return gradient


_counted = [True]


@contextmanager
def counting(number):
    """Whether the images that pass through `batch_norm` meanwhile count: if `number` is 0, they only stand in."""
    before, _counted[0] = _counted[0], number > 0
    try:
        yield
    finally:
        _counted[0] = before


def batch_norm(features, running_mean, running_var, weight, bias, training, momentum, eps):
    """`F.batch_norm` in training mode, (N, C, H, W), with the statistics of the batches of all processes together."""
    output, mean, variance, number = _BatchNorm.apply(features, weight, bias, eps)
    running_mean.lerp_(mean, momentum)
    running_var.lerp_(variance * (number / (number - 1)), momentum)
    return output


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, weight, bias, eps):
        number = float(features[:, 0].numel()) * _counted[0]
        wide = features.to(weight.dtype)
        _, mean, scale = torch.native_batch_norm(wide, None, None, None, None, True, 0.0, eps)
        variance = scale**-2 - eps  # `torch.var_mean` takes seven times as long
        moments = torch.stack([torch.ones_like(mean), mean, variance + mean.square()]).double() * number
        dist.all_reduce(moments)
        number, mean, variance = moments[0, 0].item(), *(moments[1:] / moments[0])
        mean, variance = (each.to(weight.dtype) for each in (mean, (variance - mean.square()).clamp(min=0)))
        ctx.save_for_backward(features, weight, mean, torch.rsqrt(variance + eps))
        ctx.number, ctx.counted = number, _counted[0]
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(features, mean, variance, weight, bias, False, 0.0, eps), mean, variance, number

    @staticmethod
    def backward(ctx, gradient, *_):
        features, weight, mean, scale = ctx.saved_tensors
        wanted, (features, gradient) = features.dtype, (each.to(weight.dtype) for each in (features, gradient))
        of_bias = gradient.sum((0, 2, 3))
        of_weight = ((gradient * features).sum((0, 2, 3)) - mean * of_bias) * scale
        sums = torch.stack([of_bias, of_weight])  # of this process; those of all:
        dist.all_reduce(totals := sums / ctx.number)
        factor = weight * scale
        slope = totals[1] * scale * factor * ctx.counted  # images that only stand in have no part in the statistics
        constant = slope * mean - totals[0] * factor * ctx.counted
        factor, slope, constant = (each[:, None, None] for each in (factor, slope, constant))
        result = torch.addcmul(constant, gradient, factor).addcmul_(features, slope, value=-1)
        return result.to(wanted), of_weight, of_bias, None


def add_up(gradients):
    """Replace each tensor by its sum over the processes, all in one message."""
    together = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(together)
    for gradient, total in zip(gradients, together.split([gradient.numel() for gradient in gradients])):
        gradient.copy_(total.view_as(gradient))
