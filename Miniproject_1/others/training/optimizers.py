"""Muon, and the table of all optimizers that a training can be asked for.

Jordan et al. found that few directions dominate the gradient of a layer, and that descent hardly
moves along all others. Muon keeps the singular vectors of the averaged gradient and sets all its
singular values to about one.

Sources:
    Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/: method and coefficients.
    Liu et al., 2025, https://arxiv.org/abs/2502.16982: the size of a step that makes the learning
        rate of Muon like that of ADAM.
    Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980: ADAM.
"""

import math
from functools import partial

import torch

from ...model import OPTIMIZERS
from ..fast.graphs import RecordedFunction

# Muon
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of x, x^3 and x^5
ITERATIONS = 5  # after which singular values of 0.0015 to 1 have become 0.68 to 1.2
STEP_SIZE = 0.2  # root mean square of a step, in units of the learning rate: as ADAM's steps have
NEGLIGIBLE = 1e-19  # compared with gradients of 1e-5; its square is almost zero in float32

# ADAM
DECAY_OF_SQUARES = 0.999
EPSILON = 1e-8


class Muon(torch.optim.Optimizer):
    """Muon for kernels with more than 3 channels on both sides; ADAM for all other parameters.

    In Appendix A all others are the kernels of the first and the last layer, biases and BatchNorms.

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
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and less than 1, got {momentum}")
        options = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "factor": factor,
            "steps": 0,  # that this group has taken
        }
        super().__init__(parameters, options)
        self.updates = {}  # of each group of parameters

    @torch.no_grad()
    def step(self):
        """Take a step, with the gradients that are there."""
        for number, group in enumerate(self.param_groups):
            group["steps"] += 1
            if number not in self.updates:
                self.updates[number] = RecordedFunction(partial(self._update, group))
            gradients = [parameter.grad for parameter in group["params"]]
            self.updates[number](numbers_of(group), *gradients)

    def load_state_dict(self, state_dict):
        """Go on from the state of another optimizer with the same parameters."""
        super().load_state_dict(state_dict)
        self.updates = {}  # a recorded one would change the old state

    @torch.no_grad()
    def _update(self, group, numbers, *gradients):
        """Change the parameters of a group. `numbers` are those of `numbers_of`, which change."""
        rate, decay, scale_of_means, scale_of_squares = numbers.unbind()
        pairs = list(zip(group["params"], gradients))
        hidden = [(kernel, gradient) for kernel, gradient in pairs if is_hidden_kernel(kernel)]
        others = [(each, gradient) for each, gradient in pairs if not is_hidden_kernel(each)]
        if hidden:
            kernels, gradients = zip(*hidden)
            steps = self._muon_steps(kernels, gradients, group["momentum"])
            torch._foreach_mul_(steps, rate)
            torch._foreach_mul_(kernels, decay)
            torch._foreach_sub_(kernels, steps)
        if others:
            parameters, gradients = zip(*others)
            steps, roots = self._adam_moments(parameters, gradients, group["momentum"])
            # Both running means begin at zero, so both are too small at first
            torch._foreach_mul_(roots, scale_of_squares)
            torch._foreach_sqrt_(roots)
            torch._foreach_add_(roots, EPSILON)
            torch._foreach_mul_(steps, rate * scale_of_means)
            torch._foreach_div_(steps, roots)
            torch._foreach_sub_(parameters, steps)
        return ()

    def _muon_steps(self, kernels, gradients, momentum):
        """The orthogonalized running means of the gradients."""
        means = [self._state_of(kernel, "mean") for kernel in kernels]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        for mean in means:  # squares of what is left in dead channels would be slow to compute with
            mean.copy_(torch.hardshrink(mean, NEGLIGIBLE))
        ahead = torch._foreach_lerp(gradients, means, momentum)  # as Nesterov does
        return orthogonalized(ahead)

    def _adam_moments(self, parameters, gradients, momentum):
        """Copies of the running means of the gradients and of their squares."""
        means = [self._state_of(parameter, "mean") for parameter in parameters]
        squares = [self._state_of(parameter, "squares") for parameter in parameters]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        torch._foreach_mul_(squares, DECAY_OF_SQUARES)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - DECAY_OF_SQUARES)
        return [mean.clone() for mean in means], [square.clone() for square in squares]

    def _state_of(self, parameter, name):
        """A running mean of this parameter's; at first it is zero."""
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter)
        return state[name]


