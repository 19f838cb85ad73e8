"""Which of the files and folders that a user names become which files in the output's folder."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from .writing import check_picture_output, is_written

NOT_READ = (  # endings of pictures that are named, since somebody may miss them
    *(".3fr", ".arw", ".avif", ".bmp", ".cr2", ".cr3", ".crw", ".dng", ".exr", ".gif", ".gpr"),
    *(".hdr", ".heic", ".heif", ".hif", ".iiq", ".jp2", ".jxl", ".mpo", ".nef", ".nrw", ".orf"),
    *(".pbm", ".pef", ".pgm", ".ppm", ".psd", ".raf", ".raw", ".rw2", ".srw", ".svg", ".tga"),
    ".x3f",
)


@dataclass
class Plan:
    """What is to be done with some files.

    Attributes:
        sources: the file to read for each file to write.
        num_existing: how many files are left out because their output is there already.
        out_of_reach: why others are passed over, in words that name them.
        of_other_formats: further files that are passed over.
    """

    sources: dict = field(default_factory=dict)
    num_existing: int = 0
    out_of_reach: list = field(default_factory=list)
    of_other_formats: list = field(default_factory=list)

    def num_passed_over(self):
        return len(self.out_of_reach) + len(self.of_other_formats)

    def reasons(self):
        """Why files are passed over, in lines."""
        if not self.of_other_formats:
            return self.out_of_reach
        names = ", ".join(str(path) for path in self.of_other_formats)
        return [*self.out_of_reach, f"{names}: only PNG, JPEG, TIFF and WebP are denoised"]


def plan_of(inputs, output, skip_existing=False):
    """Find the pictures among some files and folders.

    Args:
        inputs: paths of files and folders. A folder stands for all pictures in it and in the
            folders within, except hidden ones and those in `output`.
        output: the folder to write to; a picture keeps its name, and its place in its folder.
        skip_existing: leave out pictures whose output is there already.

    Returns:
        a `Plan`.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: there are no pictures, or two would be written to the same file.
    """
    plan = Plan()
    for path in inputs:
        if path.is_dir():
            for found in pictures_in(path, output, plan.out_of_reach):
                add_to(plan, found, output / found.relative_to(path), skip_existing)
        elif os.path.lexists(path):
            add_to(plan, path, output / path.name, skip_existing)
        else:
            raise FileNotFoundError(f"{path} does not exist")
    if not (plan.sources or plan.num_existing or plan.num_passed_over()):
        raise ValueError(f"no pictures in {', '.join(str(path) for path in inputs)}")
    return plan


def pictures_in(folder, output, out_of_reach):
    """Yield what looks like a picture; folders that cannot be entered are added to a list."""

    def pass_over(error):
        out_of_reach.append(f"{error.filename}: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=pass_over):
        visible = [Path(place, name) for name in sorted(folders) if not name.startswith(".")]
        folders[:] = [path.name for path in visible if path.resolve() != output.resolve()]
        out_of_reach += [f"{path} is a link to a folder" for path in visible if path.is_symlink()]
        for name in sorted(names):
            path = Path(place, name)
            is_picture = is_written(path) or path.suffix.lower() in NOT_READ
            if not name.startswith(".") and (is_picture or not os.path.isfile(path)):
                yield path


def add_to(plan, source, target, skip_existing):
    """Add a file to a `Plan`."""
    if not os.path.isfile(source):
        plan.out_of_reach.append(f"{source} is a broken link, or no file")
    elif not is_written(source):
        plan.of_other_formats.append(source)
    elif plan.sources.get(target, source) != source:
        raise ValueError(f"{plan.sources[target]} and {source} would both be written to {target}")
    elif skip_existing and os.path.lexists(target):
        plan.num_existing += 1
    else:
        plan.sources[target] = source


def make_folders(targets, output, overwrite):
    """Check that files can be written to a folder, and make it and the folders within.

    Raises:
        OSError: a file is there already, or cannot be written.
    """
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file; several pictures need a folder")
    for target in targets:
        if os.path.lexists(target) and not overwrite:
            raise FileExistsError(
                f"{target} exists already: name another folder, replace files with --overwrite, or "
                "leave them out with --skip-existing"
            )
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        check_picture_output(target, overwrite)
