"""The socket file: of the right mode from the start, never over a live daemon's, removed on the way out."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nskd.control.limits import SUN_PATH_BYTES_MAX
from nskd.errors import OperatorError

_UMASK: Final = 0o117  # leaves 0660
_BACKLOG: Final = 64


class EndpointError(OperatorError):
    """The control socket cannot be made."""


@contextlib.contextmanager
def control_endpoint(path: Path, *, gid: int | None = None) -> Iterator[socket.socket]:
    """Open a listening, non-blocking Unix socket at ``path``, mode 0660 and of group ``gid`` if given.

    A socket file left by a dead daemon is replaced; one that answers is another daemon's and is an error.  On
    exit the file is removed if it is still ours.
    """
    where = str(path)
    if len(os.fsencode(path)) > SUN_PATH_BYTES_MAX:
        raise EndpointError(
            f"the path is longer than {SUN_PATH_BYTES_MAX} bytes", where=where, remedy="Choose a shorter one."
        )
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        # The mask is the whole process's: nothing may await, and no other thread make files, between these
        # lines.
        before = os.umask(_UMASK)
        try:
            listener.bind(os.fspath(path))
        finally:
            os.umask(before)
        ours = path.lstat().st_ino
        if gid is not None:
            os.chown(path, -1, gid)
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        raise EndpointError(
            f"cannot listen there: {exc.strerror}",
            where=where,
            remedy="Check the directory and its permissions.",
        ) from None
    try:
        yield listener
    finally:
        listener.close()
        with contextlib.suppress(OSError):
            if path.lstat().st_ino == ours:
                path.unlink()


def _clear(path: Path) -> None:
    """Remove a dead socket file; raise for anything else in the way."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as exc:
        raise EndpointError(
            f"cannot be looked at: {exc.strerror}", where=str(path), remedy="Check the directory."
        ) from None
    if not stat.S_ISSOCK(mode):
        raise EndpointError(
            "something that is not a socket is in the way",
            where=str(path),
            remedy="Move it, or choose another path.",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        reason = probe.connect_ex(os.fspath(path))
    if reason == errno.ECONNREFUSED:  # nobody holds it: a daemon that was killed
        path.unlink(missing_ok=True)
    elif reason != errno.ENOENT:  # 0: it answers; EAGAIN: it is there, its queue is full; EACCES: not ours to judge
        raise EndpointError(
            "another daemon listens on it", where=str(path), remedy="Stop that one, or choose another path."
        )
