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

The shipped weights score 26.39 dB (26.32 in one pass) where the noisy images have 21.03: PSNR, mean over
1,000 images from photographs that were not trained on.
"""

import math
import time
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

if not __package__:  # imported as plain `model`: then this folder is the package, whatever else is called `others`
    __path__, __package__ = [str(Path(__file__).resolve().parent)], __name__
from .others import support  # checks, files, progress
from .others.muon import Muon

try:
    from .others.fast import conv2d as fast_conv2d  # Winograd's algorithm, on a CPU
except ImportError:
    fast_conv2d = None

WEIGHTS = Path(__file__).resolve().parent / "bestmodel.pth"
FLIPS = ("vertical", "horizontal", "transpose")
LBFGS_ITERATIONS = 5  # of the hybrid training loop
LBFGS_STEPS = 20  # quasi-Newton steps within one iteration: PyTorch's default
CHECKPOINT_MINUTES = 5
HALO = 5  # pixels on each side that an output pixel depends on: 10 layers, kernel 2
MAX_PIXELS = 128 * 1024  # predicted at once; larger images are cut into tiles


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


def folded(kernel, bias, norm):
    """Kernel and bias of a convolution that does what this one and the BatchNorm after it do in eval mode."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # (O,)
    return kernel * scale[:, None, None, None], (bias - norm.running_mean) * scale + norm.bias


def conv2d(images, kernel, bias, padding):
    """`F.conv2d` in the images' type, whatever the parameters' is."""
    return F.conv2d(images, kernel.to(images.dtype), bias.to(images.dtype), padding=padding)


def forward(network, images, bfloat16=False):
    """`network(images)`, computed faster. (N, 3, H, W) to (N, 3, H, W), values 0 to 1.

    The four convolutions that a BatchNorm follows do 94 % of the arithmetic. Layers 10 and 11 are computed as one,
    layer 14 as the convolution that a transposed one is, and in eval mode BatchNorm is part of the kernels.
    With `bfloat16` these four are computed in that type.
    """
    convolution = conv2d
    if images.device.type == "cpu":
        images = images.contiguous(memory_format=torch.channels_last)
        convolution = fast_conv2d or conv2d
    features = network[:4](images)  # (N, 64, H + 2, W + 2)
    if bfloat16:
        features = features.to(torch.bfloat16)
    for kernel, bias, padding, norm in (
        (network[4].weight, network[4].bias, 1, network[5]),  # (N, 128, H + 3, W + 3)
        (network[7].weight, network[7].bias, 1, network[8]),  # (N, 256, H + 4, W + 4)
        (*merge(network[10], network[11]), 1, network[12]),  # (N, 256, H + 4, W + 4)
        (network[14].weight.transpose(0, 1).flip(2, 3), network[14].bias, 0, network[15]),  # (N, 128, H + 3, W + 3)
    ):
        if norm.training:
            features = norm(convolution(features, kernel, bias, padding))
        else:
            features = convolution(features, *folded(kernel, bias, norm), padding)
        features = F.relu_(features)
    return network[17:](features.to(images.dtype))  # (N, 3, H, W)


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
    support.check_choice("initialization", name, INITIALIZATIONS)
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


def revive(network, images, seed=0):
    """Draw anew the channels that are zero everywhere; the network computes what it did before.

    A channel whose ReLU is zero at every pixel of every image has no gradient and never comes back. Layers that
    a BatchNorm follows have none; of the other four, early steps that were too long can leave many. They get
    a Xavier draw, a bias that makes them positive at half of the pixels, and kernels of zero in the next layer,
    which training then finds use for.

    Args:
        network: from `build_network`.
        images: (N, 3, H, W), values 0 to 1, to look for channels that are zero.
        seed: of the draws; PyTorch's global random state is left alone.

    Returns:
        how many channels were drawn.
    """
    generator, number, was_training = torch.Generator().manual_seed(seed), 0, network.training
    network.eval()
    with torch.no_grad():
        for index in (0, 2, 17, 19):
            layer, following = network[index], network[index + 2]
            dead = network[: index + 1](images).amax((0, 2, 3)) <= 0
            drawn = _xavier(torch.empty(layer.weight.shape), layer, generator).to(images.device)
            _channels(layer, "out")[dead] = _channels(layer, "out", drawn)[dead]
            layer.bias[dead] -= network[: index + 1](images).transpose(0, 1).flatten(1).median(1).values[dead]
            _channels(following, "in")[dead] = 0
            number += int(dead.sum())
    network.train(was_training)
    return number


