"""Noise2Noise: a denoiser that learns from pairs of noisy images and never sees a clean one.

    model = Model()
    model.load_pretrained_model()
    denoised = model.predict(noisy)                # (N, 3, H, W), values 0 to 255
    model.train(noisy_1, noisy_2, num_epochs=1)    # two noisy versions of the same images

The idea is by Lehtinen et al. (2018, https://arxiv.org/abs/1803.04189). The network learns to
predict one noisy version of an image from another. It cannot predict the noise of the target,
which is independent of its input, so the best it can do is to predict the mean over all noisy
versions. If the noise has mean zero, that is the clean image.

The network, its initializations, the flips and the hybrid training loop are those of Brown, Briand
and de Schoulepnikoff, "Noise2Noise model" (2022), called "Brown et al." below.

`predict` with the weights in bestmodel.pth raises the mean PSNR of 1,000 noisy images from 21.03
to 26.43 dB. No training has seen these images.

This file needs only PyTorch. It reads from top to bottom: network, initialization, batches,
training, model, prediction in tiles, helpers.
"""

import copy
import math
import operator
import random
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, NamedTuple, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

try:
    from .others.fast import accelerated
except ImportError:  # alone, this file does the same more slowly

    def accelerated(network: nn.Module, precision: str = "float32") -> nn.Module:
        """The network itself."""
        return network


try:
    from tqdm import tqdm
except ImportError:
    tqdm = None  # see `track`

WEIGHTS = Path(__file__).resolve().parent / "bestmodel.pth"
PRECISIONS = ("auto", "float32", "bfloat16")

# Training
LBFGS_ITERATIONS = 5  # first steps of a hybrid training
LBFGS_STEPS = 20  # quasi-Newton steps in each of them
BATCH_SIZE = 50  # pairs in a step
LEARNING_RATE = 0.05  # of momAGD at the beginning, as in Brown et al.
MOMENTUM = 0.9
FLIP_FRACTION = 0.5
HISTORY = ("loss", "learning_rate", "evaluations", "seconds")  # noted at each step

# Safeguard of a training
GOOD_UP_TO = 10  # times the usual loss: remember the weights
EXPLODED_FROM = 1000  # times the usual loss: go back to the remembered ones
SMALLEST_USUAL_LOSS = 1e-4
MOST_ROLLBACKS = 5

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
#
# Each function returns new weights and biases of a layer. Each of its outputs depends on `fan_in`
# inputs; each input affects `fan_out` outputs.


def default(layer, fan_in, fan_out, generator):
    """PyTorch's own. For a transposed convolution it uses fan_out in place of fan_in."""
    bound = 1 / math.sqrt(layer.weight[0].numel())
    return uniform(layer.weight, bound, generator), uniform(layer.bias, bound, generator)


def xavier(layer, fan_in, fan_out, generator):
    """That of Glorot and Bengio (2010)."""
    bound = math.sqrt(6 / (fan_in + fan_out))
    return uniform(layer.weight, bound, generator), torch.zeros_like(layer.bias)


def masked_xavier(layer, fan_in, fan_out, generator):
    """Xavier, with a random half of the weights set to zero. Both signs are kept."""
    mask = uniform(layer.weight, 1, generator) > 0
    weight, bias = xavier(layer, fan_in, fan_out, generator)
    return weight * mask, bias


def zeros(layer, fan_in, fan_out, generator):
    return torch.zeros_like(layer.weight), torch.zeros_like(layer.bias)


def positive(initialization):
    """An initialization with its negative values replaced by zero.

    In training mode, outputs then have a root mean square near 600, not 0.5; momAGD diverges.
    """

    def without_negative_values(layer, fan_in, fan_out, generator):
        weight, bias = initialization(layer, fan_in, fan_out, generator)
        return weight.clamp(min=0), bias.clamp(min=0)

    return without_negative_values