def numbers_of(group):
    """What changes from step to step, as a tensor, so that a GPU can record all else.

    It is the learning rate, the factor by which kernels decay, and the factors of ADAM's running
    means of gradients and of squares.
    """
    rate = group["lr"] * group["factor"]
    decay = 1 - rate * group["weight_decay"]
    scale_of_means = 1 / (1 - group["momentum"] ** group["steps"])
    scale_of_squares = 1 / (1 - DECAY_OF_SQUARES ** group["steps"])
    numbers = [rate, decay, scale_of_means, scale_of_squares]
    numbers = torch.tensor(numbers, dtype=torch.float64, device="cpu")
    first = group["params"][0]
    return numbers.to(first.device, first.dtype)


def is_hidden_kernel(parameter):
    """Whether this is the kernel (A, B, k, k) of a convolution from features to features."""
    return parameter.dim() == 4 and min(parameter.shape[:2]) > 3


def orthogonalized(kernels):
    """The steps of Muon for gradients of kernels.

    Each kernel is taken as a matrix. Its rows are the input or the output channels, whichever are
    fewer; its columns are the other channels and the positions. Matrices of one shape are computed
    together.

    Args:
        kernels: list of tensors (A, B, k, k).

    Returns:
        list of tensors of the same shapes: nearly the orthogonal matrices next to the kernels, of
        root mean square `STEP_SIZE`.
    """
    places = {}  # of the kernels that have a shape
    for place, kernel in enumerate(kernels):
        places.setdefault(kernel.shape, []).append(place)

    steps = [None] * len(kernels)
    for shape, places_of_shape in places.items():
        stacked = torch.stack([kernels[place] for place in places_of_shape])
        is_tall = shape[0] > shape[1]
        if is_tall:
            stacked = stacked.transpose(1, 2)
        matrices = stacked.flatten(2)
        size = STEP_SIZE * math.sqrt(matrices.shape[2])  # its rows have length one
        stacked = size * orthogonal(matrices).view(stacked.shape)
        if is_tall:
            stacked = stacked.transpose(1, 2)
        for place, step in zip(places_of_shape, stacked):
            steps[place] = step
    return steps


def orthogonal(matrices):
    """The orthogonal matrices next to these, nearly.

    Args:
        matrices: (N, rows, columns), not more rows than columns.

    Returns:
        tensor of the same shape and dtype. Singular values are 0.68 to 1.2, or less where they were
        below 0.0015 of the matrix's norm.
    """
    norms = matrices.flatten(1).norm(dim=1)[:, None, None]
    matrices = matrices / (norms + EPSILON)
    if matrices.device.type == "cuda":
        return newton_schulz(matrices.bfloat16()).to(matrices.dtype)
    return newton_schulz_on_squares(matrices)


def newton_schulz(matrices):
    """The iteration by Newton and Schulz: X becomes (a + b X X^T + c (X X^T)^2) X."""
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        squares = matrices @ matrices.mT  # (N, rows, rows)
        polynomial = torch.baddbmm(squares, squares, squares, beta=b, alpha=c)
        matrices = torch.baddbmm(matrices, polynomial, matrices, beta=a)
    return matrices


def newton_schulz_on_squares(matrices):
    """The same, in 1 / 2.4 of the time on a CPU; in bfloat16 it would not be stable.

    All steps are polynomials of X X^T, which is small. They are multiplied with one another, and
    with X only at the end.
    """
    a, b, c = NEWTON_SCHULZ
    squares = matrices @ matrices.mT  # (N, rows, rows)
    product = torch.eye(squares.shape[1], dtype=squares.dtype, device=squares.device)
    for _ in range(ITERATIONS):
        step = torch.baddbmm(squares, squares, squares, beta=b, alpha=c)
        step.diagonal(dim1=1, dim2=2).add_(a)
        product = step @ product
        squares = step @ squares @ step
    return product @ matrices


def sgd(parameters, learning_rate, momentum):
    """Stochastic gradient descent, without momentum."""
    return torch.optim.SGD(parameters, learning_rate)


def nesterov(parameters, learning_rate, momentum):
    """Gradient descent with the momentum of Nesterov."""
    return torch.optim.SGD(parameters, learning_rate, momentum, nesterov=True)


ALL_OPTIMIZERS = {**OPTIMIZERS, "SGD": sgd, "Nesterov": nesterov, "Muon": Muon}
