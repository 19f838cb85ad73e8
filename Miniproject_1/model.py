"""Noise2Noise: a denoiser that learns from pairs of noisy images and never sees a clean one.

    model = Model()
    model.load_pretrained_model()
    denoised = model.predict(noisy)                # (N, 3, H, W), values 0 to 255
    model.train(noisy_1, noisy_2, num_epochs=1)    # two noisy versions of the same images

The idea is by Lehtinen et al. (2018, https://arxiv.org/abs/1803.04189). The network learns to
predict one noisy version of an image from another. It cannot predict the noise of the target,
which is independent of its input, so the best it can do is to predict the mean over all noisy
versions. If the noise has mean zero, that is the clean image.

The network, the flips and the hybrid training loop are those of Brown, Briand and de
Schoulepnikoff, "Noise2Noise model" (2022), called "Brown et al." below. Their initializations can
be chosen.

`predict` with the weights in bestmodel.pth raises the mean PSNR of 1,000 noisy images from 21.03
to 26.43 dB. No training has seen these images.

This file needs only PyTorch. It reads from top to bottom: network, initialization, random numbers,
batches, training, model, checks of arguments and files, helpers.
"""

import copy
import errno
import importlib.util
import math
import operator
import sys
import time
import warnings
import zipfile
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FAST = Path(__file__).resolve().parent / "others" / "fast"


def import_fast():
    """Import others/fast by its place.

    This file may have been loaded by its path, or the name `Miniproject_1` may be that of another
    project in this process.
    """
    spec = importlib.util.spec_from_file_location("fast_of_miniproject_1", FAST / "__init__.py")
    fast = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = fast  # here its own files look for one another
    spec.loader.exec_module(fast)
    return fast


try:
    from .others.fast import accelerated
except ImportError:
    try:
        accelerated = import_fast().accelerated
    except (ImportError, OSError) as error:  # alone, this file does the same more slowly
        if FAST.is_dir():
            warnings.warn(f"others/fast cannot be used, and all is slower: {error}", stacklevel=2)

        def accelerated(network: nn.Module, precision: str = "float32") -> nn.Module:
            """The network itself."""
            return network


WEIGHTS = Path(__file__).resolve().parent / "bestmodel.pth"
PRECISIONS = ("auto", "float32", "bfloat16")

# Training
LBFGS_ITERATIONS = 5  # first steps of a hybrid training
LBFGS_STEPS = 20  # quasi-Newton steps in each of them
BATCH_SIZE = 50  # pairs in a step
LEARNING_RATE = 0.05  # of momAGD at the beginning, as in Brown et al.
MOMENTUM = 0.9
FLIP_FRACTION = 0.5

# Prediction
HALO = 5  # an output pixel depends on input pixels up to 5 away
MAX_PIXELS = 192 * 192  # in a feature map on a CPU; this limits the memory
MAX_PIXELS_OF_A_GPU = 8 * MAX_PIXELS

# Arguments
LARGEST_VALUE = 1e6  # of a pixel; far above it the network overflows
LARGEST_SEED = 2**62


# --------------------------------------------------------------------------------------------------
# Network


