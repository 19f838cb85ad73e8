"""Output files: checked before the work, and written whole or not at all."""

import io
import os
import tempfile
from contextlib import contextmanager
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
    if not os.access(place.parent, os.W_OK):
        text = f"there is no folder {place.parent} that may be written to"
        raise OSError(f"{path} cannot be written: {text}")


@contextmanager
def replaced(path):
    """Write a file whole or not at all.

    Yields the path of a new file in the same folder and with the same ending. At the end of the
    `with` block it takes the place of `path`; after an error `path` is as it was. Where `path` is a
    symbolic link, the file that it points to is replaced.

    Raises:
        OSError: the file could not be written.
    """
    place = Path(os.path.realpath(path))
    try:
        with tempfile.TemporaryDirectory(prefix=".part-", dir=place.parent) as folder:
            temporary = Path(folder, place.name)
            yield temporary
            os.replace(temporary, place)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error


def save(value, path):
    """`torch.save` to a file, whole or not at all.

    Raises:
        OSError: it could not be written.
    """
    content = io.BytesIO()  # to a file, `torch.save` hides why that could not be written
    torch.save(value, content)
    with replaced(path) as temporary:
        temporary.write_bytes(content.getbuffer())