def _channels(layer, side, kernel=None):
    """The kernel with its "in" or "out" channels first, a view."""
    kernel = layer.weight if kernel is None else kernel
    return kernel if (side == "in") == isinstance(layer, nn.ConvTranspose2d) else kernel.transpose(0, 1)


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
    like = dict(generator=torch.Generator().manual_seed(seed), device="cpu")
    height, width = image_size
    plan = {"order": torch.randperm(num_pairs, **like)}
    for name, size in (("top", height), ("left", width)):
        plan[name] = torch.randint(size - (crop or size) + 1, (num_pairs,), **like)
    for flip in FLIPS:
        plan[flip] = torch.rand(num_pairs, dtype=torch.float32, **like) < flip_fraction
    plan["swap"] = torch.rand(num_pairs, dtype=torch.float32, **like) < 0.5
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
    "Muon": Muon,
    # Without a line search, steps with the curvature of the batch before bring the loss from 0.02 to 287.
    "L-BFGS": lambda parameters, lr, momentum: torch.optim.LBFGS(
        parameters, lr, max_iter=LBFGS_STEPS, history_size=LBFGS_STEPS, line_search_fn="strong_wolfe"
    ),
}


def loss_on(network, noisy, target, bfloat16=False):
    """The report's loss: mean squared error, images (N, 3, H, W) in [0, 1]; `bfloat16` as in `forward`."""
    return F.mse_loss(forward(network, noisy, bfloat16), target)


def take_step(stepper, loss_now):
    """Let an optimizer lower the loss that `loss_now` computes; the loss before it, and how often it was asked for."""
    evaluations = 0

    def closure():
        nonlocal evaluations
        evaluations += 1
        stepper.zero_grad()
        loss = loss_now()
        loss.backward()
        return loss.detach()

    return stepper.step(closure).item(), evaluations


