from __future__ import annotations

import os
import pwd
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.control.endpoint import EndpointError, control_endpoint
from nskd.control.lines import LineReader, LineTooLongError
from nskd.control.roles import Credentials, Role, RoleError, RoleMap


def test_mode_from_the_start_and_removal(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    before = os.umask(0)
    try:
        with control_endpoint(path, gid=os.getgid()) as listener:
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert not listener.getblocking()
        assert not path.exists()
        assert os.umask(0) == 0  # put back
    finally:
        os.umask(before)


def test_a_dead_daemons_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with control_endpoint(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_live_daemons_socket_is_not(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with control_endpoint(path):
        with pytest.raises(EndpointError, match="another daemon listens on it"), control_endpoint(path):
            pass
        assert path.exists()


def test_a_socket_put_in_our_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with control_endpoint(path):
        path.rename(tmp_path / "old")
        path.touch()
    assert path.exists()


def test_other_things_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path / "file", "not a socket"),
        (tmp_path, "not a socket"),
        (tmp_path / "none" / "c.sock", "cannot listen there"),
        (tmp_path / "file" / "c.sock", "cannot be looked at"),
        (tmp_path / ("x" * 108), "longer than 107 bytes"),
    ):
        with pytest.raises(EndpointError, match=said), control_endpoint(path):
            pass
    assert (tmp_path / "file").exists()


def credentials(uid: int, gid: int = 7) -> Credentials:
    return Credentials(pid=1, uid=uid, gid=gid)


def test_roles_by_user_and_group() -> None:
    roles = RoleMap(
        users={10: Role.READ},
        groups={20: Role.APPROVE, 21: Role.OPERATE},
        own_uid=500,
        groups_of=lambda uid, gid: frozenset({gid, 21} if uid == 12 else {gid}),
    )
    assert roles.role_of(credentials(0)) is Role.ADMIN
    assert roles.role_of(credentials(500)) is Role.ADMIN
    assert roles.role_of(credentials(10)) is Role.READ
    assert roles.role_of(credentials(10, 20)) is Role.APPROVE
    assert roles.role_of(credentials(11)) is None
    assert roles.role_of(credentials(12)) is Role.OPERATE
    assert roles.role_of(credentials(12, 20)) is Role.APPROVE


def test_roles_from_configuration() -> None:
    root = pwd.getpwuid(0)
    roles = RoleMap.parse({"approve": [root.pw_name, "1004"], "read": ["1004", "@77", "@" + root.pw_name]})
    assert roles.users == {0: Role.APPROVE, 1004: Role.APPROVE}
    assert roles.groups == {77: Role.READ, 0: Role.READ}
    assert roles.own_uid == os.geteuid()
    assert RoleMap(groups={0: Role.READ}, own_uid=500).role_of(credentials(123_456, 0)) is Role.READ
    for wrong in (
        {"boss": ["root"]},
        {"read": ["no-such-user"]},
        {"read": ["@no-such-group"]},
        {"read": ["-1"]},
    ):
        with pytest.raises(RoleError):
            RoleMap.parse(wrong)


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=9), st.data())
def test_lines_come_out_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=9)))
    reader = LineReader(20)
    got = []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.receive_data(stream[start:stop])
        while (line := reader.next_line()) is not None:
            got.append(line)
    assert got == [line.strip() for line in lines if line.strip()]


def test_a_line_has_an_end() -> None:
    for data in (b"x" * 21, b"x" * 21 + b"\n"):
        reader = LineReader(20)
        reader.receive_data(data)
        with pytest.raises(LineTooLongError):
            reader.next_line()
