"""Doing offline work in a state directory as the user it belongs to, so that the daemon can read what comes of it."""

from __future__ import annotations

import os
from pathlib import Path

from nskd.errors import OperatorError


def become_owner(directory: Path) -> None:
    """Give up root for the owner of ``directory``, for good; others than the two get an ``OperatorError``.

    To be called once everything that only root can read has been read.
    """
    try:
        status = directory.stat()
    except OSError as error:
        raise OperatorError(
            f"it cannot be found: {error.strerror}",
            where=str(directory),
            remedy="Create it and give it to the user the daemon runs as.",
        ) from error
    if os.geteuid() == status.st_uid:
        return
    if os.geteuid() != 0:
        raise OperatorError(
            "it belongs to another user", where=str(directory), remedy="Run this as root, or as the user it belongs to."
        )
    os.setgroups([])
    os.setresgid(status.st_gid, status.st_gid, status.st_gid)
    os.setresuid(status.st_uid, status.st_uid, status.st_uid)
