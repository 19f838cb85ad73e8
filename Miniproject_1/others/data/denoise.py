"""The `denoise` command: pictures in, the same pictures without their noise out."""

import os
import warnings
from dataclasses import replace
from pathlib import Path

import torch

from ...model import track
from .files import say
from .pictures import FORMATS, check_picture_output, check_sides, load_picture, pillow, save_picture

LARGE = 2**20  # pixels from which a picture among several shows progress of its own: it takes a minute or more


def denoise(options, load_model):
    """Denoise picture files; returns the exit status, 1 if some were passed over.

    Args:
        options: of the command.
        load_model: function of nothing that returns the `Model`, called when all outputs are known to be writable.

    Raises:
        OSError, ValueError: an output cannot be written, or, if there is one picture only, something is wrong with it.
    """
    jobs = plan(options.input, options.output, options.overwrite)
    model, failed = load_model(), 0
    for source, target in track(jobs, len(jobs), len(jobs) > 1, label="picture"):
        try:
            picture = load_picture(source, options.any_size)
            check_sides(*picture.pixels.shape[1:], target)
            progress = len(jobs) == 1 or picture.pixels[0].numel() > LARGE
            denoised = without_noise(model, picture, not options.one_pass, progress, options.precision)
            not_kept = save_picture(denoised, target)
        except (OSError, ValueError) as error:
            if len(jobs) == 1:
                raise
            failed += 1
            say(f"passed over: {' '.join(str(error).split())}")
            continue
        if not_kept:
            say(f"{target} does not keep: {'; '.join(not_kept)}")
    if len(jobs) > 1:
        print(f"{len(jobs) - failed} pictures denoised, {failed} passed over")
    return 1 if failed else 0


def without_noise(model, picture, average=True, progress=False, precision="float32"):
    """A `Picture` with its pixels denoised; all else stays. The options are those of `predict`.

    A grey picture is denoised as an RGB one of three equal channels, whose mean over the channels is taken; so is an
    RGB picture that is grey, and the black of CMYK, while its cyan, magenta and yellow are an RGB picture upside down.
    """

    def denoised(pixels):
        grey = len(pixels) == 1 or all(torch.equal(pixels[0], channel) for channel in pixels[1:])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pictures that are dark: their range is known
            images, options = pixels.expand(3, -1, -1)[None], dict(progress=progress, precision=precision)
            output = model.predict(images, average=average, **options)[0].cpu()
        return output.mean(0, keepdim=True).expand(len(pixels), -1, -1) if grey else output

    pixels = picture.pixels
    if len(pixels) == 4:
        light = 255 - pixels
        return replace(picture, pixels=255 - torch.cat([denoised(light[:3]), denoised(light[3:])]))
    return replace(picture, pixels=denoised(pixels))


def plan(inputs, output, overwrite=False):
    """Pairs of an input file and its output, once all outputs are known to be writable; folders are made.

    One picture goes to the file `output`, or into it where it is a folder. Several pictures, and those in folders and
    the folders within them, go into the folder `output` under their names.
    """
    pillow()
    into_folder = len(inputs) > 1 or inputs[0].is_dir() or output.is_dir()
    if not into_folder:
        if not inputs[0].exists():
            raise FileNotFoundError(f"{inputs[0]} does not exist")
        return [(inputs[0], check_picture_output(output, overwrite))]
    jobs = {}
    for source in inputs:
        for path, name in pictures_in(source, output):
            if jobs.setdefault(output / name, path) != path:
                raise ValueError(f"{jobs[output / name]} and {path} would both be written to {output / name}")
    if not jobs:
        raise ValueError(f"no pictures in {', '.join(map(str, inputs))}")
    there = [target for target in jobs if os.path.lexists(target)]
    if there and not overwrite:
        raise FileExistsError(f"{there[0]} exists already: name another folder, or replace it with --overwrite")
    for target in jobs:
        target.parent.mkdir(parents=True, exist_ok=True)
    return [(source, check_picture_output(target, overwrite)) for target, source in jobs.items()]


def pictures_in(source, output):
    """Yield path and name of a file, or of all pictures in a folder that are not hidden and not in its `output`."""
    if not source.is_dir():
        if not source.exists():
            raise FileNotFoundError(f"{source} does not exist")
        yield source, Path(source.name)
        return
    Image, _ = pillow()
    output = output.resolve()
    for path in sorted(source.rglob("*")):
        known = Image.registered_extensions().get(path.suffix.lower()) in FORMATS and not path.name.startswith(".")
        if known and path.is_file() and (output == source.resolve() or output not in path.resolve().parents):
            yield path, path.relative_to(source)
