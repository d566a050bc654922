"""Arrays that are built once per content, kept on disk and memory-mapped; they appear whole or not at all."""

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager

import numpy as np

from helpers import paths

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cached(name, key, shape, build):
    """A read-only uint8 memmap, built where it is not in the cache yet.

    A second process that wants the same array waits for the first.

    Parameters
    ----------
    name : str
        Says what it is; with ``shape[1]`` and the key it names the file.
    key : str
        Hex digest of everything that decides the content.
    shape : tuple of int
    build : callable
        Fills the writable array that it is given.

    Returns
    -------
    np.memmap

    Raises
    ------
    OSError
        The disk is full; nothing half-written is left, nor after any other error.
    """
    file = paths.CACHE / f"{name}-{shape[1]}-{key[:8]}.npy"
    if (array := whole(file, shape)) is None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with locked(file):
            if (array := whole(file, shape)) is None:
                write(file, shape, build)
                array = whole(file, shape)
    return array


def whole(file, shape):
    """The cached array; None where it is absent, cut off or of another shape."""
    try:
        array = np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == tuple(shape) and array.dtype == np.uint8 else None


def write(file, shape, build):
    """Build under a temporary name, then rename: a crash leaves nothing that counts."""
    need, free = int(np.prod(shape)), shutil.disk_usage(file.parent).free
    if free < 1.02 * need:
        raise OSError(f"the cache {file.name} needs {need / 1e6:.1f} MB and {free / 1e6:.1f} MB are free: free some space")
    temporary = file.with_suffix(".part")
    try:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=tuple(shape))
        reserve(temporary)
        build(array)
        array.flush()
        os.replace(temporary, file)
    except OSError as error:
        if error.errno in FULL:
            raise OSError(f"the disk is full while {file.name} is written: free {need / 1e6:.1f} MB and run again") from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def reserve(file):
    """Claim the blocks of a file now: writing to a memmap on a full disk would kill the process instead of raising."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as handle:
            try:
                os.posix_fallocate(handle.fileno(), 0, file.stat().st_size)
            except OSError as error:
                if error.errno in FULL:
                    raise


@contextmanager
def locked(file, *, busy=None):
    """Hold the lock beside a file or folder; it ends with the process, however that ends.

    Waits for another process that holds it, or with ``busy``, a sentence, raises BlockingIOError saying so.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise BlockingIOError(busy) from None
        yield
