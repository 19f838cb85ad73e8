"""`denoise`: pictures in, the same pictures without their noise out."""

from dataclasses import replace

from ...model import track
from ..console import say, tell
from ..data.photographs import picture_files
from ..outputs import check_output
from ..pictures import format_of, load_picture, save_picture
from .options import add_overwrite, add_prediction_options, load_model, path


def add_arguments(parser):
    parser.description = (
        "Denoise a picture, or all in a folder and the folders within, which keep their names and "
        "places. A picture in a folder that cannot be denoised is named and passed over; the exit "
        "status is 1 then."
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
    text = "a noisy picture, or a folder of them"
    parser.add_argument("input", type=path, metavar="IN", help=text)
    text = "the file or folder to write; an ending names the format, a name without is a folder"
    parser.add_argument("output", type=path, metavar="OUT", help=text)
    add_prediction_options(parser)
    existing = parser.add_mutually_exclusive_group()
    add_overwrite(existing)
    text = "leave out pictures whose output exists already; so an interrupted run goes on"
    existing.add_argument("--skip-existing", action="store_true", help=text)


def run(options):
    sources = sources_of(options.input, options.output)
    if options.skip_existing:
        sources = {target: sources[target] for target in sources if not target.exists()}
    for target, source in sources.items():
        format_of(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        check_output(target, options.overwrite, [source])
    model = load_model(options)
    is_folder = options.input.is_dir()
    status = 0
    for target, source in track(list(sources.items()), "picture", is_folder):
        try:
            picture = load_picture(source)
            save_picture(denoised(model, picture, options, not is_folder), target)
            tell(f"wrote {target}")
        except (OSError, ValueError, RuntimeError) as error:
            if not is_folder:
                raise
            say(f"passed over {source}: {error}")
            status = 1
    return status


def sources_of(given, output):
    """Which file is to be read for each file that is to be written, as a dict.

    A folder stands for all pictures in it and in the folders within, but for those in `output`.
    They keep their names and places. A single file is written to a file, or into a folder.
    """
    if not given.exists():
        raise FileNotFoundError(f"{given} does not exist")
    if given.is_dir():
        pictures = picture_files(given)
        if output != given:
            pictures = [each for each in pictures if output not in each.parents]
        if not pictures:
            raise ValueError(f"no pictures in {given}")
        return {output / each.relative_to(given): each for each in pictures}
    if output.suffix and not output.is_dir():
        return {output: given}
    return {output / given.name: given}


def denoised(model, picture, options, progress):
    """A `Picture` with its pixels denoised; grey stays exactly grey, and all else as it is."""
    pixels = picture.pixels  # (C, H, W)
    images = pixels.expand(3, -1, -1)[None]  # (1, 3, H, W)
    output = model.predict(images, not options.one_pass, progress)[0]
    if (pixels == pixels[:1]).all():  # grey
        output = output.mean(0, keepdim=True)
    return replace(picture, pixels=output.expand_as(pixels))
