"""`denoise`: pictures in, the same pictures without their noise out."""

import os
from dataclasses import replace

from ...model import track
from ..console import say, tell
from ..data.photographs import named, picture_files
from ..outputs import make_folder
from ..pictures import check_picture_output, load_picture, pillow, save_picture
from .options import add_overwrite, add_prediction_options, load_model, path

LARGE = 2**18  # pixels from which a single picture shows how far it is


def add_arguments(parser):
    """Describe the command to a parser of `argparse`."""
    parser.description = (
        "Denoise pictures: one file to a file or into a folder; several files, or all in a folder "
        "and the folders within, into a folder under their names. A picture in a folder that "
        "cannot be denoised is named and passed over; the exit status is 1 then."
    )
    parser.epilog = (
        "Pictures are PNG, JPEG (written with quality 95), TIFF or WebP (written without loss) "
        "with 8 bits a value: grey, RGB or a palette, opaque or transparent. They are turned "
        "upright. EXIF, the colour profile and the resolution are passed on. Grey stays grey; "
        "transparency stays, or lies on white in a JPEG file. A TIFF file is compressed, unless it "
        "holds the EXIF of a camera. Refused are 16 bits, floats, CMYK, several frames, and more "
        "than 178 megapixels. A megapixel takes 45 seconds on two cores, or 7 with --one-pass. The "
        "command takes 1.1 GB of memory, and 20 MB more for each megapixel."
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
    """Denoise picture files.

    Returns:
        the exit status, 1 if some of several pictures were passed over.

    Raises:
        OSError, ValueError: an input does not exist, an output cannot be written, or, where there
            is one picture only, something is wrong with it.
    """
    pillow()
    for each in options.input:
        if not each.exists():
            raise FileNotFoundError(f"{each} does not exist")
    if len(options.input) == 1 and not options.input[0].is_dir():
        return denoise_one(options.input[0], options)
    return denoise_several(options)


def denoise_one(source, options):
    """Denoise a single file; whatever is wrong with it is raised."""
    picture = load_picture(source)
    target = options.output
    if target.is_dir() or not target.suffix:
        make_folder(target)
        target = target / source.name
    if options.skip_existing and os.path.lexists(target):
        tell(f"{target} exists already")
        return 0
    check_picture_output(target, options.overwrite, [source])
    model = load_model(options)
    _, height, width = picture.pixels.shape
    save_picture(denoised(model, picture, options, height * width >= LARGE), target)
    tell(f"wrote {target}")
    return 0


def denoise_several(options):
    """Denoise files and folders into a folder; what is wrong with one does not stop the others."""
    sources = sources_of(options.input, options.output)
    num_found = len(sources)
    if options.skip_existing:
        sources = {target: sources[target] for target in sources if not os.path.lexists(target)}
    for target, source in sources.items():
        make_folder(target.parent)
        check_picture_output(target, options.overwrite, [source])
    model = load_model(options)
    num_written = 0
    for target, source in track(list(sources.items()), "picture"):
        try:
            save_picture(denoised(model, load_picture(source), options), target)
            num_written += 1
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            say(f"passed over: {named(error, source)}")
    summary = f"wrote {num_written} of {len(sources)} pictures to {options.output}"
    if len(sources) < num_found:
        summary += f"; {num_found - len(sources)} more were there already"
    tell(summary)
    return 0 if num_written == len(sources) else 1


def sources_of(inputs, output):
    """Which file is to be read for each file that is to be written.

    Args:
        inputs: files and folders. A folder stands for all pictures in it and in the folders within,
            without hidden ones and without those in `output`.
        output: the folder to write to; a picture keeps its name, and its place in its folder.

    Raises:
        ValueError: there are no pictures, or two would be written to the same file.
    """
    sources = {}
    for given in inputs:
        found = {output / given.name: given}
        if given.is_dir():
            pictures = picture_files(given)
            if is_within(output, given):
                pictures = [each for each in pictures if not is_within(each, output)]
            found = {output / each.relative_to(given): each for each in pictures}
        for target, source in found.items():
            if sources.setdefault(target, source) != source:
                text = f"{sources[target]} and {source} would both be written to {target}"
                raise ValueError(text)
    if not sources:
        raise ValueError(f"no pictures in {', '.join(map(str, inputs))}")
    return sources


def is_within(path, folder):
    return folder.resolve() in path.resolve().parents


def denoised(model, picture, options, progress=False):
    """A `Picture` with its pixels denoised; grey stays exactly grey, and all else as it is."""
    pixels = picture.pixels  # (C, H, W)
    output = model.predict(
        pixels.expand(3, -1, -1)[None],  # (1, 3, H, W)
        average=not options.one_pass,
        progress=progress,
        precision=options.precision,
    )[0]
    is_grey = (pixels == pixels[:1]).all()
    if is_grey:
        output = output.mean(0, keepdim=True)
    return replace(picture, pixels=output.expand_as(pixels))
