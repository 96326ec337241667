"""A process that has begun to keep its memory to itself, looked at from inside and outside."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import os, resource, sys
from nskd.secrecy import is_private, keep_memory_private
if sys.argv[1] == "keep":
    assert keep_memory_private()
print(is_private(), *resource.getrlimit(resource.RLIMIT_CORE), flush=True)
print(open("/proc/self/status").read().count("VmRSS"), flush=True)  # it can still look at itself
os.abort()
"""


@pytest.fixture
def cores_allowed() -> None:
    """As far as this machine lets us."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        pytest.skip("no process here may leave a core")


def abort(how: str, directory: Path) -> tuple[str, int]:
    def allow() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    with subprocess.Popen(
        [sys.executable, "-c", ASK, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=directory,
        preexec_fn=allow,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:
        assert process.stdout is not None
        told = process.stdout.read()
        _, status = os.waitpid(process.pid, 0)
        process.returncode = 0
    assert os.WTERMSIG(status) == signal.SIGABRT
    return told, status


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is of Linux")
def test_no_core_is_left(tmp_path: Path, cores_allowed: None) -> None:
    told, status = abort("keep", tmp_path)
    assert told.split() == ["True", "0", "0", "1"]
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []
    told, _ = abort("leave", tmp_path)
    assert told.split()[0] == "False"  # so that the question means something


LOOK = """
import ctypes, os, sys
from nskd.secrecy import keep_memory_private
os.setgid(65534)
os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # a change of user takes it away; as a service has it from its start
reader, writer = os.pipe()
ended, alive = os.pipe()
child = os.fork()
if child == 0:
    os.close(alive)  # so that it ends with its parent
    if sys.argv[1] == "keep":
        keep_memory_private()
    os.write(writer, b"r")
    os.read(ended, 1)
    os._exit(0)
os.read(reader, 1)
try:
    open(f"/proc/{child}/mem", "rb").close()
    print("seen")
except PermissionError:
    print("not seen")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to become another user")
def test_another_process_of_the_same_user_cannot_look() -> None:
    def look(how: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", LOOK, how],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        return done.stdout.strip()

    if look("leave") != "seen":
        pytest.skip("nobody can look at anybody here")
    assert look("keep") == "not seen"
