"""What any training program needs and no denoiser is made of: checks, files, progress, interruption."""

import io
import json
import math
import signal
import sys
import threading
import time
import warnings
import zipfile
from contextlib import contextmanager
from pathlib import Path

import torch

try:
    from tqdm import tqdm
except ImportError:
    tqdm = None

USUAL, EXPLODED = 10, 1000  # times the lowest running mean of the loss: weights are good; training has gone wrong
LOWEST_LOSS = 1e-4  # counts for all below it: 40 dB
ROLLBACKS = 5  # then training gives up
LARGEST_VALUE = 1e6  # of a pixel; 255 is expected, and far above this float32 overflows on its way through the network


def check_images(name, images, stacklevel=3):
    """Raise unless `images` are finite real numbers of shape (N, 3, H, W); warn if they seem to be in [0, 1]."""
    if not isinstance(images, torch.Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(images).__name__}")
    if images.is_complex() or images.dtype == torch.bool or images.layout != torch.strided:
        raise TypeError(f"{name} must be a dense tensor of integers or floats, got {images.dtype}, {images.layout}")
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(f"{name} must have shape (N, 3, H, W), none of them 0, got {tuple(images.shape)}")
    if images.dtype == torch.uint8:
        return
    lowest, highest = (float(value) for value in (images.min(), images.max()))
    if not -LARGEST_VALUE <= lowest <= highest <= LARGEST_VALUE:
        raise ValueError(f"{name} must be finite, with values 0 to 255, got {lowest:.3g} to {highest:.3g}")
    if images.is_floating_point() and highest <= 1:
        warnings.warn(f"{name} should have values 0 to 255, its maximum is {highest:.3g}", stacklevel=stacklevel)


def check_positive(name, value):
    """Raise unless `value` is a positive integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a positive integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value}")


def check_range(name, value, highest=math.inf):
    """Raise unless `value` is a finite number from 0 to `highest`."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not 0 <= value <= highest or value == math.inf:
        raise ValueError(f"{name} must be from 0 to {highest}, got {value}")


