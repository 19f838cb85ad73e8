"""Noise2Noise: an image denoiser trained on pairs of noisy images alone.

    model = Model()
    model.load_pretrained_model()
    denoised = model.predict(noisy)                # (N, 3, H, W), values 0 to 255
    model.train(noisy_1, noisy_2, num_epochs=1)    # goes on from the weights it has

The network, the initializations, the flips and the hybrid training loop are those of S. Brown,
G. Briand and P. de Schoulepnikoff, "Noise2Noise model" (2022); the idea of training without
clean images is Lehtinen et al., https://arxiv.org/abs/1803.04189. If the noise of the target
is independent of the input and zero in the mean, the network that minimizes the mean squared
error against noisy targets also minimizes it against clean ones.

This file needs PyTorch alone. It reads top to bottom in the order in which data
meet the code: network, initialization, batches, training, prediction. What serves speed only is in
`others/fast.py`, and left out if that is missing.

The shipped weights score 25.61 dB (25.49 in one pass) where the noisy images have 21.03: PSNR, mean over
1,000 images from photographs that were not trained on.
"""

import math
import signal
import sys
import threading
import time
import warnings
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

try:
    from .others.fast import conv3x3  # Winograd's algorithm: 2.3 times faster on a CPU
except ImportError:
    conv3x3 = None
try:
    from tqdm import tqdm
except ImportError:
    tqdm = None

WEIGHTS = Path(__file__).resolve().parent / "bestmodel.pth"
LBFGS_ITERATIONS = 5  # of the hybrid training loop
LBFGS_STEPS = 20  # quasi-Newton steps within one iteration: PyTorch's default
HALO = 5  # pixels on each side that an output pixel depends on: 10 layers, kernel 2
MAX_PIXELS = 128 * 1024  # predicted at once; larger images are cut into tiles
CHECKPOINT_MINUTES = 5
FLIPS = ("vertical", "horizontal", "transpose")


# --------------------------------------------------------------------------------------------
# The network
# --------------------------------------------------------------------------------------------


def build_network():
    """The report's Appendix A, layer for layer: (N, 3, H, W) to (N, 3, H, W), values 0 to 1."""
    like = dict(device="cpu", dtype=torch.float32)  # whatever another module has set as the default
    conv = partial(nn.Conv2d, kernel_size=2, stride=1, padding=1, **like)
    deconv = partial(nn.ConvTranspose2d, kernel_size=2, stride=1, padding=1, **like)
    norm = partial(nn.BatchNorm2d, **like)
    with torch.random.fork_rng(devices=[]):  # the draws of these constructors are replaced below
        return nn.Sequential(
            # encoder
            conv(3, 64), nn.ReLU(inplace=True),  # (N, 64, H + 1, W + 1)
            conv(64, 64), nn.ReLU(inplace=True),  # (N, 64, H + 2, W + 2)
            conv(64, 128), norm(128), nn.ReLU(inplace=True),  # (N, 128, H + 3, W + 3)
            conv(128, 256), norm(256), nn.ReLU(),  # (N, 256, H + 4, W + 4)
            conv(256, 512),  # (N, 512, H + 5, W + 5)
            # decoder
            deconv(512, 256), norm(256), nn.ReLU(inplace=True),  # (N, 256, H + 4, W + 4)
            deconv(256, 128), norm(128), nn.ReLU(inplace=True),  # (N, 128, H + 3, W + 3)
            deconv(128, 64), nn.ReLU(inplace=True),  # (N, 64, H + 2, W + 2)
            deconv(64, 64), nn.ReLU(inplace=True),  # (N, 64, H + 1, W + 1)
            deconv(64, 3),  # (N, 3, H, W)
        )  # fmt: skip


def merge(conv, deconv):
    """Kernel (O, I, 3, 3) and bias (O,) of the one convolution, padding 1, that two layers are.

    There is no activation between layers 10 and 11, so with kernels c (M, I, 2, 2) and
    t (M, O, 2, 2) they compute K[o, i, d] = sum of t[m, o, k] c[m, i, l] over m and all k, l
    with l - k = d: two thirds of the arithmetic, and 512 channels that are never stored.
    Autograd carries the gradient back to c and t.
    """
    c, t = conv.weight, deconv.weight
    kernel = F.conv2d(c.transpose(0, 1), t.transpose(0, 1), padding=1)  # (I, O, 3, 3)
    bias = deconv.bias + torch.einsum("mokl,m->o", t, conv.bias)  # (O,)
    return kernel.transpose(0, 1), bias


