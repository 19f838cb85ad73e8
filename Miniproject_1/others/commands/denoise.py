"""`denoise`: pictures in, the same pictures without their noise out."""

import os
from dataclasses import replace

from ...model import track
from ..console import say, tell
from ..data.photographs import picture_files
from ..pictures import check_picture_output, load_picture, pillow, save_picture
from .options import add_overwrite, add_prediction_options, load_model, path

LARGE = 2**18  # pixels from which a single picture shows how far it is


def add_arguments(parser):
    parser.description = (
        "Denoise pictures: one file to a file or into a folder; several files, or all in a folder "
        "and the folders within, into a folder under their names. A picture in a folder that "
        "cannot be denoised is named and passed over; the exit status is 1 then."
    )
    parser.epilog = (
        "Pictures are PNG, JPEG (written with quality 95), TIFF (written without EXIF) or WebP "
        "(written without loss) with 8 bits a value: grey, RGB or a palette, opaque or "
        "transparent. They are turned upright. EXIF, the colour profile and the resolution are "
        "passed on. Grey stays grey; transparency stays, or lies on white in a JPEG file. Refused "
        "are 16 bits, floats, CMYK, several frames, and more than 178 megapixels. A megapixel "
        "takes 45 seconds on two cores, or 7 with --one-pass. The command takes 1.1 GB of memory, "
        "and 20 MB more for each megapixel."
    )
    text = "noisy pictures, or folders of them"
    parser.add_argument("input", type=path, nargs="+", metavar="IN", help=text)
    text = "the file or folder to write; an ending names the format, a name without is a folder"
    parser.add_argument("output", type=path, metavar="OUT", help=text)
    add_prediction_options(parser)
    existing = parser.add_mutually_exclusive_group()
    add_overwrite(existing)
    text = "leave out pictures whose output exists already; so an interrupted run goes on"
    existing.add_argument("--skip-existing", action="store_true", help=text)


def run(options):
    """Denoise picture files; returns the exit status."""
    pillow()
    sources = sources_of(options.input, options.output)
    is_one = len(sources) == 1
    if options.skip_existing:
        missing = {target: sources[target] for target in sources if not os.path.lexists(target)}
        say(f"left out: {len(sources) - len(missing)} pictures whose output exists already")
        sources = missing
    for target, source in sources.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        check_picture_output(target, options.overwrite, [source])
    model = load_model(options)
    status = 0
    for target, source in track(list(sources.items()), "picture", not is_one):
        try:
            picture = load_picture(source)
            is_large = picture.pixels[0].numel() >= LARGE
            save_picture(denoised(model, picture, options, is_one and is_large), target)
            tell(f"wrote {target}")
        except (OSError, ValueError, RuntimeError) as error:
            if is_one:
                raise
            say(f"passed over {source}: {error}")
            status = 1
    return status


def sources_of(inputs, output):
    """Which file is to be read for each file that is to be written, as a dict.

    A folder stands for all pictures in it and in the folders within, but for those in `output`. A
    single file may be written to a file; all others go to a folder, and keep their names and their
    places within theirs.
    """
    sources = {}
    for given in inputs:
        if not given.exists():
            raise FileNotFoundError(f"{given} does not exist")
        if given.is_dir():
            pictures = picture_files(given)
            if given in output.parents:
                pictures = [each for each in pictures if output not in each.parents]
            found = {output / each.relative_to(given): each for each in pictures}
        elif len(inputs) == 1 and output.suffix and not output.is_dir():
            found = {output: given}
        else:
            found = {output / given.name: given}
        for target, source in found.items():
            if sources.setdefault(target, source) != source:
                text = f"{sources[target]} and {source} would both be written to {target}"
                raise ValueError(text)
    if not sources:
        raise ValueError(f"no pictures in {', '.join(map(str, inputs))}")
    return sources


def denoised(model, picture, options, progress):
    """A `Picture` with its pixels denoised; grey stays exactly grey, and all else as it is."""
    pixels = picture.pixels  # (C, H, W)
    output = model.predict(
        pixels.expand(3, -1, -1)[None],  # (1, 3, H, W)
        average=not options.one_pass,
        progress=progress,
        precision=options.precision,
    )[0]
    if (pixels == pixels[:1]).all():  # grey
        output = output.mean(0, keepdim=True)
    return replace(picture, pixels=output.expand_as(pixels))