def check_choice(name, value, choices):
    """Raise unless `value` is among `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_training(train_input, train_target, settings, optimizers, flips):
    """Raise unless the arguments of `Model.train` are as its docstring says."""
    check_images("train_input", train_input, stacklevel=4)
    check_images("train_target", train_target, stacklevel=4)
    if train_input.shape != train_target.shape:
        expected, got = tuple(train_input.shape), tuple(train_target.shape)
        raise ValueError(f"train_target must have the shape of train_input, {expected}, got {got}")
    for name in ("num_epochs", "batch_size"):
        check_positive(name, settings[name])
    for name in ("learning_rate", "final_learning_rate"):
        check_range(name, settings[name])
    for name in ("momentum", "flip_fraction"):
        check_range(name, settings[name], highest=1)
    check_choice("optimizer", settings["optimizer"], optimizers)
    for flip in settings["flips"]:
        check_choice("flips", flip, flips)
    if settings["crop"] is not None:
        check_positive("crop", settings["crop"])
        if settings["crop"] > min(train_input.shape[2:]):
            raise ValueError(f"crop must not exceed the images' size, got {settings['crop']}")


def sum_of_pixels(images):
    """A number that tells training sets apart; part by part, since the sum makes a float64 copy."""
    return sum(int(part.sum(dtype=torch.float64)) for part in images.split(1000))


def load_file(path):
    """What `torch.save` wrote to `path`: tensors, numbers and containers, no code.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be opened.
        ValueError: it is damaged, or not such a file.
    """
    try:
        file = open(path, "rb")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    try:
        with file, warnings.catch_warnings(), torch.inference_mode(False):
            warnings.simplefilter("ignore")  # some versions of PyTorch warn of themselves here
            if zipfile.is_zipfile(file) and zipfile.ZipFile(file).testzip():
                raise ValueError("a checksum is wrong")  # PyTorch does not look at them
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise nearly everything
        raise ValueError(f"{path} is damaged or not a file of tensors ({type(error).__name__})") from error


@contextmanager
def replaced(path, temporary):
    """Yield a temporary name to write to, then rename: `path` is never half a file.

    Raises:
        OSError: the file could not be written; what was at `path` before is still there.
    """
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
    finally:
        if temporary.exists():
            temporary.unlink()


def save_file(value, path):
    """`torch.save` to `path`; errors as in `replaced`."""
    path, content = Path(path), io.BytesIO()
    torch.save(value, content)  # in memory: PyTorch 1.13 ends the process when it writes to a full disk
    with replaced(path, path.with_name(path.name + ".part")) as temporary:
        temporary.write_bytes(content.getbuffer())


def save_checkpoint(path, network, optimizer, **state):
    """Write the state of a training: tensors as they are, numbers and names as JSON.

    PyTorch 1.13 reads no Python floats where it reads no code, so the optimizer's become tensors of float64.
    """

    def pack(value):
        return torch.tensor(value, dtype=torch.float64, device="cpu") if isinstance(value, float) else value

    save_file(dict(state=json.dumps(state), network=network, optimizer=in_containers(optimizer, pack)), path)


def load_checkpoint(path, settings=None):
    """What `save_checkpoint` wrote, as one dict, if it belongs to a training with these settings.

    Raises:
        ValueError: it is not a checkpoint, or one of other settings; and what `load_file` raises.
    """

    def unpack(value):
        return value.item() if isinstance(value, torch.Tensor) and value.dtype == torch.float64 else value

    saved = load_file(path)
    if not isinstance(saved, dict) or set(saved) != {"state", "network", "optimizer"}:
        raise ValueError(f"{path} is not a checkpoint")
    saved = dict(
        json.loads(saved["state"]), network=saved["network"], optimizer=in_containers(saved["optimizer"], unpack)
    )
    for name, value in (settings or {}).items():
        if saved["settings"].get(name) != value:
            raise ValueError(
                f"resume: {path} was written with another {name}: {saved['settings'].get(name)}, here it is {value}"
            )
    return saved


def in_containers(value, function):
    """`function` of every leaf of nested dicts, lists and tuples."""
    if isinstance(value, dict):
        return {name: in_containers(part, function) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(in_containers(part, function) for part in value)
    return function(value)


def copy_of(network):
    """The weights and the statistics of BatchNorm, for `network.load_state_dict` to go back to."""
    return {name: value.clone() for name, value in network.state_dict().items()}


@contextmanager
def undone_on_error(network):
    """Undo what was done within, if it ends in an error or is interrupted."""
    before = copy_of(network)
    try:
        yield before
    except BaseException:
        network.load_state_dict(before)
        raise


class Watch:
    """Keeps the last good weights of a training, to go back to when the loss has exploded.

    Attributes:
        mean: the running mean of the loss; lowest: the lowest it has been.
        rollbacks: how often training went back; each time halves the learning rate.
    """

    def __init__(self, network):
        self.network, self.good = network, copy_of(network)
        self.mean, self.lowest, self.rollbacks = None, math.inf, 0

    def exploded(self, loss):
        return not math.isfinite(loss) or loss > EXPLODED * self.lowest

    def saw(self, loss, weights):
        """`weights` have this loss, and it is not exploded."""
        if loss <= USUAL * self.lowest:
            self.good = weights
        self.mean = loss if self.mean is None else 0.9 * self.mean + 0.1 * loss
        self.lowest = max(min(self.lowest, self.mean), LOWEST_LOSS)

    def roll_back(self, loss):
        self.network.load_state_dict(self.good)
        self.rollbacks += 1
        print(
            f"the loss rose to {loss:.3g}: back to the last good weights, with half the learning rate", file=sys.stderr
        )
        if self.rollbacks > ROLLBACKS:
            raise FloatingPointError(
                f"training went wrong {self.rollbacks} times, also with 1/{2**ROLLBACKS} of the learning rate; "
                "the model has the last good weights"
            )


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

    It draws tqdm's bar, or where tqdm is missing a line every 30 seconds; nothing where there is no standard error.
    """
    if not progress or sys.stderr is None:
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
