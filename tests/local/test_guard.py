"""The guard against a real owner, killed in the worst ways."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.local.waiting import is_alive, wait_until
from worker.local import guard

if TYPE_CHECKING:
    from pathlib import Path

#: An owner that starts a guarded server, says the server's process id, and then waits to be killed. With "fork", a
#: child that it forked goes on holding the pipe to the guard.
OWNER = """
import os, subprocess, sys
guard, folder, fork = sys.argv[1:]
server = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
command = [sys.executable, guard, str(os.getpid()), folder, "15", sys.executable, "-c", server]
started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
pid = started.stdout.readline().decode().strip()
child = os.fork() if fork == "fork" else 0
if fork == "fork" and child == 0:
    sys.stdout = None
    os.close(1)
    import time
    time.sleep(600)
print(pid, child, flush=True)
if fork == "late":
    started.stdin.close()
    import time
    while os.path.exists("/proc/" + pid):
        time.sleep(0.01)
    os._exit(0)
sys.stdin.read()
"""

#: A server that tidies up when it is asked to stop by the signal of its choice.
TIDY_SERVER = """
import os, signal, sys
def tidy_up(*_):
    os.write(1, b"tidied\\n")  # not print, which may be under way
    sys.exit(7)
signal.signal(int(sys.argv[1]), tidy_up)
print(os.getpid(), flush=True)
while True:
    signal.pause()
"""


def guarded(folder: Path, *command: str, stop: signal.Signals = signal.SIGTERM) -> subprocess.Popen[bytes]:
    """A guard of `command`, owned by this process; the command's output can be read from it."""
    return subprocess.Popen(
        [sys.executable, guard.__file__, str(os.getpid()), str(folder), str(int(stop)), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )


def server_pid(process: subprocess.Popen[bytes]) -> int:
    """The process id that a server printed as its first line."""
    assert process.stdout
    return int(process.stdout.readline())


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGQUIT])
def test_a_server_asked_to_stop_may_tidy_up(tmp_path: Path, stop: signal.Signals) -> None:
    """The order to stop reaches the server as the signal of its choice, and its own exit status comes back."""
    with guarded(tmp_path, sys.executable, "-c", TIDY_SERVER, str(int(stop)), stop=stop) as process:
        pid = server_pid(process)
        output, _ = process.communicate(guard.STOP)
    assert output == b"tidied\n"
    assert process.returncode == 7
    assert not is_alive(pid)


def test_a_server_that_is_killed_has_no_time_to_tidy_up(tmp_path: Path) -> None:
    """The order to kill is a crash, also for what the server has started."""
    with guarded(tmp_path, "sh", "-c", "trap 'echo tidied' TERM; sleep 600 & echo $!; wait") as process:
        child = server_pid(process)
        output, _ = process.communicate(guard.KILL)
    assert output == b""
    wait_until(lambda: not is_alive(child), "the server's child to be gone")


def test_a_guard_ends_with_its_server(tmp_path: Path) -> None:
    """A server that ends by itself is noticed without any order, and nothing is deleted."""
    with guarded(tmp_path, "sh", "-c", "exit 3") as process:
        assert process.wait() == 3
    assert tmp_path.exists()


def test_a_terminated_guard_stops_its_server(tmp_path: Path) -> None:
    """SIGTERM to the guard, as at a system's shut-down, stops the server in good order."""
    with guarded(tmp_path, "sh", "-c", "trap 'exit 0' TERM; echo $$; while :; do sleep 0.01; done") as process:
        pid = server_pid(process)
        process.terminate()
        assert process.wait() == 0
    assert not is_alive(pid)


def test_an_owner_whose_pipe_ends_a_moment_before_it_is_gone_has_died(tmp_path: Path) -> None:
    """The kernel closes the files of a process first; the server may have ended by then."""
    folder = tmp_path / "server"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, guard.__file__, str(folder), "late"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout
        server, _ = map(int, owner.stdout.readline().split())
        wait_until(lambda: not is_alive(server) and not folder.exists(), "the server and its folder to go")


@pytest.mark.parametrize("fork", ["no", "fork"])
def test_a_server_ends_when_its_owner_is_killed(tmp_path: Path, fork: str) -> None:
    """After SIGKILL of the owner its server and folder go, even while a process that it forked holds the pipe open."""
    folder = tmp_path / "server"
    folder.mkdir()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, guard.__file__, str(folder), fork], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with owner:
        assert owner.stdout
        server, child = map(int, owner.stdout.readline().split())
        try:
            owner.kill()
            wait_until(lambda: not is_alive(server) and not folder.exists(), "the server and its folder to go")
        finally:
            if child:
                os.kill(child, signal.SIGKILL)