def forward(network, images):
    """`network(images)` with layers 10 and 11 as one. (N, 3, H, W) to (N, 3, H, W), values 0 to 1."""
    on_cpu = images.device.type == "cpu"
    if on_cpu:
        images = images.contiguous(memory_format=torch.channels_last)
    features = network[:10](images)  # (N, 256, H + 4, W + 4)
    kernel, bias = merge(network[10], network[11])
    if on_cpu and conv3x3:
        features = conv3x3(features, kernel, bias)
    else:
        features = F.conv2d(features, kernel, bias, padding=1)
    return network[12:](features)  # (N, 3, H, W)


# --------------------------------------------------------------------------------------------
# Initialization
# --------------------------------------------------------------------------------------------


def initialize(network, name="masked xavier", seed=0):
    """Draw the weights of all convolutions anew, and reset the BatchNorms.

    The report's five: "default" is PyTorch's own, uniform between -1 and 1 over the root of the
    fan-in; "xavier" is Glorot and Bengio's uniform one, with biases zero; the "positive" versions set
    the negative values of either to zero; "zeros" sets everything to zero.

    "masked xavier" is what trains, and the default. Setting the negative values of a Xavier draw
    to zero, as the report's words have it, gives outputs near 600 where 0.5 is wanted, since the
    last three layers have no BatchNorm after them, and momAGD diverges. A Xavier draw kept
    where a second, independent draw is positive has half of its weights zero too, keeps both
    signs, and reproduces the report's curves.

    Args:
        network: from `build_network`.
        name: one of `INITIALIZATIONS`.
        seed: of the draw; PyTorch's global random state is left alone.

    Raises:
        ValueError: no initialization has this name.
    """
    check_choice("initialization", name, INITIALIZATIONS)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                for parameter in (layer.weight, layer.bias):
                    values = torch.empty(parameter.shape, dtype=torch.float32, device="cpu")
                    parameter.copy_(INITIALIZATIONS[name](values, layer, generator))
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
                layer.reset_parameters()


def _default(values, layer, generator):
    fan_in = layer.weight[0].numel()  # PyTorch takes the second dimension, also for a transposed kernel
    bound = 1 / math.sqrt(fan_in)
    return values.uniform_(-bound, bound, generator=generator)


def _xavier(values, layer, generator):
    if values.dim() == 1:
        return values.zero_()
    fan_in, fan_out = values[0].numel(), values[:, 0].numel()
    bound = math.sqrt(6 / (fan_in + fan_out))
    return values.uniform_(-bound, bound, generator=generator)


def _masked_xavier(values, layer, generator):
    kept = _xavier(torch.empty_like(values), layer, generator) > 0
    return _xavier(values, layer, generator) * kept


INITIALIZATIONS = {
    "default": _default,
    "default positive": lambda *arguments: _default(*arguments).clamp_(min=0),
    "xavier": _xavier,
    "xavier positive": lambda *arguments: _xavier(*arguments).clamp_(min=0),
    "masked xavier": _masked_xavier,
    "zeros": lambda values, layer, generator: values.zero_(),
}


# --------------------------------------------------------------------------------------------
# Batches
# --------------------------------------------------------------------------------------------


