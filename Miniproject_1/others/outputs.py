"""Output files: their names are reserved, and they are written whole or not at all."""

import io
import math
import os
import secrets
import shutil
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import torch

from .console import say
from .signals import requests_postponed

try:
    import fcntl
except ImportError:  # on Windows
    import msvcrt

    fcntl = None


# ----------------------------------------------------------------------------------------------
# Before the work


def check_output(path, overwrite=False):
    """Refuse an output that cannot be written, before any work is done for it.

    Args:
        path: the file to write.
        overwrite: whether a file that is there already may be replaced.

    Returns:
        the path as a `Path`.

    Raises:
        OSError: its folder does not exist, it may not be written there, it is a folder, a device or
            a pipe, or a file is there that may not be replaced.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder; the output must be a file")
        if not path.parent.is_dir():
            text = f"{path} cannot be written: the folder {path.parent} does not exist"
            raise FileNotFoundError(text)
        if path.exists() and not path.is_file():
            raise OSError(f"{path} is a device or a pipe; the output must be a file")
        if os.path.lexists(path) and not overwrite:
            raise FileExistsError(
                f"{path} exists already: name another file, or replace it with --overwrite"
            )
        with temporary_file(Path(os.path.realpath(path))):
            return path
    except OSError as error:
        raise with_name(error, path) from None


def make_folder(path):
    """Make a folder for output files, and those above it, unless it is there."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; the output needs a folder")
    path.mkdir(parents=True, exist_ok=True)


@contextmanager
def reserved(*paths, overwrite=False):
    """Keep the names of output files for this process until the end of the `with` block.

    Another process that wants to reserve one of them meanwhile is refused. Write the files with
    `overwrite` as it is here: what was not there at the start is not replaced.

    Args:
        paths: the files to write.
        overwrite: as in `check_output`.

    Raises:
        OSError: as in `check_output`, or another process has reserved one of the names.
    """
    with ExitStack() as stack:
        for path in paths:
            check_output(path, overwrite)
            stack.enter_context(locked(Path(os.path.realpath(path))))
            check_output(path, overwrite)  # the other process may have ended just before
        yield


@contextmanager
def locked(path):
    """Lock a name. The operating system unlocks it when the process ends, however it ends."""
    marker = path.with_name(f".{path.name}.reserved")
    with open(marker, "a") as file:
        try:
            lock(file)
            lost = not os.path.samestat(os.fstat(file.fileno()), os.stat(marker))
        except (BlockingIOError, PermissionError, FileNotFoundError):
            lost = True
        except OSError:  # a file system without locks; still nothing is replaced unasked
            lost = False
        if lost:
            raise FileExistsError(f"{path} is being written by another process: name another file")
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file
                if marker.stat().st_size == 0:  # it is ours, not a user's file of this name
                    marker.unlink()


def lock(file):
    """Lock an open file.

    Raises:
        BlockingIOError: another process has done so; PermissionError on Windows.
        OSError: the file system has no locks.
    """
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)


# ----------------------------------------------------------------------------------------------
# Writing


@contextmanager
def replaced(path, overwrite=True):
    """Write a file whole or not at all.

    Yields the path of a new, empty file in the same folder and with the same ending. At the end of
    the `with` block it takes the place of `path`; after an error `path` is as it was. Where `path`
    is a symbolic link, the file it points to is replaced. A replaced file's permissions stay.

    Args:
        path: the file to write.
        overwrite: False: what is at `path` by then is not replaced.

    Raises:
        OSError: the file could not be written.
        FileExistsError: `overwrite` is False, and a file is there.
    """
    path = Path(os.path.realpath(path))
    try:
        with temporary_file(path) as temporary:
            yield temporary
            if path.exists():
                shutil.copymode(path, temporary)
            if overwrite:
                os.replace(temporary, path)
            else:
                move_to_free_name(temporary, path)
    except OSError as error:
        raise with_name(error, path) from error


@contextmanager
def temporary_file(path):
    """Yield the path of a new file in the folder of `path`; it is removed if it is still there."""
    temporary = path.with_name(f".part-{secrets.token_hex(6)}{path.suffix}")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def move_to_free_name(source, path):
    """Rename a file, unless the new name is taken."""
    try:
        os.link(source, path)
    except FileExistsError:
        raise FileExistsError(f"{path} was made meanwhile, and is not replaced") from None
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise FileExistsError(f"{path} was made meanwhile, and is not replaced") from None
        os.replace(source, path)


def with_name(error, path):
    """An error of the same kind that names the user's file, not a temporary one."""
    if error.errno is None:  # one of those above
        return error
    return type(error)(f"{path} cannot be written: {error.strerror}")


def save(value, path, overwrite=True):
    """`torch.save` to a file, whole or not at all; a first Ctrl-C waits until it is written.

    Args:
        value: tensors, numbers and containers of them.
        path, overwrite: as in `replaced`.

    Raises:
        OSError: as in `replaced`.
    """
    content = io.BytesIO()
    torch.save(value, content)  # into memory first, so that a full disk is an OSError
    with requests_postponed(), replaced(path, overwrite) as temporary:
        temporary.write_bytes(content.getbuffer())


def save_somewhere(value, path, overwrite=True):
    """`save`, as `write_somewhere` does it; returns the path of the file that was written."""
    written, _ = write_somewhere(partial(save, value), path, overwrite)
    return written


def write_somewhere(write, path, overwrite=True):
    """Write a file, and if that fails, write it to the temporary folder and say so.

    This is for what took long to compute.

    Args:
        write: function of a path and of whether a file that is there may be replaced.
        path, overwrite: its arguments.

    Returns:
        the path of the file that was written, and what `write` returned.

    Raises:
        OSError: it could not be written in the temporary folder either.
    """
    path = Path(path)
    try:
        return path, write(path, overwrite)
    except OSError as error:
        try:
            name = f"{path.stem}-{secrets.token_hex(4)}{path.suffix}"
            elsewhere = Path(tempfile.gettempdir()) / name
            result = write(elsewhere, False)
        except OSError:
            raise error from None
        say(f"warning: {error}; saved as {elsewhere} instead")
        return elsewhere, result


def finite(value):
    """The same with None for every float that is not finite, since JSON has no infinity."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