INITIALIZATIONS = {
    "default": default,
    "default positive": positive(default),
    "xavier": xavier,
    "xavier positive": positive(xavier),
    "masked xavier": masked_xavier,
    "zeros": zeros,
}


def uniform(parameter, bound, generator):
    """Values between -bound and bound, drawn on the CPU so that every device gets the same."""
    values = torch.empty(parameter.shape, dtype=torch.float32, device="cpu")
    return values.uniform_(-bound, bound, generator=generator)


def initialize(network: nn.Sequential, name: str = "masked xavier", seed: int = 0) -> None:
    """Draw the weights of a network anew, by one of the initializations that Brown et al. compare.

    Args:
        network: of convolutions, BatchNorms and layers without parameters. Changed in place.
        name: a name in `INITIALIZATIONS`.
        seed: seed of the draws, 0 to 2^62. PyTorch's own random state is neither used nor changed.

    Raises:
        TypeError, ValueError: the name or the seed is not as described.
    """
    initialization = INITIALIZATIONS[check_choice("initialization", name, INITIALIZATIONS)]
    seed = check_number("seed", seed, 0, LARGEST_SEED, whole=True)
    generator = torch.Generator("cpu").manual_seed(seed)
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            kernel_pixels = layer.weight[0, 0].numel()
            fan_in = layer.in_channels * kernel_pixels
            fan_out = layer.out_channels * kernel_pixels
            weight, bias = initialization(layer, fan_in, fan_out, generator)
            layer.weight.data.copy_(weight)
            layer.bias.data.copy_(bias)


# --------------------------------------------------------------------------------------------------
# Batches

FLIPS = {
    "vertical": lambda images: images.flip(2),
    "horizontal": lambda images: images.flip(3),
    "transpose": lambda images: images.transpose(2, 3),  # of square images only
}


class Batches:
    """Random batches of pairs of noisy images; each follows from seed and step, not from others.

    `batches(step)` returns the batch of a step: two tensors (B, 3, H, W), values 0 to 255.
    `batches(step, part)` returns the pairs of it that the slice `part` selects.
    `len(batches)` is the number of steps in an epoch.

    Args:
        train_input, train_target: (N, 3, H, W), values 0 to 255, any real dtype.
        batch_size: pairs in a batch. The last one of an epoch has the rest.
        flips: a name in `FLIPS` or several, which enlarge the training set (Brown et al.).
        flip_fraction: the fraction of the pairs that each flip is applied to, at random.
        swap: let input and target, which are equally noisy, change places in half of the pairs.
        seed: seed of all draws, 0 to 2^62.
        device: a GPU on which the batches are made if the images fit there.

    Raises:
        TypeError, ValueError: an argument is not as described.
    """

    def __init__(self, train_input, train_target, batch_size=BATCH_SIZE, flips=tuple(FLIPS),
                 flip_fraction=FLIP_FRACTION, swap=True, seed=0, device=None):  # fmt: skip
        noisy_1 = check_images("train_input", train_input)
        noisy_2 = check_images("train_target", train_target)
        if noisy_1.shape != noisy_2.shape:
            found = tuple(noisy_2.shape)
            raise ValueError(f"train_target must have the shape of train_input, got {found}")
        if isinstance(flips, str):
            flips = [flips]
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
        epoch, batch_in_epoch = divmod(step, len(self))
        if epoch != self.epoch:
            self.epoch = epoch
            generator = generator_of(self.seed, f"epoch {epoch}")
            self.order = torch.randperm(len(self.noisy_1), generator=generator, device="cpu")
        first = batch_in_epoch * self.batch_size
        pairs = self.order[first : first + self.batch_size]
        shape = (len(self.flips) + 1, len(pairs), 1, 1, 1)  # one for each flip, and the swap
        draws = torch.empty(shape, dtype=torch.float32, device="cpu")
        draws.uniform_(generator=generator_of(self.seed, f"step {step}"))
        pairs = pairs[part].to(self.noisy_1.device)
        draws = draws[:, part].to(self.noisy_1.device)
        return self.augmented(self.noisy_1[pairs], self.noisy_2[pairs], draws)

    def augmented(self, noisy_1, noisy_2, draws):
        """Flip some of the pairs, and let input and target of some change places."""
        for name, draw in zip(self.flips, draws):
            if name == "transpose" and noisy_1.shape[2] != noisy_1.shape[3]:
                continue
            flip = FLIPS[name]
            chosen = draw < self.flip_fraction
            noisy_1 = torch.where(chosen, flip(noisy_1), noisy_1)
            noisy_2 = torch.where(chosen, flip(noisy_2), noisy_2)
        if not self.swap:
            return noisy_1, noisy_2
        chosen = draws[-1] < 0.5
        return torch.where(chosen, noisy_2, noisy_1), torch.where(chosen, noisy_1, noisy_2)