def plan_epoch(num_pairs, image_size, crop, flip_fraction, seed):
    """Every random choice of one pass over the pairs, one row a pair: a function of `seed` alone.

    Returns:
        dict of tensors (num_pairs,): the "order" of the pairs; the corner of the crop, "top" and
        "left"; and booleans that say which pairs are to be flipped or have input and target "swap"ped.
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = image_size
    plan = {"order": torch.randperm(num_pairs, generator=generator)}
    for name, size in (("top", height), ("left", width)):
        plan[name] = torch.randint(size - (crop or size) + 1, (num_pairs,), generator=generator)
    for flip in FLIPS:
        plan[flip] = torch.rand(num_pairs, generator=generator) < flip_fraction
    plan["swap"] = torch.rand(num_pairs, generator=generator) < 0.5
    return plan


def make_batch(train_input, train_target, plan, rows, crop, flips, swap, device):
    """Crop, flip and exchange the pairs in `rows` of a plan: two float tensors (B, 3, h, w), values 0 to 1."""
    where = {name: choice[rows] for name, choice in plan.items()}
    pairs = torch.stack([train_input[where["order"]], train_target[where["order"]]], 1)  # (B, 2, 3, H, W)
    if crop:
        corners = zip(pairs, where["top"].tolist(), where["left"].tolist())
        pairs = torch.stack([pair[..., y : y + crop, x : x + crop] for pair, y, x in corners])
    pairs = pairs.to(device).to(torch.float32) / 255
    square = pairs.shape[-1] == pairs.shape[-2]
    for name, flip in (
        ("vertical", lambda images: images.flip(-2)),
        ("horizontal", lambda images: images.flip(-1)),
        ("transpose", lambda images: images.transpose(-1, -2)),
    ):
        if name in flips and (square or name != "transpose"):
            pairs = torch.where(_per_image(where[name], pairs), flip(pairs), pairs)
    if swap:
        pairs = torch.where(_per_image(where["swap"], pairs), pairs.flip(1), pairs)
    return pairs[:, 0], pairs[:, 1]


def _per_image(choice, pairs):
    return choice.to(pairs.device).view(-1, 1, 1, 1, 1)


# --------------------------------------------------------------------------------------------
# Training
# --------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "SGD": lambda parameters, lr, momentum: torch.optim.SGD(parameters, lr),
    "momAGD": lambda parameters, lr, momentum: torch.optim.SGD(parameters, lr, momentum=momentum),
    "Nesterov": lambda parameters, lr, momentum: torch.optim.SGD(parameters, lr, momentum=momentum, nesterov=True),
    "ADAM": lambda parameters, lr, momentum: torch.optim.Adam(parameters, lr, betas=(momentum, 0.999)),
    # Without a line search, steps with the curvature of the batch before bring the loss from 0.02 to 287.
    "L-BFGS": lambda parameters, lr, momentum: torch.optim.LBFGS(
        parameters, lr, max_iter=LBFGS_STEPS, history_size=LBFGS_STEPS, line_search_fn="strong_wolfe"
    ),
}


def take_step(network, stepper, noisy, target):
    """Let an optimizer take a step; the loss before it, and how often it asked for the gradient."""
    evaluations = 0

    def closure():
        nonlocal evaluations
        evaluations += 1
        stepper.zero_grad()
        loss = F.mse_loss(forward(network, noisy), target)
        loss.backward()
        return loss.detach()

    return stepper.step(closure).item(), evaluations


@contextmanager
def undone_if_worse(network, stepper, noisy, target):
    """Undo the step taken within, unless it lowers the loss on a batch that it did not see.

    Twenty L-BFGS steps see one batch alone, and can fit the weights to it.
    """

    def unseen_loss():
        with torch.no_grad():
            return F.mse_loss(forward(network, noisy), target).item()

    kept = {name: value.clone() for name, value in network.state_dict().items()}
    before = unseen_loss()
    yield
    if not unseen_loss() < before:  # also where it is NaN
        network.load_state_dict(kept)
        stepper.state.clear()  # the curvature found on the way


class Model:
    """The denoiser: the network with its weights, trained by `train`, used by `predict`.

    Attributes:
        network: the `nn.Sequential` of the report's Appendix A.
        device: the GPU where there is one, else the CPU.
        history: dict of lists, one value for each training step: "loss" (mean squared error, images in
            [0, 1]), "learning_rate", "evaluations" (of the gradient; L-BFGS takes many a step) and
            "seconds" since the beginning of the call of `train`.
        finished: False if the last call of `train` stopped at its deadline.
    """

    def __init__(self, initialization="masked xavier", seed=0) -> None:
        """Build the network with fresh weights; `initialization` and `seed` as in `initialize`."""
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = build_network()
        initialize(self.network, initialization, seed)
        self.network.to(self.device)
        self.history = {"loss": [], "learning_rate": [], "evaluations": [], "seconds": []}
        self.finished = True

    def load_pretrained_model(self, path=WEIGHTS) -> None:
        """Read weights, by default `bestmodel.pth` from beside this module.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, or holds something else than this network's weights.
        """
        weights = load_file(path)
        expected = {name: value.shape for name, value in self.network.state_dict().items()}
        if not isinstance(weights, dict) or expected != {
            name: getattr(value, "shape", None) for name, value in weights.items()
        }:
            raise ValueError(f"{path} does not hold the weights of this network")
        self.network.load_state_dict(weights)

    def train(
        self,
        train_input,
        train_target,
        num_epochs,
        batch_size=50,
        hybrid=True,
        optimizer="momAGD",
        learning_rate=0.05,
        final_learning_rate=0.0,
        momentum=0.9,
        crop=None,
        flips=FLIPS,
        flip_fraction=0.5,
        swap=True,
        seed=0,
        progress=True,
        checkpoint=None,
        resume=None,
        deadline=None,
    ) -> None:
        """Train on pairs of noisy images, going on from the present weights.

        Every random choice follows from `seed` and the number of steps in `history`. Ctrl-C ends the
        training after the step under way; a second one ends it at once.

        Args:
            train_input, train_target: two noisy versions of the same images, (N, 3, H, W), values 0 to
                255, uint8 or any other real dtype. They are converted to float batch by batch.
            num_epochs: passes over the pairs.
            batch_size: pairs in a step. Going on from the shipped weights with 2,000 pairs cost 0.11 dB with
                16, and 0.03 dB with 50 and with 100.
            hybrid: take the first 5 iterations with L-BFGS, the rest with `optimizer`. An iteration of L-BFGS
                that raises the loss on the next batch is undone.
            optimizer: "SGD", "momAGD", "Nesterov", "ADAM" or "L-BFGS". The learning rate is momAGD's; ADAM
                wants 0.001.
            learning_rate: at the first step; it falls linearly
            final_learning_rate: to this one at the end. Equal: it is constant.
            momentum: of momAGD and Nesterov, and the first of ADAM's two.
            crop: side in pixels of a random square that is cut out of each pair, a new one in
                every pass. None: whole images.
            flips: which of "vertical", "horizontal" and "transpose" (square images only).
            flip_fraction: the share of pairs that undergoes each flip, drawn anew in every pass.
            swap: let input and target change places in half of the pairs: both are noisy alike.
            seed: of all random choices. PyTorch's global random state is left alone.
            progress: show loss and time left.
            checkpoint: file to write every 5 minutes and at the end, however it comes.
            resume: checkpoint to go on from, with the same pairs and settings; the result is that of
                a training without interruption. The present weights are replaced.
            deadline: minutes after which to stop; see `finished`.

        Raises:
            TypeError, ValueError: an argument is not as described; nothing has changed.
            FileNotFoundError: `resume` does not exist.
            KeyboardInterrupt: Ctrl-C; weights, history and checkpoint are those after the last step.
        """
        settings = dict(
            num_epochs=num_epochs, batch_size=batch_size, hybrid=bool(hybrid), optimizer=optimizer,
            learning_rate=learning_rate, final_learning_rate=final_learning_rate, momentum=momentum,
            crop=crop, flips=list(flips), flip_fraction=flip_fraction, swap=bool(swap), seed=seed,
        )  # fmt: skip
        check_training(train_input, train_target, settings)
        num_pairs, image_size = len(train_input), tuple(train_input.shape[2:])
        steps_per_epoch = math.ceil(num_pairs / batch_size)
        num_steps = num_epochs * steps_per_epoch
        settings["shape"] = list(train_input.shape)
        settings["pixels"] = [sum_of_pixels(images) for images in (train_input, train_target)]
        first_step = len(self.history["loss"])  # of this call, counted over all calls
        saved = load_checkpoint(resume, settings) if resume else None
        if saved:
            self.network.load_state_dict(saved["network"])
            self.history, first_step = saved["history"], saved["first_step"]
        history = self.history
        start = time.monotonic() - (history["seconds"][-1] if len(history["loss"]) > first_step else 0)
        method, plan, previous_save = None, None, time.monotonic()
        stop_at = math.inf if deadline is None else time.monotonic() + 60 * deadline

        def batch_at(plan, batch):
            rows = slice(batch * batch_size, (batch + 1) * batch_size)
            return make_batch(train_input, train_target, plan, rows, crop, flips, swap, self.device)

        def save():
            if checkpoint:
                save_file(
                    dict(
                        settings=settings, network=self.network.state_dict(), history=history, first_step=first_step,
                        method=method, optimizer=stepper.state_dict() if method else None,
                    ),
                    checkpoint,
                )  # fmt: skip

        done = len(history["loss"]) - first_step
        with torch.enable_grad(), interruptible() as interrupted, show(progress, done, num_steps) as report:
            self.network.train()
            for step in range(done, num_steps):
                epoch, batch = divmod(step, steps_per_epoch)
                if plan is None or batch == 0:
                    plan = plan_epoch(num_pairs, image_size, crop, flip_fraction, seed + first_step + epoch)
                noisy, target = batch_at(plan, batch)

                wanted = "L-BFGS" if hybrid and step < LBFGS_ITERATIONS else optimizer
                if wanted != method:
                    method = wanted
                    stepper = OPTIMIZERS[method](self.network.parameters(), learning_rate, momentum)
                    if saved and saved["method"] == method:
                        stepper.load_state_dict(saved["optimizer"])
                    saved = None
                rate = learning_rate + (final_learning_rate - learning_rate) * step / num_steps
                for group in stepper.param_groups:
                    group["lr"] = rate
                guard = nullcontext()
                if hybrid and step < LBFGS_ITERATIONS:
                    guard = undone_if_worse(self.network, stepper, *batch_at(plan, (batch + 1) % steps_per_epoch))
                with guard:
                    loss, evaluations = take_step(self.network, stepper, noisy, target)
                now = time.monotonic()
                history["loss"].append(loss)
                history["learning_rate"].append(rate)
                history["evaluations"].append(evaluations)
                history["seconds"].append(now - start)
                report(loss)
                if interrupted() or now > stop_at:
                    break
                if now - previous_save > 60 * CHECKPOINT_MINUTES:
                    save()
                    previous_save = now
            self.network.eval()
            self.finished = len(history["loss"]) - first_step == num_steps
            save()
        if interrupted() and not self.finished:
            raise KeyboardInterrupt

    def predict(self, test_input, average=True, progress=False) -> torch.Tensor:
        """Denoise images of any size. Neither the input nor a training under way is changed.

        Args:
            test_input: (N, 3, H, W), values 0 to 255, uint8 or any other real dtype.
            average: take the mean over the 8 flips and rotations of the input, for 8 times the work;
                +0.12 dB. False: one pass.
            progress: show the progress, for large images.

        Returns:
            float32 tensor (N, 3, H, W), values 0 to 255, on the device of the model.

        Raises:
            TypeError, ValueError: `test_input` is not as described.
        """
        check_images("test_input", test_input)
        output = torch.empty(test_input.shape, dtype=torch.float32, device=self.device)
        pieces = list(tiles(*test_input.shape))
        was_training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad(), show(progress, 0, len(pieces)) as report:
                for images, outer, inner, result in pieces:
                    piece = test_input[images][outer].to(self.device).to(torch.float32) / 255
                    piece = self._denoise(piece, average) * 255
                    output[images][result] = piece[inner].clamp_(0, 255)
                    report()
        finally:
            self.network.train(was_training)
        return output

    def _denoise(self, images, average):
        """One pass, or the mean over the 8 symmetries of the square. (n, 3, h, w), values 0 to 1."""
        if not average:
            return forward(self.network, images)
        total = torch.zeros_like(images)
        for transposed in (False, True):
            for dimensions in ((), (-1,), (-2,), (-2, -1)):
                turned = images.flip(dimensions)
                turned = turned.transpose(-1, -2) if transposed else turned
                turned = forward(self.network, turned.contiguous())
                turned = turned.transpose(-1, -2) if transposed else turned
                total += turned.flip(dimensions)
        return total / 8


# --------------------------------------------------------------------------------------------
# Large images, checks, files, progress
# --------------------------------------------------------------------------------------------


def tiles(number, _, height, width):
    """Cut a batch into pieces of at most about `MAX_PIXELS` that together give the whole, without seams.

    Yields:
        four indices: the images; rows and columns of the input, with a halo where the image goes
        on; those of the piece's result that are right; and where they belong in the output.
    """
    side = math.isqrt(MAX_PIXELS)
    step_y, step_x = (height, width) if height * width <= MAX_PIXELS else (side, side)
    at_once = max(MAX_PIXELS // (step_y * step_x), 1)
    for first in range(0, number, at_once):
        for y in range(0, height, step_y):
            for x in range(0, width, step_x):
                top, left = max(y - HALO, 0), max(x - HALO, 0)
                bottom, right = min(y + step_y, height), min(x + step_x, width)
                yield (
                    slice(first, first + at_once),
                    (..., slice(top, bottom + HALO), slice(left, right + HALO)),
                    (..., slice(y - top, bottom - top), slice(x - left, right - left)),
                    (..., slice(y, bottom), slice(x, right)),
                )


def check_images(name, images):
    """Raise unless `images` are finite real numbers of shape (N, 3, H, W); warn if they seem to be in [0, 1]."""
    if not isinstance(images, torch.Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(images).__name__}")
    if images.is_complex() or images.dtype == torch.bool:
        raise TypeError(f"{name} must hold integers or floats, got {images.dtype}")
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(f"{name} must have shape (N, 3, H, W), none of them 0, got {tuple(images.shape)}")
    if images.is_floating_point():
        if not torch.isfinite(images).all():
            raise ValueError(f"{name} must be finite, got NaN or infinite values")
        if images.max() <= 1:
            warnings.warn(f"{name} should have values 0 to 255, its maximum is {float(images.max()):.3g}", stacklevel=3)


def check_training(train_input, train_target, settings):
    """Raise unless the arguments of `Model.train` are as its docstring says."""
    check_images("train_input", train_input)
    check_images("train_target", train_target)
    if train_input.shape != train_target.shape:
        expected, got = tuple(train_input.shape), tuple(train_target.shape)
        raise ValueError(f"train_target must have the shape of train_input, {expected}, got {got}")
    for name in ("num_epochs", "batch_size"):
        check_positive(name, settings[name])
    for name, highest in (
        ("learning_rate", math.inf),
        ("final_learning_rate", math.inf),
        ("momentum", 1),
        ("flip_fraction", 1),
    ):
        check_range(name, settings[name], highest)
    check_choice("optimizer", settings["optimizer"], OPTIMIZERS)
    for flip in settings["flips"]:
        check_choice("flips", flip, FLIPS)
    if settings["crop"] is not None:
        check_positive("crop", settings["crop"])
        if settings["crop"] > min(train_input.shape[2:]):
            raise ValueError(f"crop must not exceed the images' size, got {settings['crop']}")


def check_positive(name, value):
    """Raise unless `value` is a positive integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a positive integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value}")