def build_network() -> nn.Sequential:
    """Return the autoencoder of Appendix A of Brown et al., 1,413,635 parameters.

    It maps (N, 3, H, W) to (N, 3, H, W), values 0 to 1. Kernels are 2 x 2 with padding 1: each
    convolution makes the image one pixel larger in both directions, and each transposed convolution
    makes it one pixel smaller again.
    """

    def conv(inputs, outputs):
        return nn.Conv2d(inputs, outputs, kernel_size=2, padding=1)

    def deconv(inputs, outputs):
        return nn.ConvTranspose2d(inputs, outputs, kernel_size=2, padding=1)

    return nn.Sequential(
        # encoder
        conv(3, 64), nn.ReLU(),                            # (N,  64, H + 1, W + 1)
        conv(64, 64), nn.ReLU(),                           # (N,  64, H + 2, W + 2)
        conv(64, 128), nn.BatchNorm2d(128), nn.ReLU(),     # (N, 128, H + 3, W + 3)
        conv(128, 256), nn.BatchNorm2d(256), nn.ReLU(),    # (N, 256, H + 4, W + 4)
        conv(256, 512),                                    # (N, 512, H + 5, W + 5)
        # decoder
        deconv(512, 256), nn.BatchNorm2d(256), nn.ReLU(),  # (N, 256, H + 4, W + 4)
        deconv(256, 128), nn.BatchNorm2d(128), nn.ReLU(),  # (N, 128, H + 3, W + 3)
        deconv(128, 64), nn.ReLU(),                        # (N,  64, H + 2, W + 2)
        deconv(64, 64), nn.ReLU(),                         # (N,  64, H + 1, W + 1)
        deconv(64, 3),                                     # (N,   3, H, W)
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------
# Initialization

INITIALIZATIONS = (
    "default", "default positive", "xavier", "xavier positive", "masked xavier", "zeros",
)  # fmt: skip


def initialize(network: nn.Sequential, name: str = "masked xavier", seed: int = 0) -> None:
    """Draw the weights of a network anew, by one of the initializations that Brown et al. compare.

    "default" is PyTorch's own: uniform within 1 / sqrt(fan-in). "xavier" is that of Glorot and
    Bengio (2010), with biases of zero. "... positive" replaces negative values by zero; in training
    mode outputs then have a root mean square near 600 instead of 0.5, and momAGD diverges. "masked
    xavier" sets a random half of the values to zero and keeps both signs. "zeros" sets all to zero.

    Args:
        network: of convolutions, BatchNorms and layers without parameters. Changed in place.
        name: one of `INITIALIZATIONS`.
        seed: seed of the draws, 0 to 2^62. PyTorch's own random state is neither used nor changed.

    Raises:
        TypeError, ValueError: the name or the seed is not as described.
    """
    check_choice("initialization", name, INITIALIZATIONS)
    check_number("seed", seed, 0, LARGEST_SEED, whole=True)
    generator = torch.Generator().manual_seed(seed)

    def uniform(parameter, bound):
        values = torch.empty(parameter.shape, dtype=torch.float32, device="cpu")
        return values.uniform_(-bound, bound, generator=generator)

    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
        if not isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            continue
        # as PyTorch counts them, also for transposed convolutions
        fan_in, fan_out = layer.weight[0].numel(), layer.weight[:, 0].numel()
        default_bound = 1 / math.sqrt(fan_in)
        xavier_bound = math.sqrt(6 / (fan_in + fan_out))
        bias = torch.zeros(layer.bias.shape, dtype=torch.float32, device="cpu")
        if name.startswith("default"):
            weight = uniform(layer.weight, default_bound)
            bias = uniform(layer.bias, default_bound)
        elif name == "masked xavier":
            mask = uniform(layer.weight, 1) > 0
            weight = uniform(layer.weight, xavier_bound) * mask
        elif name in ("xavier", "xavier positive"):
            weight = uniform(layer.weight, xavier_bound)
        elif name == "zeros":
            weight = torch.zeros(layer.weight.shape, dtype=torch.float32, device="cpu")
        if name.endswith("positive"):
            weight = weight.clamp(min=0)
            bias = bias.clamp(min=0)
        layer.weight.data.copy_(weight)
        layer.bias.data.copy_(bias)


# --------------------------------------------------------------------------------------------------
# Random numbers, the same on every device


def random_bits(seed: int, step: int, count: int, device="cpu") -> Tensor:
    """Return `count` random 64-bit integers, int64, which follow from seed and step alone.

    A SplitMix64 generator (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
    2014) with this seed gives one number for each step. That number is the seed of a second one,
    which gives the numbers of the step. Nothing is remembered from one call to the next, so a
    training can go on at any step, on any device.
    """
    stream = splitmix64(seed, torch.tensor(step, device="cpu")).item()
    return splitmix64(stream, torch.arange(count, device=device))


def splitmix64(seed: Union[int, Tensor], index: Tensor) -> Tensor:
    """Outputs of SplitMix64 by their index. int64 overflows as the unsigned integers of C do."""
    # - 2**64 makes the constants fit into int64
    bits = seed + (index + 1) * (0x9E3779B97F4A7C15 - 2**64)
    bits = (bits ^ shifted(bits, 30)) * (0xBF58476D1CE4E5B9 - 2**64)
    bits = (bits ^ shifted(bits, 27)) * (0x94D049BB133111EB - 2**64)
    return bits ^ shifted(bits, 31)


def shifted(bits: Tensor, places: int) -> Tensor:
    """Shift to the right, with zeros from the left; the shift of int64 repeats the sign."""
    return (bits >> places) & (2 ** (64 - places) - 1)


def uniform_from(bits: Tensor) -> Tensor:
    """Turn random bits into float32 in [0, 1): the highest 24 of the 64 bits."""
    return shifted(bits, 40).to(torch.float32) / 2**24


# --------------------------------------------------------------------------------------------------
# Batches

FLIPS = {
    "vertical": lambda images: images.flip(2),
    "horizontal": lambda images: images.flip(3),
    "transpose": lambda images: images.transpose(2, 3),  # of square images only
}


class Batches:
    """Random batches of pairs of noisy images, which follow from the seed and the step alone.

    Each flip is applied to a random part of the pairs, which enlarges the training set (Brown et
    al.). Input and target are equally noisy, so they change places in half of the pairs.

    `batches(step)` returns the batch of a step: two tensors (B, 3, H, W), values 0 to 255.
    `batches(step, part)` returns the pairs of it that the slice `part` selects.
    `len(batches)` is the number of steps in an epoch.

    Args:
        train_input, train_target: (N, 3, H, W), values 0 to 255, any real dtype.
        batch_size: pairs in a batch. The last one of an epoch has the rest.
        flips: names in `FLIPS`.
        flip_fraction: the fraction of the pairs that each flip is applied to.
        swap: let input and target change places.
        seed: seed of all draws, 0 to 2^62.
        device: a GPU on which the batches are made if the images fit there. Otherwise, and for any
            other device, they are made where the images are.

    Raises:
        TypeError, ValueError: an argument is not as described.
    """

    def __init__(self, train_input, train_target, batch_size=BATCH_SIZE, flips=tuple(FLIPS),
                 flip_fraction=FLIP_FRACTION, swap=True, seed=0, device=None):  # fmt: skip
        noisy_1 = check_images("train_input", train_input, stacklevel=5)
        noisy_2 = check_images("train_target", train_target, stacklevel=5)
        if noisy_1.shape != noisy_2.shape:
            found = tuple(noisy_2.shape)
            raise ValueError(f"train_target must have the shape of train_input, got {found}")
        if isinstance(flips, str):
            flips = [flips]
        if not isinstance(flips, Iterable):
            raise TypeError(f"flips must be a list of names, got {flips!r}")
        self.noisy_1 = moved_if_it_fits(noisy_1, device)
        self.noisy_2 = noisy_2.to(self.noisy_1.device)
        self.batch_size = check_number("batch_size", batch_size, 1, whole=True)
        self.flips = [check_choice("flips", flip, FLIPS) for flip in flips]
        self.flip_fraction = check_number("flip_fraction", flip_fraction, 0, 1)
        self.swap = swap
        self.seed = check_number("seed", seed, 0, LARGEST_SEED, whole=True)
        self.epoch = None
        self.order = None  # the shuffled pairs of this epoch

    def __len__(self):
        return math.ceil(len(self.noisy_1) / self.batch_size)

    def __call__(self, step: int, part: slice = slice(None)) -> Tuple[Tensor, Tensor]:
        """Return noisy images and their targets."""
        device = self.noisy_1.device
        epoch, batch_in_epoch = divmod(step, len(self))
        if epoch != self.epoch:
            self.epoch = epoch
            # no step has the number -1 - epoch
            bits = random_bits(self.seed, -1 - epoch, len(self.noisy_1), device)
            self.order = bits.argsort()
        first = batch_in_epoch * self.batch_size
        pairs = self.order[first : first + self.batch_size]
        bits = random_bits(self.seed, step, (len(self.flips) + 1) * len(pairs), device)
        draws = uniform_from(bits).view(-1, len(pairs), 1, 1, 1)  # one for each flip, and the swap
        pairs, draws = pairs[part], draws[:, part]
        return self.augmented(self.noisy_1[pairs], self.noisy_2[pairs], draws)

    def augmented(self, noisy_1, noisy_2, draws):
        """Flip some of the pairs, and let input and target of some change places."""
        is_square = noisy_1.shape[2] == noisy_1.shape[3]
        for name, draw in zip(self.flips, draws):
            if name == "transpose" and not is_square:
                continue
            flip = FLIPS[name]
            chosen = draw < self.flip_fraction
            noisy_1 = torch.where(chosen, flip(noisy_1), noisy_1)
            noisy_2 = torch.where(chosen, flip(noisy_2), noisy_2)
        if not self.swap:
            return noisy_1, noisy_2
        chosen = draws[-1] < 0.5
        return torch.where(chosen, noisy_2, noisy_1), torch.where(chosen, noisy_1, noisy_2)


def moved_if_it_fits(images: Tensor, device) -> Tensor:
    """The images on a GPU, if they take less than an eighth of what is free there."""
    if device is None or torch.device(device).type != "cuda":
        return images
    free, _ = torch.cuda.mem_get_info(torch.device(device).index)
    fits = 8 * images.numel() * images.element_size() < free
    return images.to(device) if fits else images


# --------------------------------------------------------------------------------------------------
# Training


def momagd(parameters, learning_rate, momentum):
    """Momentum-assisted gradient descent, as Brown et al. call it."""
    return torch.optim.SGD(parameters, learning_rate, momentum)


def adam(parameters, learning_rate, momentum):
    """ADAM (Kingma and Ba, 2015). Learning rates near 0.001 suit it."""
    return torch.optim.Adam(parameters, learning_rate, betas=(momentum, 0.999))


OPTIMIZERS = {"momAGD": momagd, "ADAM": adam}


def lbfgs(parameters, learning_rate):
    """L-BFGS. Without its line search it diverges on this network."""
    return torch.optim.LBFGS(
        parameters,
        learning_rate,
        max_iter=LBFGS_STEPS,
        history_size=20,
        line_search_fn="strong_wolfe",
    )


class Training:
    """The hybrid loop of Brown et al.: some iterations of L-BFGS, then momAGD or another optimizer.

        while training.step < training.num_steps:
            training.take_step()

    Between two steps a training can be watched, saved and continued elsewhere: `state_dict` has all
    that it needs to go on bit for bit.

    Args:
        network: maps (B, 3, H, W) to (B, 3, H, W), values 0 to 1. Changed in place.
        batches: function of the step that returns noisy images and targets, as `Batches` does.
        num_steps: total number of steps.
        lbfgs_iterations: number of L-BFGS iterations at the beginning, each one step.
        optimizer: for the other steps, a name in `OPTIMIZERS`, or a function of parameters,
            learning rate and momentum that returns a `torch.optim.Optimizer`, other than L-BFGS.
        learning_rate: initial rate, which falls linearly to zero; or a function of the step.
        momentum: momentum of the optimizer, 0 to 1.
        precision: "float32", "bfloat16", or "auto": bfloat16 where the hardware multiplies it.
            L-BFGS always computes in float32. So do, on a CPU, the first and the last convolution.
            Without `others/fast` everything does.
        loss: function of output and target, (B, 3, H, W) with values 0 to 1.

    Attributes:
        step: the number of steps taken.
        history: lists with an entry for each step: "loss" before the step, "learning_rate",
            "evaluations" of the gradient, and the "seconds" that all steps so far have taken.
        safeguard: has the last good weights.

    Raises:
        TypeError, ValueError: an argument is not as described. The network has not changed.
    """

    def __init__(self, network, batches, num_steps, lbfgs_iterations=LBFGS_ITERATIONS,
                 optimizer="momAGD", learning_rate=LEARNING_RATE, momentum=MOMENTUM,
                 precision="auto", loss=F.mse_loss):  # fmt: skip
        if not callable(optimizer):
            optimizer = OPTIMIZERS[check_choice("optimizer", optimizer, OPTIMIZERS)]
        if not callable(learning_rate):
            learning_rate = check_number("learning_rate", learning_rate, 0)
        self.network = network
        self.batches = batches
        self.num_steps = check_number("num_steps", num_steps, 1, whole=True)
        self.lbfgs_iterations = check_number("lbfgs_iterations", lbfgs_iterations, 0, whole=True)
        self.optimizer_function = optimizer
        self.learning_rate = learning_rate
        self.momentum = check_number("momentum", momentum, 0, 1)
        self.loss = loss
        self.device = next(network.parameters()).device
        self.forward = accelerated(network, check_choice("precision", precision, PRECISIONS))
        self.forward_in_float32 = accelerated(network, "float32")

        self.step = 0
        self.history = empty_history()
        self.safeguard = Safeguard(network)
        # made here so that it refuses bad arguments before the first step
        self.optimizer = self.new_optimizer()

    def take_step(self) -> float:
        """Take a step, and return the loss before it.

        Afterwards the network is in training mode, after the last step in evaluation mode. Whatever
        goes wrong, Ctrl-C included, it has its last good weights.

        Raises:
            RuntimeError: all steps have been taken.
            FloatingPointError: the loss has exploded more than `Safeguard.MOST_ROLLBACKS` times, or
                was finite in no step.
        """
        if self.step >= self.num_steps:
            raise RuntimeError(f"all {self.num_steps} steps of this training have been taken")
        start = time.monotonic()
        try:
            with ordinary_pytorch(self.device, gradients=True):  # see "Helpers"
                self.forward.train()
                learning_rate = self.current_learning_rate()
                if self.step < self.lbfgs_iterations:
                    loss, evaluations = self.lbfgs_iteration()
                else:
                    loss, evaluations = self.gradient_step()
                if self.step == self.num_steps - 1:
                    self.check_last_weights()
        except BaseException:
            self.go_back()
            raise
        seconds_before = self.history["seconds"][-1] if self.step > 0 else 0.0
        seconds = seconds_before + time.monotonic() - start
        entries = (loss, learning_rate, evaluations, seconds)
        for values, entry in zip(self.history.values(), entries):
            values.append(entry)
        self.step += 1
        return loss

    def gradient_step(self):
        """A step of the optimizer. Returns the loss before it, and how often it was computed."""
        if self.optimizer is None or isinstance(self.optimizer, torch.optim.LBFGS):
            self.optimizer = self.new_optimizer()
        self.set_learning_rate()
        loss = self.loss_of(self.batches(self.step), self.forward)
        self.safeguard.look_at(loss)
        self.optimizer.zero_grad()
        loss.backward()  # a GPU does this while the loss is judged
        if self.safeguard.undo_if_exploded():
            self.optimizer = None  # its momentum points to where the loss exploded
        else:
            self.optimizer.step()
        return self.safeguard.loss, 1

    def lbfgs_iteration(self):
        """Up to 20 quasi-Newton steps on one batch. Returns the same as `gradient_step`.

        An iteration can fit one batch only, so it is undone unless it lowers the loss on the next
        batch. It computes in float32, because L-BFGS takes differences of gradients.
        """
        if not isinstance(self.optimizer, torch.optim.LBFGS):
            self.optimizer = lbfgs(self.network.parameters(), self.current_learning_rate())
        self.set_learning_rate()
        forward = self.forward_in_float32.train()
        batch, unseen = self.batches(self.step), self.batches(self.step + 1)
        weights_before = copy.deepcopy(self.network.state_dict())
        loss_before = self.loss_of(unseen, forward).item()
        losses = []

        def closure():
            self.optimizer.zero_grad()
            loss = self.loss_of(batch, forward)
            loss.backward()
            losses.append(loss.item())
            return loss

        self.optimizer.step(closure)
        loss_after = self.loss_of(unseen, forward)
        is_better = loss_after.item() < loss_before  # not where it is NaN
        if is_better:
            self.safeguard.look_at(loss_after)
            is_undone = self.safeguard.undo_if_exploded()
        else:
            self.network.load_state_dict(weights_before)
            is_undone = True
        if is_undone:
            self.optimizer = None  # the curvature that it found belongs to weights that are gone
        return losses[0], len(losses)

    def check_last_weights(self):
        """Each step judges the one before it. No step follows the last one, so judge it here."""
        self.forward.eval()
        with torch.no_grad():
            self.safeguard.look_at(self.loss_of(self.batches(self.step), self.forward))
        self.safeguard.undo_if_exploded()
        if self.safeguard.mean_loss is None:
            raise FloatingPointError("the loss was never finite: nothing was learned")

    def loss_of(self, batch, forward):
        """The loss of a batch, values 0 to 255, with gradients."""
        noisy, target = batch
        output = forward(to_unit_range(noisy, self.device))
        return self.loss(output, to_unit_range(target, self.device))

    def current_learning_rate(self):
        """The learning rate of this step, halved each time that the loss has exploded."""
        if callable(self.learning_rate):
            learning_rate = self.learning_rate(self.step)
        else:
            learning_rate = self.learning_rate * (1 - self.step / self.num_steps)
        return learning_rate / 2**self.safeguard.rollbacks

    def set_learning_rate(self):
        for group in self.optimizer.param_groups:
            group["lr"] = self.current_learning_rate()

    def new_optimizer(self):
        parameters = list(self.network.parameters())
        return self.optimizer_function(parameters, self.current_learning_rate(), self.momentum)

    def go_back(self) -> None:
        """Give the network its last good weights."""
        self.safeguard.restore()
        self.optimizer = None

    def state_dict(self) -> Dict[str, Any]:
        """Return all that going on needs: tensors, numbers and containers of them."""
        state = {
            "step": self.step,
            "history": self.history,
            "network": self.network.state_dict(),
            "safeguard": self.safeguard.state_dict(),
            "optimizer": None,
        }
        if self.optimizer is not None:
            state["optimizer"] = self.optimizer.state_dict()
        return copy.deepcopy(state)

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Go on where a training with the same arguments was."""
        state = copy.deepcopy(state)
        self.step = state["step"]
        self.history = state["history"]
        self.network.load_state_dict(state["network"])
        self.safeguard.load_state_dict(state["safeguard"])
        self.optimizer = None
        if state["optimizer"] is not None:
            if 0 < self.step <= self.lbfgs_iterations:
                self.optimizer = lbfgs(self.network.parameters(), self.current_learning_rate())
            else:
                self.optimizer = self.new_optimizer()
            self.optimizer.load_state_dict(state["optimizer"])


class Safeguard:
    """Remembers the last good weights of a network, and goes back to them when the loss explodes.

    Before each change of the weights, call `look_at` with their loss, then `undo_if_exploded`.
    The usual loss is the lowest value that the running mean of the losses has had, but at least
    `SMALLEST_USUAL_LOSS`.

    Attributes:
        loss: the one that was judged last.
        good: the last good weights, see `flattened`.
        rollbacks: how often the loss has exploded.
    """

    GOOD_UP_TO = 10  # times the usual loss: the weights are worth going back to
    EXPLODED_FROM = 1000  # times the usual loss: training has gone wrong
    SMALLEST_USUAL_LOSS = 1e-4
    MOST_ROLLBACKS = 5

    def __init__(self, network):
        self.network = network
        self.good = flattened(network)
        self.weights_to_judge = None
        self.loss_and_sum = None  # of these weights
        self.loss = None
        self.mean_loss = None  # a running mean
        self.usual_loss = math.inf
        self.rollbacks = 0

    def look_at(self, loss: Tensor) -> None:
        """Note the weights of the network as they are, and their loss."""
        self.weights_to_judge = flattened(self.network)
        loss_and_sum = torch.stack([loss.detach(), self.weights_to_judge.sum()])
        self.loss_and_sum = CopyToCPU(loss_and_sum)  # see "Helpers"

    def undo_if_exploded(self) -> bool:
        """Give the network its last good weights if the loss that was looked at has exploded.

        Returns:
            whether it has.

        Raises:
            FloatingPointError: it has exploded more than `MOST_ROLLBACKS` times.
        """
        loss, sum_of_weights = self.loss_and_sum.wait()
        self.loss = loss
        all_finite = math.isfinite(loss) and math.isfinite(sum_of_weights)
        if all_finite and loss <= self.EXPLODED_FROM * self.usual_loss:
            if loss <= self.GOOD_UP_TO * self.usual_loss:
                self.good = self.weights_to_judge
            if self.mean_loss is None:
                self.mean_loss = loss
            self.mean_loss = 0.9 * self.mean_loss + 0.1 * loss
            lowest = min(self.usual_loss, self.mean_loss)
            self.usual_loss = max(lowest, self.SMALLEST_USUAL_LOSS)
            return False
        self.restore()
        self.rollbacks += 1
        if self.rollbacks > self.MOST_ROLLBACKS:
            raise FloatingPointError(
                f"the loss rose to {loss:.3g} again; the model has the last good weights"
            )
        return True

    def restore(self):
        """Give the network its last good weights."""
        weights = list(self.network.state_dict().values())
        sizes = [value.numel() for value in weights]
        for value, good in zip(weights, self.good.split(sizes)):
            value.copy_(good.view_as(value))

    def state_dict(self):
        return {
            "good": self.good,
            "mean_loss": self.mean_loss,
            "usual_loss": self.usual_loss,
            "rollbacks": self.rollbacks,
        }

    def load_state_dict(self, state):
        self.good = state["good"].to(self.good.device)
        self.mean_loss = state["mean_loss"]
        self.usual_loss = state["usual_loss"]
        self.rollbacks = state["rollbacks"]


def flattened(network: nn.Module) -> Tensor:
    """All weights and statistics of a network in one tensor, copied."""
    dtype = next(network.parameters()).dtype
    return torch.cat([value.flatten().to(dtype) for value in network.state_dict().values()])


def empty_history() -> Dict[str, list]:
    return {"loss": [], "learning_rate": [], "evaluations": [], "seconds": []}


def build_training(network, train_input, train_target, num_epochs, *, hybrid, batch_size, optimizer,
                   learning_rate, momentum, flips, flip_fraction, swap, precision, seed,
                   loss=F.mse_loss) -> Training:  # fmt: skip
    """Return a training on pairs of noisy images; all arguments are explained in `Model.train`."""
    device = next(network.parameters()).device
    batches = Batches(
        train_input, train_target, batch_size, flips, flip_fraction, swap, seed, device
    )
    num_steps = check_number("num_epochs", num_epochs, 1, whole=True) * len(batches)
    lbfgs_iterations = LBFGS_ITERATIONS if hybrid else 0
    return Training(
        network, batches, num_steps, lbfgs_iterations, optimizer, learning_rate, momentum,
        precision, loss,
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------
# The model


class Model:
    """The denoiser. Images are (N, 3, H, W), values 0 to 255, of any real dtype.

    Example:
        >>> model = Model()
        >>> model.load_pretrained_model()
        >>> noisy_1 = torch.randint(256, (8, 3, 16, 16), dtype=torch.uint8)
        >>> noisy_2 = torch.randint(256, (8, 3, 16, 16), dtype=torch.uint8)
        >>> model.train(noisy_1, noisy_2, num_epochs=1, hybrid=False, progress=False)
        >>> model.predict(noisy_1).shape
        torch.Size([8, 3, 16, 16])

    Args:
        initialization: one of `INITIALIZATIONS`, see `initialize`. Afterwards the last bias is set
            to 0.5, so that a model which has not learned yet predicts grey.
        seed: seed of the initialization, 0 to 2^62.
        device: "cpu", "cuda", "cuda:1", ... None: a GPU if PyTorch finds one.

    Attributes:
        network: the `nn.Sequential` of Appendix A of Brown et al., values 0 to 1.
        device: where the network is.
        history: histories of all trainings of this model, joined; see `Training`.
    """

    def __init__(self, initialization: str = "masked xavier", seed: int = 0,
                 device: Union[str, torch.device, None] = None) -> None:  # fmt: skip
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        with ordinary_pytorch(torch.device("cpu"), gradients=True):
            # keeps the caller's random state; `initialize` replaces these weights
            with torch.random.fork_rng(devices=[]):
                self.network = build_network().to(torch.float32)
            initialize(self.network, initialization, seed)
            self.network[-1].bias.data.fill_(0.5)
            self.network.to(torch.device(device)).eval()
        self.device = self.network[0].weight.device
        self.history = empty_history()

    def load_pretrained_model(self, path: Union[str, Path] = WEIGHTS) -> None:
        """Read weights, by default those in `bestmodel.pth`.

        Args:
            path: a file that `torch.save(model.network.state_dict(), path)` wrote. The weights may
                also be those of an `nn.DataParallel` or of a compiled network, or in a dict under
                "state_dict", "network", "model" or "model_state_dict".

        Raises:
            OSError: there is no such file, or it may not be read.
            ValueError: it is damaged, or does not hold usable weights of this network.
        """
        weights = unwrapped(load_tensors(path))
        check_weights(path, weights, self.network.state_dict())
        self.network.load_state_dict(weights)

    def train(self, train_input: Tensor, train_target: Tensor, num_epochs: int,
              hybrid: bool = True, batch_size: int = BATCH_SIZE,
              optimizer: Union[str, Callable] = "momAGD",
              learning_rate: Union[float, Callable[[int], float]] = LEARNING_RATE,
              momentum: float = MOMENTUM, flips: Sequence[str] = tuple(FLIPS),
              flip_fraction: float = FLIP_FRACTION, swap: bool = True, precision: str = "auto",
              seed: int = 0, progress: bool = True) -> None:  # fmt: skip
        """Train on pairs of noisy images, going on from the present weights.

        If training is interrupted or fails, the model keeps its last good weights.

        Args:
            train_input, train_target: two noisy versions of the same images, (N, 3, H, W). Values
                outside of 0 to 255 are taken as they are, up to 1e6 on either side.
            num_epochs: passes over the pairs.
            hybrid: take the first 5 steps with L-BFGS.
            batch_size: pairs in a step.
            optimizer, learning_rate, momentum, precision: see `Training`.
            flips: names in `FLIPS`; "transpose" is for square images only.
            flip_fraction: the fraction of the pairs that each flip is applied to, at random.
            swap: let input and target change places in half of the pairs. For pairs in which both
                images are equally noisy.
            seed: seed of all random choices, 0 to 2^62. A later training of this model draws other
                numbers.
            progress: show on standard error how far it is.

        Raises:
            TypeError, ValueError: an argument is not as described. Nothing has changed.
            FloatingPointError: the loss has exploded more than `Safeguard.MOST_ROLLBACKS` times, or
                was finite in no step.
        """
        seed = check_number("seed", seed, 0, LARGEST_SEED, whole=True)
        training = build_training(
            self.network, train_input, train_target, num_epochs, hybrid=hybrid,
            batch_size=batch_size, optimizer=optimizer, learning_rate=learning_rate,
            momentum=momentum, flips=flips, flip_fraction=flip_fraction, swap=swap,
            precision=precision, seed=(seed + len(self.history["loss"])) % (LARGEST_SEED + 1),
        )  # fmt: skip

        def describe():
            loss, rate = training.history["loss"][-1], training.history["learning_rate"][-1]
            return f"loss {loss:.5f}, learning rate {rate:.2g}"

        steps = range(training.num_steps)
        try:
            for _ in track(steps, len(steps), progress, "step", describe):
                training.take_step()
        except BaseException:
            training.go_back()
            raise
        finally:
            self.network.eval()
            self.append_history(training.history)

    def append_history(self, history):
        """Append the history of a training to that of the model. Its seconds go on."""
        seconds_before = self.history["seconds"][-1] if self.history["seconds"] else 0.0
        seconds = [seconds_before + seconds for seconds in history["seconds"]]
        for name, values in {**history, "seconds": seconds}.items():
            self.history[name] = self.history[name] + values

    def predict(self, test_input: Tensor, average: bool = True, progress: bool = False,
                precision: str = "float32") -> Tensor:  # fmt: skip
        """Denoise images of any size.

        Several threads may predict at the same time, also while another one trains. Each call uses
        a copy of the weights as they are at that moment.

        Args:
            test_input: noisy images, (N, 3, H, W), values 0 to 255, any real dtype.
            average: return the mean over the 8 flips and rotations of the images. It takes 8 times
                as long, and raises the PSNR by 0.07 dB.
            progress: show on standard error how far it is.
            precision: "float32"; "bfloat16", in all convolutions but the first and the last, which
                changes the PSNR by less than 0.005 dB; "auto", as in `train`.

        Returns:
            float32 tensor of the same shape, values 0 to 255, on the model's device.

        Raises:
            TypeError, ValueError: an argument is not as described.
            RuntimeError: on a GPU, while another thread's training records its CUDA graph.
        """
        images = check_images("test_input", test_input)
        check_choice("precision", precision, PRECISIONS)
        max_pixels = MAX_PIXELS_OF_A_GPU if self.device.type == "cuda" else MAX_PIXELS
        tiles = tiles_of(images.shape, max_pixels)
        with ordinary_pytorch(self.device, gradients=False):
            # A copy neither waits for a training in another thread nor disturbs it
            network = accelerated(copy.deepcopy(self.network).eval(), precision)
            output = torch.empty(images.shape, dtype=torch.float32, device=self.device)
            for tile in track(tiles, len(tiles), progress, "tile"):
                part = to_unit_range(images[tile.images][tile.source], self.device)
                part = mean_over_flips(network, part) if average else network(part)
                output[tile.images][tile.target] = (part[tile.valid] * 255).clamp(0, 255)
        return output


def mean_over_flips(network: nn.Module, images: Tensor) -> Tensor:
    """The mean of what a network makes of the 8 flips and rotations of images, turned back."""
    total = torch.zeros_like(images)
    for mirrored in (False, True):
        for quarter_turns in range(4):
            turned = images.flip(3) if mirrored else images
            output = network(turned.rot90(quarter_turns, (2, 3)).contiguous())
            output = output.rot90(-quarter_turns, (2, 3))
            total += output.flip(3) if mirrored else output
    return total / 8


class Tile(NamedTuple):
    """A rectangle of some images that is denoised at once, as indices."""

    images: slice  # which of them
    source: tuple  # the rectangle with its halo, in the input
    valid: tuple  # the rectangle without its halo, in the network's output
    target: tuple  # the same, in the whole output


def tiles_of(shape, max_pixels: int) -> Sequence[Tile]:
    """Cut images (N, 3, H, W) into tiles whose feature maps have at most `max_pixels` pixels."""
    number, _, height, width = shape
    side = math.isqrt(max_pixels) - 3 * HALO  # room for two halos; feature maps grow by one more
    largest_height = min(height, side + 2 * HALO) + HALO
    largest_width = min(width, side + 2 * HALO) + HALO
    at_once = max_pixels // (largest_height * largest_width)
    tiles = []
    for first in range(0, number, at_once):
        for source_y, valid_y, target_y in spans(height, side):
            for source_x, valid_x, target_x in spans(width, side):
                images = slice(first, first + at_once)
                source, valid = (..., source_y, source_x), (..., valid_y, valid_x)
                tiles.append(Tile(images, source, valid, (..., target_y, target_x)))
    return tiles


def spans(length: int, side: int):
    """Cut a length into parts; for each, the slices `source`, `valid` and `target` of a `Tile`."""
    for start in range(0, length, side):
        first, stop = max(start - HALO, 0), start + side
        yield slice(first, stop + HALO), slice(start - first, stop - first), slice(start, stop)


# --------------------------------------------------------------------------------------------------
# Checks of arguments and files


def check_images(name: str, images: Tensor, stacklevel: int = 3) -> Tensor:
    """Return images without their gradients, as uint8 or float32.

    Args:
        name: of the argument.
        images: what was given for it.
        stacklevel: how many calls away the user's line is, for a warning.

    Raises:
        TypeError, ValueError: they are not finite real numbers (N, 3, H, W). There is a warning if
            the values can hardly be meant to be 0 to 255.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(images).__name__}")
    is_dense = images.layout == torch.strided and not images.is_quantized
    if images.is_complex() or images.dtype == torch.bool or not is_dense:
        wanted, found = "a dense tensor of integers or floats", f"{images.dtype}, {images.layout}"
        raise TypeError(f"{name} must be {wanted}, got {found}")
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape:
        found = tuple(images.shape)
        raise ValueError(f"{name} must have shape (N, 3, H, W), none of them 0, got {found}")
    images = images.detach()
    if images.dtype == torch.uint8:
        return images
    images = images.to(torch.float32)
    lowest = images.min().item()
    highest = images.max().item()
    values = f"values 0 to 255, got {lowest:.3g} to {highest:.3g}"
    if not -LARGEST_VALUE <= lowest <= highest <= LARGEST_VALUE:  # also where it is not a number
        raise ValueError(f"{name} must be finite, with {values}")
    if highest <= 16 or lowest < -255 or highest > 510:  # even for images with strong noise
        text = f"{name} should have {values}; they are taken as they are"
        warnings.warn(text, stacklevel=stacklevel)
    return images


