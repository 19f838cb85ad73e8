"""Files written so that nothing is lost: outputs checked before any work, replaced only once the new one is whole."""

import io
import os
import secrets
import shutil
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import torch


def check_output(path, overwrite=False):
    """Raise OSError unless a file can be written to `path`, and it is free or may be overwritten; returns the path."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; the output must be a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist, so {path.name} cannot be written there")
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{path} exists already: name another file, or replace it with --overwrite")
    with replaced(path, keep=True):
        pass
    return path


@contextmanager
def replaced(path, keep=False):
    """Yield the path of a new, empty file in the same folder and with the same ending, which then takes `path`'s place.

    Where `path` is a symbolic link, its target is replaced; permissions of a replaced file stay. With `keep`, the new
    file is removed in the end and `path` stays as it is.

    Raises:
        OSError: the file could not be written; what was at `path` before is still there.
    """
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".part-{secrets.token_hex(6)}{path.suffix}")
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
    try:
        yield temporary
        if not keep:
            if path.exists():
                shutil.copymode(path, temporary)
            os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def save(value, path):
    """`torch.save` to `path`; errors as in `replaced`."""
    content = io.BytesIO()
    torch.save(value, content)  # in memory first, so that a full disk is an OSError
    with replaced(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def say(text):
    """Print to standard error; a message that cannot be shown stops nothing."""
    if sys.stderr:
        with suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)
