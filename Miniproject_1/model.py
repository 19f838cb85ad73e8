"""Noise2Noise: an image denoiser trained on pairs of noisy images alone. Its interface is `Model`, below.

Network, initializations, flips and hybrid training loop are by Brown, Briand and de Schoulepnikoff, "Noise2Noise model"
(2022), here "Brown et al."; the idea is by Lehtinen et al., https://arxiv.org/abs/1803.04189: if the noise of the
target is independent of the input and zero in the mean, the squared error is least where that against clean targets is.
`others/fast.py` makes a CPU faster. The weights have 26.35 dB (noisy: 21.03), mean PSNR of 1,000 unseen images."""

import importlib.util
import math
import operator
import sys
import time
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

try:  # by its path: in a process with several projects, the name `others` may be another project's
    _spec = importlib.util.spec_from_file_location(__name__ + "_fast", Path(__file__).with_name("others") / "fast.py")
    fast = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(fast)
except (ImportError, OSError):
    fast = None
keep_memory, near = (fast.keep_memory, fast.near) if fast else (lambda size: nullcontext(), lambda images, _: images)

WEIGHTS = Path(__file__).resolve().parent / "bestmodel.pth"
INITIALIZATIONS = ("default", "default positive", "xavier", "xavier positive", "masked xavier", "zeros")
FLIPS = {"vertical": lambda x: x.flip(2), "horizontal": lambda x: x.flip(3), "transpose": lambda x: x.transpose(2, 3)}
OPTIMIZERS = {  # functions of parameters, learning rate and momentum; without its line search L-BFGS diverges
    "momAGD": lambda p, lr, momentum: torch.optim.SGD(p, lr, momentum),
    "ADAM": lambda p, lr, momentum: torch.optim.Adam(p, lr, (momentum, 0.999)),
    "L-BFGS": lambda p, lr, _: torch.optim.LBFGS(p, lr, LBFGS_STEPS, history_size=20, line_search_fn="strong_wolfe"),
}
HISTORY = ("loss", "learning_rate", "evaluations", "seconds")
LBFGS_ITERATIONS, LBFGS_STEPS = 5, 20  # of the hybrid training loop; quasi-Newton steps in one of them
USUAL, EXPLODED = 10, 1000  # times the lowest running mean of the loss: weights are good; training has gone wrong
LOWEST_LOSS, ROLLBACKS = 1e-4, 5  # counts for all losses below it; returns to good weights before training gives up
BFLOAT16_CHANNELS = 64  # on both sides, from which a convolution is computed in bfloat16: 99.9 % of all arithmetic
HALO, MAX_PIXELS = 5, 192 * 192  # pixels around it that an output pixel depends on; of feature maps at once on a CPU
LARGEST_VALUE, LARGEST_SEED = 1e6, 2**62  # pixels far above it overflow in the network; seeds that PyTorch takes


def build_network():
    """Appendix A of Brown et al., all layers: (N, 3, H, W) to (N, 3, H, W), values 0 to 1."""
    like = dict(device="cpu", dtype=torch.float32)  # whatever another module has set as the default
    conv, deconv = (partial(kind, kernel_size=2, padding=1, **like) for kind in (nn.Conv2d, nn.ConvTranspose2d))
    norm, relu = partial(nn.BatchNorm2d, **like), partial(nn.ReLU, inplace=True)
    with torch.random.fork_rng(devices=[]):  # the draws of these constructors are replaced by `initialize`
        return nn.Sequential(
            conv(3, 64), relu(), conv(64, 64), relu(),  # (N, 64, H + 1, W + 1), (N, 64, H + 2, W + 2): the encoder
            conv(64, 128), norm(128), relu(), conv(128, 256), norm(256), nn.ReLU(),  # H + 3, H + 4
            conv(256, 512), deconv(512, 256), norm(256), relu(),  # (N, 512, H + 5, W + 5), (N, 256, H + 4, W + 4)
            deconv(256, 128), norm(128), relu(), deconv(128, 64), relu(),  # H + 3, H + 2: the decoder
            deconv(64, 64), relu(), deconv(64, 3),  # (N, 64, H + 1, W + 1), (N, 3, H, W)
        )  # fmt: skip


