"""Output files: checked before the work, and written whole or not at all."""

import os
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch


def check_output(path, overwrite=False, inputs=()):
    """Refuse an output that cannot be written, before any work is done for it.

    Args:
        path: the file to write.
        overwrite: whether a file that is there already may be replaced.
        inputs: files that the command reads, which are never replaced.

    Raises:
        OSError: its folder does not exist or may not be written to, it is a folder or a device, its
            name is too long, or a file is there that may not be replaced.
        ValueError: it is one of the inputs.
    """
    place = Path(os.path.realpath(path))
    if place in [Path(os.path.realpath(each)) for each in inputs]:
        raise ValueError(f"{path} is an input of this command; name another output")
    if place.exists() and not place.is_file():
        raise IsADirectoryError(f"{path} is a folder or a device; the output must be a file")
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{path} exists already; --overwrite replaces it")
    if not place.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {place.parent}")
    try:
        with temporary_for(place) as temporary:
            temporary.touch()
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}") from error


def make_folder(path):
    """Make a folder for output files, and those above it, unless it is there."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; the output needs a folder")
    path.mkdir(parents=True, exist_ok=True)


@contextmanager
def replaced(path):
    """Write a file whole or not at all.

    Yields the path of a new file in the same folder and with the same ending. At the end of the
    `with` block it takes the place of `path`; after an error `path` is as it was. Where `path` is a
    symbolic link, the file that it points to is replaced.

    Raises:
        OSError: the file could not be written.
    """
    with all_replaced([path]) as [temporary]:
        yield temporary


@contextmanager
def all_replaced(paths):
    """`replaced` for several files, which take their places together. Yields a list of paths."""
    places = [Path(os.path.realpath(path)) for path in paths]
    try:
        with ExitStack() as stack:
            temporaries = [stack.enter_context(temporary_for(place)) for place in places]
            yield temporaries
            for temporary, place in zip(temporaries, places):
                if place.exists():
                    shutil.copymode(place, temporary)
                os.replace(temporary, place)
    except OSError as error:
        names = ", ".join(map(str, paths))
        raise OSError(f"{names} cannot be written: {error.strerror or error}") from error


@contextmanager
def temporary_for(place):
    """Yields the path of a new file beside another one, in a folder that does not stay."""
    with tempfile.TemporaryDirectory(prefix=".part-", dir=place.parent) as folder:
        yield Path(folder, place.name)


def save(value, path):
    """`torch.save` to a file, whole or not at all.

    Raises:
        OSError: it could not be written.
    """
    save_all({path: value})


def save_all(values):
    """Save several files, all of them or none.

    Args:
        values: dict from the path of a file to what it is to hold: a text, or what `torch.save`
            takes.

    Raises:
        OSError: one of them could not be written.
    """
    with all_replaced(values) as temporaries:
        for temporary, value in zip(temporaries, values.values()):
            if isinstance(value, str):
                temporary.write_text(value)
            else:
                write_tensors(value, temporary)


def write_tensors(value, path):
    """`torch.save`, which hides behind an error of its own why a file could not be written."""
    try:
        with open(path, "wb") as file:
            torch.save(value, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
