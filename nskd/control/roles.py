"""Who is at the other end of the socket, and what that person may do.

The kernel tells the uid, gid and pid of the peer (``SO_PEERCRED``); there is no password to leak or to
forget.  A role includes those below it.
"""

from __future__ import annotations

import enum
import grp
import os
import pwd
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import attrs

from nskd.errors import OperatorError

_UCRED = struct.Struct("3i")


class Role(enum.IntEnum):
    """What a person on this machine may do."""

    READ = 1  # look
    OPERATE = 2  # submit and run requests
    APPROVE = 3  # decide for the centre
    ADMIN = 4  # stop and reload the daemon

    @property
    def word(self) -> str:
        """As written in configuration and messages."""
        return self.name.lower()


@attrs.frozen
class Credentials:
    """As the kernel reports them."""

    pid: int
    uid: int
    gid: int


class HasSocketOptions(Protocol):
    """A socket, whichever library it is of."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """Read a socket option."""


def peer_credentials(connection: HasSocketOptions) -> Credentials:
    """Ask the kernel who connected; it answers for the moment of ``connect``."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Credentials(*_UCRED.unpack(raw))


class RoleError(OperatorError):
    """A principal in the configuration that this machine does not know."""


def _groups_of(uid: int, gid: int) -> frozenset[int]:
    """Look up all groups of a user; SO_PEERCRED reports only the primary one."""
    try:
        return frozenset(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except (KeyError, OSError):
        return frozenset({gid})


def user_name(uid: int) -> str:
    """Return the user's name, or the number as text when the machine has none for it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@attrs.frozen
class RoleMap:
    """Roles by uid and by gid.  Root and the daemon's own user are always ``ADMIN``."""

    users: Mapping[int, Role] = attrs.field(factory=dict)
    groups: Mapping[int, Role] = attrs.field(factory=dict)
    own_uid: int = attrs.field(factory=os.geteuid)
    groups_of: Callable[[int, int], frozenset[int]] = attrs.field(default=_groups_of, repr=False)

    @classmethod
    def parse(cls, principals: Mapping[str, Iterable[str]]) -> RoleMap:
        """Read role → principals, as in ``{"approve": ["anna", "1004", "@stewards"]}``; ``@`` marks a group.

        Raises :class:`RoleError` for an unknown role, user or group: a typing error must not lock people out
        in silence, nor let anyone in.
        """
        users: dict[int, Role] = {}
        groups: dict[int, Role] = {}
        words = {role.word: role for role in Role}
        for word, names in principals.items():
            if word not in words:
                raise RoleError(
                    f"unknown role {word!r}", where="[control.roles]", remedy=f"Roles are {', '.join(words)}."
                )
            for name in names:
                table, number = (groups, group_id(name[1:])) if name.startswith("@") else (users, _uid(name))
                table[number] = max(words[word], table.get(number, Role.READ))
        return cls(users=users, groups=groups)

    def role_of(self, credentials: Credentials) -> Role | None:
        """Return the highest role these credentials carry, or ``None`` for a stranger."""
        if credentials.uid in (0, self.own_uid):
            return Role.ADMIN
        roles = [self.users[credentials.uid]] if credentials.uid in self.users else []
        if self.groups:
            member = self.groups_of(credentials.uid, credentials.gid)
            roles.extend(role for gid, role in self.groups.items() if gid in member)
        return max(roles, default=None)


def _uid(name: str) -> int:
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise RoleError(
            f"this machine has no user {name!r}",
            where="[control.roles]",
            remedy="Create it, or correct the name.",
        ) from None


def group_id(name: str) -> int:
    """Look up a group by name or number; raises :class:`RoleError`."""
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise RoleError(
            f"this machine has no group {name!r}",
            where="[control.roles]",
            remedy="Create it, or correct the name.",
        ) from None
