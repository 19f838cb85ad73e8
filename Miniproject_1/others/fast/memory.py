"""Memory that stays with the process while a network computes.

By default every large tensor is mapped anew, and each of its pages faults when it is first touched.
That takes a third of the time of a training step in float32. glibc, the C library of most Linux
systems, can be told to keep what it has.
"""

import ctypes
import weakref
from functools import lru_cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
HIGHEST_THRESHOLD = 32 * 2**20  # bytes, DEFAULT_MMAP_THRESHOLD_MAX of glibc on 64 bits
DEFAULT_MMAP_MAX = 65_536
NEVER = 2**31 - 1

_owners = set()  # ids of those that are alive


def keep_memory_for(owner) -> None:
    """Let the process keep the memory that it frees, until `owner` is garbage-collected.

    Afterwards the memory goes back to the system, and glibc's thresholds are the highest to which
    they adapt by themselves. Nothing happens where the C library is not glibc.

    Args:
        owner: any object that a weak reference can point to.
    """
    libc = glibc()
    if libc is None:
        return
    _owners.add(id(owner))
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
    weakref.finalize(owner, _release, id(owner)).atexit = False


def _release(owner: int) -> None:
    """One owner less; the last one gives the memory back."""
    _owners.discard(owner)
    if not _owners:
        libc = glibc()
        libc.mallopt(M_MMAP_MAX, DEFAULT_MMAP_MAX)
        libc.mallopt(M_MMAP_THRESHOLD, HIGHEST_THRESHOLD)
        libc.mallopt(M_TRIM_THRESHOLD, 2 * HIGHEST_THRESHOLD)
        libc.malloc_trim(0)


@lru_cache(maxsize=None)
def glibc():
    """The C library, if it is glibc."""
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows
        return None
    functions = ("gnu_get_libc_version", "mallopt", "malloc_trim")
    if not all(hasattr(libc, name) for name in functions):  # macOS, musl
        return None
    return libc
