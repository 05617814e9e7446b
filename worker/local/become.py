"""Become another user and then a program: `python become.py UID:GID LOCK COMMAND...`, standard library only.

The file LOCK stays locked for as long as any process lives that the program has started, also one that left its process
group. Whoever starts the program again with the same file waits until the last of them is gone: PostgreSQL would refuse to
start. An empty UID:GID changes no user.
"""

from __future__ import annotations

import fcntl
import os
import sys

__all__: list[str] = []


def _main(user: str, lock: str, command: list[str]) -> None:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(descriptor, True)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if user:
        uid, gid = map(int, user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.execv(command[0], command)  # noqa: S606 - it is what we are for


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3:])