def prepare(network, training):
    """The network as steps for `forward`: convolutions (kernel, bias, padding, BatchNorm, ReLU before), other modules.
    A transposed convolution is an ordinary one. Layers 10 and 11, of kernels c (M, I, 2, 2) and t (M, O, 2, 2), are one
    with K[o, i, d] = sum of t[m, o, k] c[m, i, l] over m and all k, l with l - k = d: a third less arithmetic. In
    training mode gradients flow to the parameters; otherwise BatchNorm is folded into kernels that are a copy."""
    layers, steps = [*network, None], []
    while layers[0] is not None:
        layer = layers.pop(0)
        if not isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            steps.append(layer)
            continue
        relu = bool(steps) and isinstance(steps[-1], nn.ReLU) and bool(steps.pop())
        kernel, bias, padding = layer.weight, layer.bias, layer.padding[0]
        if isinstance(layer, nn.ConvTranspose2d):
            kernel, padding = kernel.transpose(0, 1).flip(2, 3), kernel.shape[2] - 1 - padding
        elif isinstance(layers[0], nn.ConvTranspose2d) and layer.padding == layers[0].padding == (1, 1):
            t, shift = layers.pop(0).parameters()
            bias = shift + torch.einsum("mokl,m->o", t, bias)
            taps = torch.einsum("mokl,mipq->klopqi", t, kernel).flatten(0, 1).permute(0, 1, 4, 2, 3)  # (4, O, I, 2, 2)
            kernel = sum(F.pad(tap, (1 - n % 2, n % 2, 1 - n // 2, n // 2)) for n, tap in enumerate(taps))  # O, I, 3, 3
        norm = layers.pop(0) if isinstance(layers[0], nn.BatchNorm2d) else None
        if not training:
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps) if norm else torch.ones_like(bias)  # (O,)
            bias = (bias - norm.running_mean) * scale + norm.bias if norm else bias.clone()
            kernel, bias = (kernel * scale[:, None, None, None]).detach(), bias.detach()
        steps.append((kernel, bias, padding, norm if training else None, relu))
    return steps


def forward(network, images, training, bfloat16=False):
    """`network(images)`, for Appendix A or a variant of it, sooner: (N, 3, H, W), values 0 to 1. `network` may be what
    `prepare` made of it. The mode is `training`, not the module's. `bfloat16`: in all but the outer convolutions."""
    steps = network if isinstance(network, list) else prepare(network, training)
    winograd = fast and images.device.type == "cpu"
    features = images if images.device.type == "mps" else images.contiguous(memory_format=torch.channels_last)
    for step in steps:
        if isinstance(step, nn.Module):
            features = step(features)
            continue
        kernel, bias, padding, norm, relu = step
        dtype = torch.bfloat16 if bfloat16 and min(kernel.shape[:2]) >= BFLOAT16_CHANNELS else images.dtype
        features = (F.relu_(features) if relu and not winograd else features).to(dtype)
        convolution = partial(fast.conv2d, relu=relu) if winograd else F.conv2d
        kernel, bias = (each if winograd else each.to(dtype) for each in (kernel, bias))  # fast adds up in float32
        features = convolution(features, kernel, bias, padding=padding)
        if norm:
            norm.num_batches_tracked += 1
            options = norm.running_mean, norm.running_var, norm.weight, norm.bias, True, norm.momentum, norm.eps
            features = getattr(norm, "batch_norm", F.batch_norm)(features, *options)  # others/training has another
    return features.to(images.dtype)


def initialize(network, name="masked xavier", seed=0):
    """Draw all convolutions anew, and reset the BatchNorms; PyTorch's random state is left alone. Of Brown et al.:
    "default", PyTorch's own, is uniform within 1 over the root of the fan-in; "xavier" is that of Glorot and Bengio
    (2010), biases zero; "positive" sets negative values to zero, with which outputs are near 600 and momAGD diverges.
    "masked xavier" keeps a Xavier draw where another is positive: as many zeros, both signs."""
    check_choice("initialization", name, INITIALIZATIONS)
    generator = torch.Generator().manual_seed(check_number("seed", seed, 0, LARGEST_SEED, whole=True))
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
        for parameter in (layer.weight, layer.bias) if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) else ():
            fan_in, fan_out = layer.weight[0].numel(), layer.weight[:, 0].numel()  # the same for a transposed kernel
            bound = math.sqrt(6 / (fan_in + fan_out)) * (parameter is layer.weight and name != "zeros")
            bound = 1 / math.sqrt(fan_in) if "default" in name else bound
            draw = partial(torch.empty(parameter.shape, dtype=torch.float32, device="cpu").uniform_, -bound, bound)
            values = (draw(generator=generator) > 0 if "masked" in name else 1) * draw(generator=generator)
            parameter.data.copy_(values.clamp_(min=0) if "positive" in name else values)


class Pairs:
    """The batches of a training on two tensors of images, with arguments as in `Model.train`. `pairs(step)` is one, two
    tensors (B, 3, H, W), values 0 to 255, a function of `seed` and the number of the step alone; `share` indexes those
    wanted of it; `len(pairs)` is how many a pass has. Any function like it can take its place in a `Training`."""

    def __init__(self, train_input, train_target, batch_size=50, flips=(*FLIPS,), flip_fraction=0.5, swap=True, seed=0):
        self.images = check_images("train_input", train_input), check_images("train_target", train_target)
        if train_input.shape != train_target.shape:
            raise ValueError(f"train_target must have the shape of train_input, got {tuple(train_target.shape)}")
        self.batch_size = check_number("batch_size", batch_size, 1, whole=True)
        self.flips = [check_choice("flips", flip, FLIPS) for flip in ([flips] if flips is None else flips)]
        self.flip_fraction = check_number("flip_fraction", flip_fraction, 0, 1)
        self.swap, self.seed = bool(swap), check_number("seed", seed, 0, LARGEST_SEED, whole=True)

    def __len__(self):
        return -(-len(self.images[0]) // self.batch_size)

    def __call__(self, step, share=...):
        epoch, batch = divmod(step, len(self))
        generator = torch.Generator().manual_seed(self.seed + epoch)
        rows = torch.randperm(len(self.images[0]), generator=generator, device="cpu").split(self.batch_size)[batch]
        pairs = [images[rows[share].to(images.device)] for images in self.images]  # two of (B, 3, H, W)
        generator.manual_seed(self.seed + 1_000_003 * (step + 1))
        like = dict(generator=generator, dtype=torch.float32, device="cpu")
        *chances, swap = torch.rand(len(self.flips) + 1, len(rows), 1, 1, 1, **like)[:, share].to(pairs[0].device)
        for name, chance in zip(self.flips, chances):
            if name != "transpose" or pairs[0].shape[2] == pairs[0].shape[3]:
                pairs = [torch.where(chance < self.flip_fraction, FLIPS[name](images), images) for images in pairs]
        swap = swap < 0.5 * self.swap
        return torch.where(swap, pairs[1], pairs[0]), torch.where(swap, pairs[0], pairs[1])


class Training(Iterator):
    """A training between two steps: `next()` takes one; in between it can be saved, watched, moved. `network`, changed
    in place, is an `nn.Sequential` of convolutions, BatchNorms, ReLUs and the like; `pairs` a function like `Pairs`;
    `decay` the share of the steps, at the end, in which the rate falls, or a function of a step: the share of the rate
    it takes; `loss` a function of output and target; all else as in `Model.train`. When the loss is NaN or a thousand
    times the usual, `restore` returns to the last good weights, and the rate is halved, five times at most."""

    def __init__(self, network, pairs, num_steps, hybrid=True, optimizer="momAGD", learning_rate=0.05,
                 final_learning_rate=0.0, decay=1.0, momentum=0.9, precision="auto", loss=F.mse_loss):  # fmt: skip
        self.num_steps = check_number("num_steps", num_steps, 1, whole=True)
        self.first_rate = check_number("learning_rate", learning_rate, 0)
        self.last_rate = check_number("final_learning_rate", final_learning_rate, 0)
        self.decay = decay if callable(decay) else check_number("decay", decay, 0, 1)
        self.pairs, self.loss, self.momentum = pairs, loss, check_number("momentum", momentum, 0, 1)
        self.network, self.device, self.hybrid = network, next(network.parameters()).device, hybrid
        self.bfloat16 = in_bfloat16(precision, self.device)
        self.main = optimizer if callable(optimizer) else OPTIMIZERS[check_choice("optimizer", optimizer, OPTIMIZERS)]
        self.start_optimizer(False)  # now, so that what it refuses is refused before anything changes
        self.history, self.good = {name: [] for name in HISTORY}, deepcopy(network.state_dict())
        self.optimizer, self.mean, self.lowest, self.rollbacks = None, None, math.inf, 0

    def __next__(self):
        """Take a step; returns the loss before it, its learning rate, and how often it computed the gradient."""
        step, start = len(self.history["loss"]), time.monotonic()
        if step >= self.num_steps:
            raise StopIteration
        left = self.decay(step) if callable(self.decay) else (1 - step / self.num_steps) / max(self.decay, 1e-9)
        rate = (self.last_rate + (self.first_rate - self.last_rate) * min(left, 1)) / 2**self.rollbacks
        try:
            with own_settings(self.device, gradients=True):
                weights, batch = {n: v.clone() for n, v in self.network.state_dict().items()}, self.pairs(step)
                loss, evaluations = self.take_step(step, rate, batch)
                self.watch(loss, weights)
                if step + 1 == self.num_steps:  # no later step will see these weights
                    self.watch(self.loss_of(batch, training=False).item(), deepcopy(self.network.state_dict()))
        except BaseException:
            self.restore()
            raise
        seconds = time.monotonic() - start + (self.history["seconds"][-1] if step else 0)
        for name, value in zip(HISTORY, (loss, rate, evaluations, seconds)):
            self.history[name].append(value)
        return loss, rate, evaluations

    def loss_of(self, batch, training=True):
        noisy, target = (images.to(self.device).to(torch.float32) / 255 for images in batch)
        bfloat16 = self.bfloat16 and not isinstance(self.optimizer, torch.optim.LBFGS)  # which subtracts gradients
        return self.loss(forward(self.network, noisy, training, bfloat16), target)

    def start_optimizer(self, in_hybrid):
        start, self.in_hybrid = OPTIMIZERS["L-BFGS"] if in_hybrid else self.main, in_hybrid
        self.optimizer = start(list(self.network.parameters()), self.first_rate, self.momentum)

    def take_step(self, step, rate, batch):
        """Loss and gradient evaluations of a step. L-BFGS sees one batch alone, and its 20 steps can fit the weights to
        it: in the hybrid loop, an iteration that raises the loss on the next batch is undone."""
        in_hybrid, losses = self.hybrid and step < LBFGS_ITERATIONS, []
        if self.optimizer is None or in_hybrid != self.in_hybrid:
            self.start_optimizer(in_hybrid)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

        def closure():
            self.optimizer.zero_grad()
            losses.append(self.loss_of(batch))
            losses[-1].backward()
            return losses[-1].detach()

        if in_hybrid:
            weights, unseen = deepcopy(self.network.state_dict()), self.pairs(step + 1)
            before = self.loss_of(unseen).item()
        self.optimizer.step(closure)
        if in_hybrid and not self.loss_of(unseen).item() < before:  # also where it is NaN
            self.network.load_state_dict(weights)
            self.optimizer = None  # and the curvature found on the way
        return losses[0].item(), len(losses)

    def watch(self, loss, weights):
        """`weights` had this loss: remember them if they are good, return to the last good ones if it has exploded."""
        if loss <= EXPLODED * self.lowest and loss < math.inf:
            if loss <= USUAL * self.lowest and torch.cat([*map(torch.flatten, weights.values())]).sum().isfinite():
                self.good = weights
            self.mean = loss if self.mean is None else 0.9 * self.mean + 0.1 * loss
            self.lowest = max(min(self.lowest, self.mean), LOWEST_LOSS)
            return
        self.restore()
        self.rollbacks += 1
        if self.rollbacks > ROLLBACKS:
            raise FloatingPointError(f"the loss rose to {loss:.3g} again; the model has the last good weights")

    def restore(self):
        self.network.load_state_dict(self.good)
        self.optimizer = None

    def state_dict(self):
        """All that continuing needs, as tensors, numbers and containers of them."""
        state = {name: getattr(self, name) for name in ("history", "good", "mean", "lowest", "rollbacks", "in_hybrid")}
        optimizer = self.optimizer and self.optimizer.state_dict()
        return deepcopy(dict(training=state, network=self.network.state_dict(), optimizer=optimizer))

    def load_state_dict(self, state):
        """Continue from the `state_dict` of a training with the same arguments."""
        self.network.load_state_dict(state["network"])
        self.__dict__.update(deepcopy(state["training"]), optimizer=None)
        if state["optimizer"]:
            self.start_optimizer(self.in_hybrid)
            self.optimizer.load_state_dict(state["optimizer"])


class Model:
    """The denoiser: `network`, the `nn.Sequential` of Appendix A, is trained by `train` and used by `predict`.
    `initialization`, `seed`: as in `initialize`; then the last bias begins at 0.5, so that a fresh model predicts
    mid-grey (Brown et al. and the study begin at what is drawn). `device`: "cpu", "cuda:1"; None: a GPU if there.
    `history`: each step's "loss" (values 0 to 1), "learning_rate", "evaluations" of the gradient, "seconds" so far."""

    def __init__(self, initialization="masked xavier", seed=0, device=None) -> None:
        with own_settings(torch.device("cpu"), gradients=True):  # tensors made in inference mode cannot be trained
            self.network = build_network().eval()
            initialize(self.network, initialization, seed)
            self.network[-1].bias.data.fill_(0.5)
            self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            self.network.to(self.device)
        self.history = {name: [] for name in HISTORY}

    def load_pretrained_model(self, path=WEIGHTS) -> None:
        """Read weights as of `torch.save(network.state_dict(), path)`, also of `nn.DataParallel` or in a dict under
        "state_dict" or "network". FileNotFoundError; ValueError if damaged, or no usable weights of this network."""
        weights, expected = load_file(path), self.network.state_dict()
        for name in ("state_dict", "network", ""):
            weights = weights.get(name, weights) if isinstance(weights, dict) else {}
        weights = {str(name)[7 * str(name).startswith("module.") :]: value for name, value in weights.items()}
        kinds = [{n: torch.is_tensor(v) and (v.shape, v.is_floating_point()) for n, v in each.items()}
                 for each in (weights, expected)]  # fmt: skip
        if kinds[0] != kinds[1]:
            raise ValueError(f"{path} does not hold the weights of this network")
        if not all(torch.isfinite(v).all() and (v.min() >= 0 or "var" not in name) for name, v in weights.items()):
            raise ValueError(f"{path} holds weights that are not finite, or negative variances")
        self.network.load_state_dict(weights)

    def train(self, train_input, train_target, num_epochs, hybrid=True, batch_size=50, optimizer="momAGD",
              learning_rate=0.05, final_learning_rate=0.0, momentum=0.9, flips=tuple(FLIPS), flip_fraction=0.5,
              swap=True, precision="auto", seed=0, progress=True) -> None:  # fmt: skip
        """Train on pairs of noisy images, going on from the present weights. However it ends, by an error or Ctrl-C
        too, the weights are finite: the last with a usual loss.
        Args:
            train_input, train_target: two noisy versions of the same images, (N, 3, H, W), values 0 to 255, any real
                dtype. Values outside of that range are taken as they are, up to 1e6 on either side.
            num_epochs, batch_size: passes over the pairs, pairs in a step. Fresh weights learn sooner with 16.
            hybrid: take the first 5 steps with L-BFGS, the rest with `optimizer`.
            optimizer: a name in `OPTIMIZERS`, or a function of (parameters, learning rate, momentum).
            learning_rate, final_learning_rate, momentum: the rate falls linearly to the final one. ADAM wants 0.001.
            flips, flip_fraction: names in `FLIPS` ("transpose" for square images only), the share of pairs for each.
            swap: let input and target, which are noisy alike, change places in half of the pairs.
            precision: "float32" (on GPUs TF32, as PyTorch); "bfloat16" save for the outer layers; "auto": if built in.
            seed: of all random choices, with the length of `history`. progress: show loss and time left.
        Raises TypeError or ValueError before anything changes, FloatingPointError if training went wrong six times."""
        seed = check_number("seed", seed, 0, LARGEST_SEED, whole=True) + len(self.history["loss"])
        pairs = Pairs(train_input, train_target, batch_size, flips, flip_fraction, swap, seed)
        pairs.images = [near(images, self.device) for images in pairs.images]
        steps = check_number("num_epochs", num_epochs, 1, whole=True) * len(pairs)
        training = Training(self.network, pairs, steps, hybrid, optimizer, learning_rate, final_learning_rate,
                            momentum=momentum, precision=precision)  # fmt: skip
        try:
            with keep_memory(batch_size * train_input[0].numel()):
                for _ in track(training, steps, progress, text="loss {0[0]:.5f}, learning rate {0[1]:.2g}".format):
                    pass
        finally:
            if len(training.history["loss"]) < steps:
                training.restore()
            self.history = {name: values + training.history[name] for name, values in self.history.items()}

    def predict(self, test_input, average=True, progress=False, precision="float32") -> torch.Tensor:
        """Denoise images of any size: (N, 3, H, W), values 0 to 255, any real dtype, to float32 of that shape and range
        on the model's device. Threads may predict at once, also while another trains. `average`: the mean over 8 flips
        and rotations, 8 times the work, +0.06 dB. `precision`: as in `train`; bfloat16 is within 0.002 dB."""
        images, bfloat16 = check_images("test_input", test_input), in_bfloat16(precision, self.device)
        limit, turns = MAX_PIXELS * (8 if self.device.type == "cuda" else 1), 8 if average else 1
        pieces = list(tiles(limit, *images.shape))
        with own_settings(self.device, gradients=False), keep_memory(images.numel()):
            steps = prepare(self.network, training=False)
            output = torch.empty(images.shape, dtype=torch.float32, device=self.device)
            for rows, outer, inner, result in track(pieces, len(pieces), progress):
                piece = images[rows][outer].to(self.device).to(torch.float32) / 255
                total = torch.zeros_like(piece)
                for turn in range(turns):  # by 90 degrees; from 4 on mirrored
                    turned = (piece.flip(3) if turn > 3 else piece).rot90(turn, (2, 3)).contiguous()
                    turned = forward(steps, turned, False, bfloat16).rot90(-turn, (2, 3))
                    total += turned.flip(3) if turn > 3 else turned
                output[rows][result] = (total[inner] * (255 / turns)).clamp_(0, 255)
        return output


def tiles(limit, number, _, height, width):
    """Cut a batch into pieces whose feature maps have at most `limit` pixels. Four indices of each: the images; rows
    and columns of the input, with a halo where it goes on; those of the result that are right; where they belong."""
    side = math.isqrt(limit) - 3 * HALO
    at_once = limit // ((min(height, side + 2 * HALO) + HALO) * (min(width, side + 2 * HALO) + HALO))
    for first in range(0, number, at_once):
        for y in range(0, height, side):
            for x in range(0, width, side):
                top, left, bottom, right = max(y - HALO, 0), max(x - HALO, 0), y + side, x + side
                outer = ..., slice(top, bottom + HALO), slice(left, right + HALO)
                inner = ..., slice(y - top, bottom - top), slice(x - left, right - left)
                yield slice(first, first + at_once), outer, inner, (..., slice(y, bottom), slice(x, right))


def check_images(name, images):
    """The images, detached. An error unless they are finite real numbers (N, 3, H, W); a warning if hardly 0 to 255."""
    if not isinstance(images, torch.Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(images).__name__}")
    if images.is_complex() or images.is_quantized or images.dtype == torch.bool or images.layout != torch.strided:
        raise TypeError(f"{name} must be a dense tensor of integers or floats, got {images.dtype}, {images.layout}")
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(f"{name} must have shape (N, 3, H, W), none of them 0, got {tuple(images.shape)}")
    images = images.detach() if images.dtype == torch.uint8 else images.detach().to(torch.float32)
    lowest, highest = images.min().item(), images.max().item()
    text = f"values 0 to 255, got {lowest:.3g} to {highest:.3g}"
    if not -LARGEST_VALUE <= lowest <= highest <= LARGEST_VALUE:
        raise ValueError(f"{name} must be finite, with {text}")
    if images.dtype != torch.uint8 and (highest <= 16 or lowest < -255 or highest > 510):  # not even with noise
        warnings.warn(f"{name} should have {text}; they are taken as they are", stacklevel=3 + (name != "test_input"))
    return images


def check_number(name, value, lowest, highest=math.inf, whole=False):
    """The value as an int or a float. An error unless it is one, finite, from `lowest` to `highest`."""
    text = f"{name} must be {'an integer' if whole else 'a number'} from {lowest} to {highest}, got {value!r}"
    with suppress(TypeError, ValueError):
        value = value if isinstance(value, (bool, str)) else operator.index(value) if whole else float(value)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise TypeError(text)
    if not lowest <= value <= highest or value == math.inf:
        raise ValueError(text)
    return value


def check_choice(name, value, choices):
    """The value. An error unless it is among the names."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def in_bfloat16(precision, device):
    """Whether this precision is bfloat16; "auto": if `fast.py` and PyTorch find that the hardware multiplies it."""
    auto = check_choice("precision", precision, ("auto", "float32", "bfloat16")) == "auto"
    return precision == "bfloat16" or (auto and fast is not None and fast.multiplies_bfloat16(device))


def load_file(path, **options):
    """What `torch.save` wrote to `path`: tensors, numbers and containers, no code; options of `torch.load`. Raises
    FileNotFoundError, ValueError."""
    try:
        with open(str(path), "rb") as file, warnings.catch_warnings(), torch.inference_mode(False):
            warnings.simplefilter("ignore")  # some versions of PyTorch warn of themselves here
            if zipfile.is_zipfile(file) and zipfile.ZipFile(file).testzip():
                raise ValueError("a checksum is wrong")  # PyTorch does not look at them
            return torch.load(str(path), map_location="cpu", weights_only=True, **options)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except Exception as error:  # damaged pickles raise nearly everything
        kind = "holds objects" if "nsupported glob" in str(error) or "nsupported cl" in str(error) else "is damaged"
        raise ValueError(f"{path} {kind}: it must hold tensors, as by torch.save(network.state_dict())") from error


@contextmanager
def own_settings(device, gradients):
    """Compute as PyTorch does when it starts, whatever the process has set."""
    autocast = torch.autocast(device.type, enabled=False) if device.type in ("cpu", "cuda") else nullcontext()
    default_device = torch.device("cpu") if hasattr(device, "__enter__") else nullcontext()  # from PyTorch 2.0 on
    with torch.inference_mode(False), torch.set_grad_enabled(gradients), autocast, default_device:
        yield


def track(items, total, shown=True, label="step", text=lambda item: ""):
    """Iterate over items; every 30 seconds a line on standard error says how far it is, and how long it will take."""
    start = previous = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if shown and sys.stderr and (now - previous > 30 or done == total):
            previous, left = now, (now - start) / done * (total - done) / 60
            with suppress(OSError, ValueError):  # a message that cannot be shown stops nothing
                print(label, f"{done} of {total}, {left:.1f} minutes left", text(item), file=sys.stderr, flush=True)