def generator_of(seed: int, purpose: str) -> torch.Generator:
    """Random numbers that follow from these two alone, so a training can go on at any step."""
    # A hash, since seed + step would be the same for step 1 of seed 0 and step 0 of seed 1
    mixed = random.Random(f"{seed}, {purpose}").getrandbits(32)  # PyTorch uses 32 bits of a seed
    return torch.Generator("cpu").manual_seed(mixed)


def moved_if_it_fits(images: Tensor, device) -> Tensor:
    """The images on a GPU, if they take less than an eighth of what is free there."""
    if device is not None and torch.device(device).type == "cuda":
        free, _ = torch.cuda.mem_get_info(torch.device(device).index)
        if 8 * images.numel() * images.element_size() < free:
            return images.to(device)
    return images


# --------------------------------------------------------------------------------------------------
# Training


def adam(parameters, learning_rate, momentum):
    """ADAM (Kingma and Ba, 2015). Learning rates near 0.001 suit it."""
    return torch.optim.Adam(parameters, learning_rate, betas=(momentum, 0.999))


OPTIMIZERS = {
    "momAGD": torch.optim.SGD,  # momentum-assisted gradient descent, as Brown et al. call it
    "ADAM": adam,
}


class Training:
    """The hybrid loop of Brown et al.: some iterations of L-BFGS, then momAGD or another optimizer.

        while training.step < training.num_steps:
            training.take_step()

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
            L-BFGS always computes in float32. Without `others/fast` everything does.
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
        num_steps = check_number("num_steps", num_steps, 1, whole=True)
        self.network = network
        self.batches = batches
        self.num_steps = num_steps
        self.lbfgs_iterations = check_number("lbfgs_iterations", lbfgs_iterations, 0, whole=True)
        self.optimizer_function = optimizer
        self.learning_rate = learning_rate
        if not callable(learning_rate):
            initial_rate = check_number("learning_rate", learning_rate, 0)
            self.learning_rate = lambda step: initial_rate * (1 - step / num_steps)
        self.momentum = check_number("momentum", momentum, 0, 1)
        self.loss = loss
        self.device = next(network.parameters()).device
        self.forward = accelerated(network, check_choice("precision", precision, PRECISIONS))
        self.forward_in_float32 = accelerated(network, "float32")
        self.step = 0
        self.history = {name: [] for name in HISTORY}
        self.safeguard = Safeguard(network)
        self.new_optimizers()

    def take_step(self) -> float:
        """Take a step, and return the loss before it.

        Afterwards the network is in training mode, after the last step in evaluation mode. If
        anything goes wrong, Ctrl-C included, the network gets its last good weights.

        Raises:
            RuntimeError: all steps have been taken.
            FloatingPointError: the loss has exploded too often, or was finite in no step.
        """
        if self.step >= self.num_steps:
            raise RuntimeError(f"all {self.num_steps} steps of this training have been taken")
        start = time.monotonic()
        try:
            learning_rate = self.learning_rate(self.step) / 2**self.safeguard.rollbacks
            for group in self.optimizer.param_groups + self.lbfgs.param_groups:
                group["lr"] = learning_rate
            with ordinary_pytorch(self.device, gradients=True):  # see "Helpers"
                if self.step < self.lbfgs_iterations:
                    loss, evaluations = self.lbfgs_iteration()
                else:
                    loss, evaluations = self.gradient_step()
                if self.step == self.num_steps - 1:
                    self.check_last_weights()
        except BaseException:
            self.go_back()
            raise
        seconds_before = self.history["seconds"][-1] if self.history["seconds"] else 0.0
        self.history["loss"].append(loss)
        self.history["learning_rate"].append(learning_rate)
        self.history["evaluations"].append(evaluations)
        self.history["seconds"].append(seconds_before + time.monotonic() - start)
        self.step += 1
        if self.step == self.lbfgs_iterations:
            self.new_optimizers()  # frees the memory of L-BFGS
        return loss

    def gradient_step(self):
        """A step of the optimizer. Returns the loss before it, and how often it was computed."""
        loss = self.loss_of(self.batches(self.step), self.forward.train())
        if self.safeguard.undo_if_exploded(loss):
            self.new_optimizers()  # the old momentum points to the explosion
        else:
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return loss.item(), 1

    def lbfgs_iteration(self):
        """Up to 20 quasi-Newton steps on one batch. Returns the same as `gradient_step`.

        An iteration can fit one batch only, so it is undone unless it lowers the loss on the next
        batch. It computes in float32, because L-BFGS takes differences of gradients.
        """
        forward = self.forward_in_float32.train()
        batch, unseen = self.batches(self.step), self.batches(self.step + 1)
        weights_before = copy.deepcopy(self.network.state_dict())
        loss_before = self.loss_of(unseen, forward).item()
        losses = []

        def closure():
            self.lbfgs.zero_grad()
            loss = self.loss_of(batch, forward)
            loss.backward()
            losses.append(loss.item())
            return loss

        self.lbfgs.step(closure)
        loss_after = self.loss_of(unseen, forward)
        if not loss_after.item() < loss_before:  # also where it is NaN
            self.network.load_state_dict(weights_before)  # no explosion: the rate stays
            self.new_optimizers()  # the old curvature belongs to weights that are gone
        elif self.safeguard.undo_if_exploded(loss_after):
            self.new_optimizers()
        return losses[0], len(losses)

    def check_last_weights(self):
        """Each step judges the one before it. Judge the last one here, as `predict` will use it."""
        self.forward.eval()
        with torch.no_grad():
            self.safeguard.undo_if_exploded(self.loss_of(self.batches(self.step), self.forward))
        if self.safeguard.usual_loss == math.inf:
            raise FloatingPointError("the loss was never finite: nothing was learned")

    def loss_of(self, batch, forward):
        """The loss of a batch, values 0 to 255, with gradients."""
        noisy, target = batch
        output = forward(to_unit_range(noisy, self.device))
        return self.loss(output, to_unit_range(target, self.device))

    def new_optimizers(self):
        """Make both optimizers anew, without memory of any step. `take_step` sets their rate."""
        parameters = list(self.network.parameters())
        self.optimizer = self.optimizer_function(parameters, self.learning_rate(0), self.momentum)
        # Without its line search, L-BFGS diverges on this network
        options = {"max_iter": LBFGS_STEPS, "history_size": 20, "line_search_fn": "strong_wolfe"}
        self.lbfgs = torch.optim.LBFGS(parameters, **options)

    def go_back(self) -> None:
        """Give the network its last good weights."""
        self.safeguard.restore()
        self.new_optimizers()

    def state_dict(self) -> Dict[str, Any]:
        """Return all that going on bit for bit needs: tensors, numbers, containers of them."""
        return copy.deepcopy({
            "step": self.step,
            "history": self.history,
            "network": self.network.state_dict(),
            "safeguard": self.safeguard.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lbfgs": self.lbfgs.state_dict(),
        })  # fmt: skip

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Go on where a training with the same arguments was."""
        state = copy.deepcopy(state)
        self.step = state["step"]
        self.history = state["history"]
        self.network.load_state_dict(state["network"])
        self.safeguard.load_state_dict(state["safeguard"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.lbfgs.load_state_dict(state["lbfgs"])


class Safeguard:
    """Remembers a network's last good weights, and goes back to them when the loss explodes."""

    def __init__(self, network):
        self.network = network
        self.good = flattened(network)  # the last good weights
        self.usual_loss = math.inf  # the lowest so far, smoothed; infinite before the first
        self.rollbacks = 0  # how often the loss has exploded; each time halves the learning rate

    def undo_if_exploded(self, loss: Tensor) -> bool:
        """Judge the present weights by their loss. If it has exploded, go back, and return True."""
        loss = loss.item()
        weights = flattened(self.network)
        all_finite = math.isfinite(loss) and math.isfinite(weights.sum().item())
        if all_finite and loss <= EXPLODED_FROM * self.usual_loss:
            if loss <= GOOD_UP_TO * self.usual_loss:
                self.good = weights
            if self.usual_loss == math.inf:
                self.usual_loss = loss
            lower = min(self.usual_loss, 0.9 * self.usual_loss + 0.1 * loss)
            self.usual_loss = max(lower, SMALLEST_USUAL_LOSS)
            return False
        self.restore()
        self.rollbacks += 1
        if self.rollbacks > MOST_ROLLBACKS:
            text = f"the loss rose to {loss:.3g} again; the model has the last good weights"
            raise FloatingPointError(text)
        return True

    def restore(self):
        """Give the network its last good weights."""
        weights = list(self.network.state_dict().values())
        sizes = [value.numel() for value in weights]
        for value, good in zip(weights, self.good.split(sizes)):
            value.copy_(good.view_as(value))

    def state_dict(self):
        return {"good": self.good, "usual_loss": self.usual_loss, "rollbacks": self.rollbacks}

    def load_state_dict(self, state):
        self.good = state["good"].to(self.good.device)
        self.usual_loss = state["usual_loss"]
        self.rollbacks = state["rollbacks"]


def flattened(network: nn.Module) -> Tensor:
    """All weights and statistics of a network in one tensor, copied."""
    dtype = next(network.parameters()).dtype
    return torch.cat([value.flatten().to(dtype) for value in network.state_dict().values()])


# --------------------------------------------------------------------------------------------------
# The model


class Model:
    """The denoiser. Images are (N, 3, H, W), values 0 to 255, of any real dtype.

    Args:
        initialization: one of `INITIALIZATIONS`, see `initialize`. Afterwards the last bias is set
            to 0.5, so that a model which has not learned yet predicts grey.
        seed: seed of the initialization, 0 to 2^62.
        device: "cpu", "cuda", "cuda:1", ... None: a GPU if PyTorch finds one.

    Attributes:
        network: the `nn.Sequential` of Appendix A of Brown et al., values 0 to 1. `predict` and
            `train` call the hooks of its layers, and are slower where there are some.
        device: where the network is.
        history: histories of all trainings of this model, joined; see `Training`.
    """

    def __init__(self, initialization: str = "masked xavier", seed: int = 0,
                 device: Union[str, torch.device, None] = None) -> None:  # fmt: skip
        device = check_device(device)
        with torch.random.fork_rng(devices=[]):  # keeps the caller's random state
            self.network = build_network().to(device, torch.float32).eval()
        initialize(self.network, initialization, seed)
        self.network[-1].bias.data.fill_(0.5)
        self.device = self.network[0].weight.device
        self.history = {name: [] for name in HISTORY}

    def load_pretrained_model(self, path: Union[str, Path] = WEIGHTS) -> None:
        """Read weights, by default those in `bestmodel.pth`.

        Args:
            path: a file that `torch.save(model.network.state_dict(), path)` wrote.

        Raises:
            OSError: there is no such file, or it may not be read.
            ValueError: it is damaged, or does not hold finite weights of this network.
        """
        loaded = copied(self.network)
        try:
            loaded.load_state_dict(torch.load(str(path), map_location="cpu", weights_only=True))
        except OSError:  # it names the file
            raise
        except Exception as error:  # damaged files raise nearly everything
            raise ValueError(f"{path} does not hold the weights of this network") from error
        if not math.isfinite(flattened(loaded).sum().item()):
            raise ValueError(f"{path} holds weights that are not finite")
        self.network.load_state_dict(loaded.state_dict())

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
            batch_size, flips, flip_fraction, swap: see `Batches`.
            optimizer, learning_rate, momentum, precision: see `Training`.
            seed: seed of all random choices, 0 to 2^62. A later training of this model draws other
                numbers.
            progress: show on standard error how far it is.

        Raises:
            TypeError, ValueError: an argument is not as described. Nothing has changed.
            FloatingPointError: the loss has exploded too often, or was finite in no step.
        """
        seed = check_number("seed", seed, 0, LARGEST_SEED, whole=True)
        seed = (seed + len(self.history["loss"])) % (LARGEST_SEED + 1)
        batches = Batches(
            train_input, train_target, batch_size, flips, flip_fraction, swap, seed, self.device
        )
        num_steps = check_number("num_epochs", num_epochs, 1, whole=True) * len(batches)
        training = Training(self.network, batches, num_steps, LBFGS_ITERATIONS if hybrid else 0,
                            optimizer, learning_rate, momentum, precision)  # fmt: skip
        training.history = self.history  # shared: each step is appended to the model's
        losses = self.history["loss"]
        try:
            for _ in track(range(num_steps), "step", progress, lambda: f"loss {losses[-1]:.5f}"):
                training.take_step()
        except BaseException:  # also between two steps
            training.go_back()
            raise
        finally:
            self.network.eval()

    def predict(self, test_input: Tensor, average: bool = True, progress: bool = False,
                precision: str = "float32") -> Tensor:  # fmt: skip
        """Denoise images of any size.

        Several threads may predict at the same time, also while another one trains. Each call has a
        copy of the weights; that of a training may be from the middle of a step.

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
        with ordinary_pytorch(self.device, gradients=False):
            # A copy neither waits for a training in another thread nor disturbs it
            network = accelerated(copied(self.network).eval(), precision)
            output = torch.empty(images.shape, dtype=torch.float32, device=self.device)
            for tile in track(tiles_of(images.shape, max_pixels), "part", progress):
                part = to_unit_range(images[tile.images][tile.source], self.device)
                part = mean_over_flips(network, part) if average else network(part)
                output[tile.images][tile.target] = (part[tile.valid] * 255).clamp(0, 255)
        return output


# --------------------------------------------------------------------------------------------------
# Prediction in tiles


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
    """Cut images (N, 3, H, W) into tiles whose feature maps have at most `max_pixels` pixels.

    The halo is that of Appendix A. A network that looks farther would leave seams.
    """
    number, _, height, width = shape
    side = math.isqrt(max_pixels) - 3 * HALO
    map_height = min(height, side + 2 * HALO) + HALO  # two halos, and feature maps grow by one more
    map_width = min(width, side + 2 * HALO) + HALO
    at_once = max_pixels // (map_height * map_width)
    tiles = []
    for first in range(0, number, at_once):
        for y in range(0, height, side):
            for x in range(0, width, side):
                top, left = max(y - HALO, 0), max(x - HALO, 0)
                tiles.append(Tile(
                    images=slice(first, first + at_once),
                    source=(..., slice(top, y + side + HALO), slice(left, x + side + HALO)),
                    valid=(..., slice(y - top, y - top + side), slice(x - left, x - left + side)),
                    target=(..., slice(y, y + side), slice(x, x + side)),
                ))  # fmt: skip
    return tiles


# --------------------------------------------------------------------------------------------------
# Helpers


def check_images(name: str, images: Tensor) -> Tensor:
    """Return images as uint8 or float32, or refuse what is not finite real numbers (N, 3, H, W)."""
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(images).__name__}")
    if images.is_complex() or images.dtype == torch.bool or images.layout != torch.strided:
        found = f"{images.dtype}, {images.layout}"
        raise TypeError(f"{name} must be a dense tensor of integers or floats, got {found}")
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape:
        found = tuple(images.shape)
        raise ValueError(f"{name} must have shape (N, 3, H, W), none of them 0, got {found}")
    if images.dtype == torch.uint8:
        return images
    images = images.detach().to(torch.float32)
    lowest = images.min().item()
    highest = images.max().item()
    values = f"values 0 to 255, got {lowest:.3g} to {highest:.3g}"
    if not -LARGEST_VALUE <= lowest <= highest <= LARGEST_VALUE:  # also where it is not a number
        raise ValueError(f"{name} must be finite, with {values}")
    is_out_of_range = highest <= 16 or lowest < -255 or highest > 510  # even with strong noise
    is_centred = (images < 0).sum().item() > images.numel() / 4
    if is_out_of_range or is_centred:
        warnings.warn(f"{name} should have {values}; they are taken as they are")
    return images


def check_number(name: str, value, lowest, highest=math.inf, whole: bool = False):
    """Return a number of any library as an int, if it must be whole, or as a float."""
    kind = "an integer" if whole else "a number"
    text = f"{name} must be {kind} from {lowest} to {highest}, got {value!r}"
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


def check_device(device) -> torch.device:
    """Return a device that PyTorch has here; for None a GPU if there is one."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.zeros(1, device=device).device
    except (RuntimeError, AssertionError):
        raise ValueError(f"device must be one that PyTorch finds here, got {device!r}") from None


def copied(network: nn.Module) -> nn.Module:
    """A copy with its own weights but the very same hooks, which a deep copy would also copy."""
    twin = type(network).__new__(type(network))
    twin.__dict__.update(network.__dict__)
    for kind in ("_parameters", "_buffers"):
        values = getattr(network, kind).items()
        own = {name: value if value is None else value.detach().clone() for name, value in values}
        setattr(twin, kind, own)
    twin._modules = {name: copied(layer) for name, layer in network._modules.items()}
    return twin


def to_unit_range(images: Tensor, device: torch.device) -> Tensor:
    """Images with values 0 to 255, of any dtype, as float32 with values 0 to 1."""
    return images.to(device).to(torch.float32) / 255


@contextmanager
def ordinary_pytorch(device: torch.device, gradients: bool) -> Iterator[None]:
    """Switch gradients on or off, and autocast off, whatever the caller has set."""
    kind = "cuda" if device.type == "cuda" else "cpu"
    with torch.set_grad_enabled(gradients), torch.autocast(kind, enabled=False):
        yield


def track(items: Sequence, unit: str, shown: bool = True, describe=str) -> Iterator:
    """Iterate over items, and show on standard error how far it is.

    On a terminal this is a bar, if tqdm is installed; otherwise a line every 30 seconds. `unit` is
    what an item is called, `describe` returns a text that is added.
    """
    bar = None
    shown = shown and hasattr(sys.stderr, "isatty") and not sys.stderr.closed
    if shown and tqdm and sys.stderr.isatty():
        bar = tqdm(items, unit=f" {unit}")
    last_time = time.monotonic()
    for done, item in enumerate(bar or items, 1):
        yield item
        if bar:
            bar.set_postfix_str(describe(), refresh=False)
        elif shown and time.monotonic() > last_time + 30:
            print(f"{unit} {done} of {len(items)} {describe()}", file=sys.stderr, flush=True)
            last_time = time.monotonic()