@contextmanager
def undone_if_worse(network, stepper, unseen_loss):
    """Undo the step taken within, unless it lowers the loss on a batch that it did not see.

    Twenty L-BFGS steps see one batch alone, and can fit the weights to it.
    """
    kept = support.copy_of(network)
    with torch.no_grad():
        before = unseen_loss()
    yield
    with torch.no_grad():
        after = unseen_loss()
    if not after < before:  # also where it is NaN
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
        with torch.inference_mode(False):  # tensors made within inference mode cannot be trained, ever
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
        weights = support.load_file(path)
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
        bfloat16=False,
        seed=0,
        progress=True,
        checkpoint=None,
        resume=None,
        deadline=None,
    ) -> None:
        """Train on pairs of noisy images, going on from the present weights.

        Every random choice follows from `seed` and the number of steps in `history`. Ctrl-C ends the
        training after the step under way; a second one ends it at once. When the loss turns NaN or a
        thousand times the usual, training goes back to the last good weights and halves the learning rate.

        Args:
            train_input, train_target: two noisy versions of the same images, (N, 3, H, W), values 0 to
                255, uint8 or any other real dtype. They are converted to float batch by batch. Values
                outside of that range are taken as they are, up to 1e6 on either side.
            num_epochs: passes over the pairs.
            batch_size: pairs in a step. 50 keeps what trained weights have, 16 has cost 0.11 dB; from fresh ones
                smaller batches learn sooner (README).
            hybrid: take the first 5 iterations with L-BFGS, the rest with `optimizer`. An iteration of L-BFGS
                that raises the loss on the next batch is undone.
            optimizer: "SGD", "momAGD", "Nesterov", "ADAM", "Muon" or "L-BFGS". The learning rate is momAGD's; ADAM
                wants 0.001, and Muon (`others/muon.py`), which learnt most from an image, 0.002 and momentum 0.95.
            learning_rate: at the first step; it falls linearly
            final_learning_rate: to this one at the end. Equal: it is constant.
            momentum: of momAGD, Nesterov and Muon, and the first of ADAM's two.
            crop: side in pixels of a random square that is cut out of each pair, a new one in
                every pass. None: whole images.
            flips: which of "vertical", "horizontal" and "transpose" (square images only).
            flip_fraction: the share of pairs that undergoes each flip, drawn anew in every pass.
            swap: let input and target change places in half of the pairs: both are noisy alike.
            bfloat16: compute the four large convolutions in this type; weights and all else stay float32. A gradient
                keeps its direction to a cosine of 0.997; that of the next batch has 0.1 to 0.3. Twice as fast on a
                processor that has the type built in (measured with AVX-512 BF16).
            seed: of all random choices. PyTorch's global random state is left alone.
            progress: show loss and time left.
            checkpoint: file to write every 5 minutes and at the end, however it comes.
            resume: checkpoint to go on from, with the same pairs and settings; the result is that of
                a training without interruption. The present weights are replaced.
            deadline: minutes after which to stop; see `finished`.

        Raises:
            TypeError, ValueError: an argument is not as described; nothing has changed.
            FileNotFoundError: `resume` does not exist.
            FloatingPointError: training went wrong six times; the model has the last good weights.
            KeyboardInterrupt: Ctrl-C; weights, history and checkpoint are those after the last step.
        """
        settings = dict(
            num_epochs=num_epochs, batch_size=batch_size, hybrid=bool(hybrid), optimizer=optimizer,
            learning_rate=learning_rate, final_learning_rate=final_learning_rate, momentum=momentum,
            crop=crop, flips=list(flips), flip_fraction=flip_fraction, swap=bool(swap),
            bfloat16=bool(bfloat16), seed=seed,
        )  # fmt: skip
        support.check_training(train_input, train_target, settings, OPTIMIZERS, FLIPS)
        train_input, train_target = train_input.detach(), train_target.detach()
        num_pairs, image_size = len(train_input), tuple(train_input.shape[2:])
        settings["shape"] = list(train_input.shape)
        settings["pixels"] = [support.sum_of_pixels(images) for images in (train_input, train_target)]
        steps_per_epoch = math.ceil(num_pairs / batch_size)
        num_steps = num_epochs * steps_per_epoch
        saved = support.load_checkpoint(resume, settings) if resume else None
        first_step = len(self.history["loss"])  # of this call, counted over all calls
        if saved:
            self.network.load_state_dict(saved["network"])
            self.history, first_step = saved["history"], saved["first_step"]
        history, watch, method, plan = self.history, support.Watch(self.network), None, None
        if saved:
            watch.mean, watch.lowest, watch.rollbacks = saved["watch"]
        done = len(history["loss"]) - first_step
        start = time.monotonic() - (history["seconds"][-1] if done else 0)
        stop_at = math.inf if deadline is None else time.monotonic() + 60 * deadline
        previous_save = time.monotonic()

        def loss_now(noisy, target):
            return loss_on(self.network, noisy, target, bfloat16)

        def batch_at(batch):
            rows = slice(batch * batch_size, (batch + 1) * batch_size)
            return make_batch(train_input, train_target, plan, rows, crop, flips, swap, self.device)

        def save():
            if checkpoint:
                support.save_checkpoint(
                    checkpoint, self.network.state_dict(), stepper.state_dict() if method else None, method=method,
                    settings=settings, history=history, first_step=first_step,
                    watch=(watch.mean, watch.lowest, watch.rollbacks),
                )  # fmt: skip

        self.network.train()
        with torch.inference_mode(False), torch.enable_grad(), support.interruptible() as interrupted, support.show(
            progress, done, num_steps
        ) as report:
            for step in range(done, num_steps):
                epoch, batch = divmod(step, steps_per_epoch)
                if plan is None or batch == 0:
                    plan = plan_epoch(num_pairs, image_size, crop, flip_fraction, seed + first_step + epoch)
                noisy, target = batch_at(batch)

                in_hybrid = hybrid and step < LBFGS_ITERATIONS
                wanted = "L-BFGS" if in_hybrid else optimizer
                if wanted != method:
                    method = wanted
                    stepper = OPTIMIZERS[method](self.network.parameters(), learning_rate, momentum)
                    if saved and saved["method"] == method:
                        stepper.load_state_dict(saved["optimizer"])
                    saved = None
                rate = learning_rate + (final_learning_rate - learning_rate) * step / num_steps
                rate /= 2**watch.rollbacks
                for group in stepper.param_groups:
                    group["lr"] = rate
                guard = nullcontext()
                if in_hybrid:
                    unseen = batch_at((batch + 1) % steps_per_epoch)
                    guard = undone_if_worse(self.network, stepper, partial(loss_now, *unseen))
                with support.undone_on_error(self.network) as weights, guard:
                    loss, evaluations = take_step(stepper, partial(loss_now, noisy, target))
                now = time.monotonic()
                for name, value in dict(
                    loss=loss, learning_rate=rate, evaluations=evaluations, seconds=now - start
                ).items():
                    history[name].append(value)
                if watch.exploded(loss):
                    watch.roll_back(loss)
                    method = None  # a fresh optimizer: the old one's momentum is what led astray
                else:
                    watch.saw(loss, weights)
                report(loss)
                if interrupted() or now > stop_at:
                    break
                if now - previous_save > 60 * CHECKPOINT_MINUTES:
                    save()
                    previous_save = now
            self.network.eval()
            if done < num_steps:  # the last step's weights have not been seen
                with torch.no_grad():
                    loss = loss_now(noisy, target).item()
                if watch.exploded(loss):
                    watch.roll_back(loss)
                    method = None
            self.finished = len(history["loss"]) - first_step == num_steps
            save()
        if interrupted() and not self.finished:
            raise KeyboardInterrupt

    def predict(self, test_input, average=True, progress=False) -> torch.Tensor:
        """Denoise images of any size. Neither the input nor a training under way is changed.

        Args:
            test_input: (N, 3, H, W), values 0 to 255, uint8 or any other real dtype; of any memory format,
                part of a graph or not. Values outside of that range are taken as they are, up to 1e6 on either side.
            average: take the mean over the 8 flips and rotations of the input, for 8 times the work;
                +0.07 dB. False: one pass.
            progress: show the progress, for large images.

        Returns:
            float32 tensor (N, 3, H, W), values 0 to 255, on the device of the model.

        Raises:
            TypeError, ValueError: `test_input` is not as described.
        """
        support.check_images("test_input", test_input)
        output = torch.empty(test_input.shape, dtype=torch.float32, device=self.device)
        pieces = list(tiles(*test_input.shape))
        was_training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad(), support.show(progress, 0, len(pieces)) as report:
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
# Large images
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