def check_range(name, value, highest):
    """Raise unless `value` is a number from 0 to `highest`."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not 0 <= value <= highest or value == math.inf:
        raise ValueError(f"{name} must be from 0 to {highest}, got {value}")


def check_choice(name, value, choices):
    """Raise unless `value` is among `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def load_file(path):
    """What `torch.save` wrote to `path`: tensors, numbers and containers, no code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or not such a file.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except OSError:
        raise
    except Exception as error:  # damaged pickles raise nearly everything
        raise ValueError(f"{path} is damaged or not a file of tensors ({type(error).__name__})") from error


def save_file(value, path):
    """`torch.save` under a temporary name, then rename: `path` is never half a file."""
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        with open(temporary, "wb") as file:  # a file object, so that its name is not among the bytes
            torch.save(value, file)
        temporary.replace(path)
    finally:
        if temporary.exists():
            temporary.unlink()


def sum_of_pixels(images):
    """A number that tells training sets apart; part by part, since the sum makes a float64 copy."""
    return sum(int(part.sum(dtype=torch.float64)) for part in images.split(1000))


def load_checkpoint(path, settings):
    """The checkpoint that `train` wrote, if it belongs to a training with these settings."""
    saved = load_file(path)
    if not isinstance(saved, dict) or "settings" not in saved:
        raise ValueError(f"{path} is not a checkpoint")
    for name, value in settings.items():
        if saved["settings"].get(name) != value:
            raise ValueError(
                f"resume: {path} was written with another {name}: {saved['settings'].get(name)}, here it is {value}"
            )
    return saved


@contextmanager
def interruptible():
    """Hold back the first Ctrl-C; yields a function that tells whether there was one."""
    caught = []

    def hold(*_):
        if caught:
            raise KeyboardInterrupt
        caught.append(True)
        print("\nstopping after this step; Ctrl-C again stops at once", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield lambda: False
        return
    previous = signal.signal(signal.SIGINT, hold)
    try:
        yield lambda: bool(caught)
    finally:
        signal.signal(signal.SIGINT, previous or signal.SIG_DFL)


@contextmanager
def show(progress, done, total, label="", every=30.0):
    """Yield a function to call after each of `total` steps, with the loss if there is one.

    It draws tqdm's bar, or where tqdm is missing a line every 30 seconds.
    """
    if not progress:
        yield lambda loss=None: None
        return
    bar = tqdm(initial=done, total=total, desc=label or None) if tqdm else None
    count, mean, start, shown = 0, None, time.monotonic(), time.monotonic()

    def report(loss=None):
        nonlocal count, mean, shown
        count, now = count + 1, time.monotonic()
        if loss is not None:
            mean = loss if mean is None else 0.98 * mean + 0.02 * loss
        text = "" if mean is None else f"loss {mean:.5f}"
        if bar:
            bar.set_postfix_str(text, refresh=False)
            bar.update()
        elif now - shown > every or done + count == total:
            shown = now
            left = (now - start) / count * (total - done - count) / 60
            print(f"{label} {done + count} of {total}, {left:.1f} minutes left {text}".strip(), file=sys.stderr)

    try:
        yield report
    finally:
        if bar:
            bar.close()
