"""Muon, and the table of all optimizers.

Few directions dominate the gradient of a layer, and descent hardly moves along all others. Muon
keeps the singular vectors of the averaged gradient and sets all its singular values to about one.
Method and coefficients are those of Jordan et al. (https://kellerjordan.github.io/posts/muon/).
The size of a step, which makes learning rates like those of ADAM, is that of Liu et al. (2025,
https://arxiv.org/abs/2502.16982).
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Callable

import torch

from ...model import OPTIMIZERS

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of x, x^3 and x^5
ITERATIONS = 5  # after which singular values of 0.0015 to 1 have become 0.68 to 1.2
STEP_SIZE = 0.2  # root mean square of a step, in units of the learning rate: as ADAM's steps have
NEGLIGIBLE = 1e-19  # compared with gradients of 1e-5; its square is almost zero in float32


class Muon(torch.optim.Optimizer):
    """Muon for kernels with more than 3 channels on both sides; ADAM for all other parameters.

    Args:
        parameters: of a network of convolutions, or groups of them.
        lr: learning rate of both; 0.002 to 0.008 gave equal results from fresh weights.
        momentum: decay of the running mean of the gradients, of both; at least 0, less than 1.
        weight_decay: each step takes this, times the learning rate, off the kernels that Muon
            changes. Without it they grow, and every later step changes them less.
        factor: multiplies the learning rate of a group.

    Raises:
        ValueError: the momentum is out of range.
    """

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.0, factor=1.0):
        options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "factor": factor}
        super().__init__(parameters, options)
        groups_of_adam = []
        for group in self.param_groups:
            others = [each for each in group["params"] if not is_hidden_kernel(each)]
            groups_of_adam.append({"params": others})
        self.adam = torch.optim.Adam(groups_of_adam, lr, betas=(momentum, 0.999))

    @torch.no_grad()
    def step(self):
        """Take a step, with the gradients that are there."""
        for group, group_of_adam in zip(self.param_groups, self.adam.param_groups):
            rate = group["lr"] * group["factor"]
            group_of_adam["lr"] = rate
            with_gradient = [each for each in group["params"] if each.grad is not None]
            kernels = [each for each in with_gradient if is_hidden_kernel(each)]
            if kernels:
                steps = self.steps_of(kernels, group["momentum"])
                torch._foreach_mul_(kernels, 1 - rate * group["weight_decay"])
                torch._foreach_add_(kernels, steps, alpha=-rate)
        self.adam.step()

    def steps_of(self, kernels, momentum):
        """The steps of Muon for kernels, for a learning rate of one."""
        for kernel in kernels:
            if not self.state[kernel]:
                self.state[kernel]["mean"] = torch.zeros_like(kernel)
        means = [self.state[kernel]["mean"] for kernel in kernels]
        gradients = [kernel.grad for kernel in kernels]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        for mean in means:  # squares of what is left in dead channels would be slow to compute with
            mean.copy_(torch.hardshrink(mean, NEGLIGIBLE))
        return orthogonalized(torch._foreach_lerp(gradients, means, momentum))  # as Nesterov does

    def state_dict(self):
        return {**super().state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.adam.load_state_dict(state_dict["adam"])


def is_hidden_kernel(parameter):
    """Whether this is the kernel (A, B, k, k) of a convolution from features to features."""
    return parameter.dim() == 4 and min(parameter.shape[:2]) > 3


def orthogonalized(kernels):
    """The steps of Muon for gradients of kernels, a list of tensors (A, B, k, k).

    The rows of a matrix are the input or the output channels, whichever are fewer; its columns are
    the other channels and the positions. Steps have a root mean square of about `STEP_SIZE`.
    """
    steps = {}
    for shape in {kernel.shape for kernel in kernels}:
        places = [place for place, kernel in enumerate(kernels) if kernel.shape == shape]
        stacked = torch.stack([kernels[place] for place in places])
        rows_first = (0, 1, 2) if shape[0] <= shape[1] else (0, 2, 1)
        stacked = stacked.permute(*rows_first, 3, 4)  # (N, rows, columns, k, k)
        matrices = orthogonal(stacked.flatten(2))
        size = STEP_SIZE * math.sqrt(matrices.shape[2])  # its rows have length one
        found = (size * matrices).view(stacked.shape).permute(*rows_first, 3, 4)
        steps.update(zip(places, found))
    return [steps[place] for place in range(len(kernels))]


def orthogonal(matrices):
    """The orthogonal matrices next to these, nearly, by the iteration of Newton and Schulz.

    An iteration turns X into (a + b X X^T + c (X X^T)^2) X. All factors are polynomials of X X^T,
    which is small, so they are multiplied with one another, and with X only at the end.
    `matrices` are (N, rows, columns), not more rows than columns.
    """
    a, b, c = NEWTON_SCHULZ
    matrices = matrices / (matrices.flatten(1).norm(dim=1)[:, None, None] + 1e-8)
    squares = matrices @ matrices.mT  # (N, rows, rows)
    product = torch.eye(squares.shape[1], dtype=squares.dtype, device=squares.device)
    for _ in range(ITERATIONS):
        factor = torch.baddbmm(squares, squares, squares, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        product = factor @ product
        squares = factor @ squares @ factor
    return product @ matrices


@dataclass(frozen=True)
class Optimizer:
    function: Callable  # of parameters, learning rate and momentum, as `Training` takes it
    learning_rate: float  # at the beginning, unless another is asked for
    momentum: float
    rates: tuple  # with which the study begins to search for the best one


def sgd(parameters, learning_rate, momentum):
    """Without momentum."""
    return torch.optim.SGD(parameters, learning_rate)


nesterov = partial(torch.optim.SGD, nesterov=True)

ALL_OPTIMIZERS = {
    "SGD": Optimizer(sgd, 0.05, 0.0, (0.1, 0.2, 0.4)),
    "momAGD": Optimizer(OPTIMIZERS["momAGD"], 0.05, 0.9, (0.025, 0.05, 0.1)),
    "Nesterov": Optimizer(nesterov, 0.05, 0.9, (0.025, 0.05, 0.1)),
    "ADAM": Optimizer(OPTIMIZERS["ADAM"], 0.001, 0.9, (0.0005, 0.001, 0.002)),
    "Muon": Optimizer(Muon, 0.004, 0.95, (0.002, 0.004, 0.008)),
}