def check_number(name: str, value, lowest, highest=math.inf, whole: bool = False):
    """Return a number of any library as an int, if it must be whole, or as a float.

    Raises:
        TypeError, ValueError: it is not a finite number from `lowest` to `highest`.
    """
    kind = "an integer" if whole else "a number"
    limits = f"of at least {lowest}" if highest == math.inf else f"from {lowest} to {highest}"
    text = f"{name} must be {kind} {limits}, got {value!r}"
    if isinstance(value, (bool, str)):
        raise TypeError(text)
    try:
        number = operator.index(value) if whole else float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(text) from None
    if not lowest <= number <= highest or number == math.inf:
        raise ValueError(text)
    return number


def check_choice(name: str, value, choices):
    """Return the value, or raise ValueError if it is not one of the choices, which are strings."""
    if not isinstance(value, str) or value not in choices:
        names = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {names}, got {value!r}")
    return value


def load_tensors(path: Union[str, Path], **options):
    """Return what `torch.save` has written to a file: tensors, numbers and containers, no code.

    Args:
        path: the file.
        options: further arguments of `torch.load`.

    Raises:
        OSError: there is no such file, or it may not be read.
        ValueError: it is damaged, or it holds something else.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file of tensors")
    if Path(path).exists() and not Path(path).is_file():
        raise OSError(f"{path} is a device or a pipe, not a file of tensors")
    try:
        with open(str(path), "rb") as file:
            if zipfile.is_zipfile(file) and zipfile.ZipFile(file).testzip() is not None:
                raise ValueError("a checksum is wrong")  # PyTorch does not look at them
        with warnings.catch_warnings(), torch.inference_mode(False):
            warnings.simplefilter("ignore")  # some versions of PyTorch warn of themselves here
            return torch.load(str(path), map_location="cpu", weights_only=True, **options)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except PermissionError:
        raise PermissionError(f"{path} may not be read") from None
    except MemoryError:
        raise
    except Exception as error:  # damaged files raise nearly everything
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise OSError(f"{path} cannot be read: {error.strerror}") from error
        # "Unsupported global" or "unsupported class", depending on the version
        holds_code = "nsupported glob" in str(error) or "nsupported cl" in str(error)
        fault = "holds objects" if holds_code else "is damaged, or torch.save did not write it"
        advice = "it must hold tensors; torch.save(network.state_dict(), path) saves weights"
        text = f"{path} {fault}: {advice}"
        raise ValueError(text) from error


def unwrapped(weights) -> Dict[str, Any]:
    """Take the weights of a network out of dicts, and prefixes of wrappers off their names."""
    for name in ("state_dict", "network", "model", "model_state_dict"):
        if isinstance(weights, dict) and isinstance(weights.get(name), dict):
            weights = weights[name]
    if not isinstance(weights, dict):
        return {}
    names = [str(name) for name in weights]
    for prefix in ("_orig_mod.", "module.", "_orig_mod."):  # of torch.compile and nn.DataParallel
        names = [name[len(prefix) :] if name.startswith(prefix) else name for name in names]
    return dict(zip(names, weights.values()))


def check_weights(path, weights: Dict[str, Any], expected: Dict[str, Tensor]) -> None:
    """Raise ValueError unless these can be the weights of a network, whose own are `expected`."""
    foreign = f"{path} does not hold the weights of this network"
    if set(weights) != set(expected):
        some = sorted(set(weights) ^ set(expected))[:3]
        raise ValueError(f"{foreign}: missing or unknown are {', '.join(some)} ...")
    for name, value in weights.items():
        wanted = expected[name]
        if not isinstance(value, Tensor) or value.shape != wanted.shape:
            raise ValueError(f"{foreign}: {name} must be a tensor of shape {tuple(wanted.shape)}")
        if value.is_floating_point() != wanted.is_floating_point():
            raise ValueError(f"{foreign}: {name} must be of type {wanted.dtype}, got {value.dtype}")
        if not torch.isfinite(value.to(wanted.dtype)).all():
            raise ValueError(f"{path} holds weights that are not finite: {name}")
        if name.endswith("running_var") and value.min() < 0:
            raise ValueError(f"{path} holds a negative variance: {name}")


# --------------------------------------------------------------------------------------------------
# Helpers


def to_unit_range(images: Tensor, device: torch.device) -> Tensor:
    """Images with values 0 to 255, of any dtype, as float32 with values 0 to 1."""
    return images.to(device).to(torch.float32) / 255


class CopyToCPU:
    """A copy of some values on a GPU, which goes on computing meanwhile.

    `wait` returns them as soon as they are there. It does not wait for work that the GPU was given
    after the copy.
    """

    def __init__(self, values: Tensor):
        self.copy = values.to("cpu", non_blocking=values.is_cuda)
        self.end_of_copying = None
        if values.is_cuda:
            self.end_of_copying = torch.cuda.current_stream(values.device).record_event()

    def wait(self) -> List[float]:
        if self.end_of_copying is not None:
            self.end_of_copying.synchronize()
        return self.copy.tolist()


@contextmanager
def ordinary_pytorch(device: torch.device, gradients: bool) -> Iterator[None]:
    """Switch gradients, and autocast, inference mode and default device to PyTorch's defaults.

    Other code of the process may have changed them. These switches belong to the thread.
    """
    autocast = default_device = nullcontext()
    if device.type in ("cpu", "cuda"):
        autocast = torch.autocast(device.type, enabled=False)
    if hasattr(torch.device, "__enter__"):  # from PyTorch 2.0 on
        default_device = torch.device("cpu")
    with torch.inference_mode(False), torch.set_grad_enabled(gradients), autocast, default_device:
        yield


def track(items, total: int, shown: bool = True, label: str = "step", describe=None) -> Iterator:
    """Iterate over items; report on standard error after 3 seconds, then every 30, and at the end.

    The time that is left follows from the pace since the last line, since the first steps of a
    training may take much longer than all others.

    Args:
        items: what to iterate over.
        total: how many items there are.
        shown: whether to report at all.
        label: what an item is called.
        describe: function without arguments, whose text is added.
    """
    previous_time, previous_done = time.monotonic(), 0
    seconds_to_next = 3
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if not shown or (now - previous_time < seconds_to_next and done < total):
            continue
        minutes_left = (now - previous_time) / (done - previous_done) * (total - done) / 60
        text = f"{label} {done} of {total}, {minutes_left:.1f} minutes left"
        if describe is not None:
            text += f", {describe()}"
        with suppress(OSError, ValueError, AttributeError):  # a message never stops the work
            print(text, file=sys.stderr, flush=True)
        previous_time, previous_done, seconds_to_next = now, done, 30
