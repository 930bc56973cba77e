"""A /dev/shm of one process alone, so that a lesson may fill it and nobody else finds it full.

No program: programs call it first thing. Its C twin is private_shm.h. (The calls of the lessons are in
``shmlab.posix``; these two, unshare and mount, no lesson teaches.)
"""

import os

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000  # sched.h
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 2, 4, 0x4000, 0x40000  # sys/mount.h


def private_shm(size: int) -> None:
    """Mount an empty tmpfs of *size* bytes over /dev/shm, seen by this process alone and gone with it.

    Root does it in a mount namespace of its own, an ordinary user in a user namespace as well; what was open
    or mapped before stays. Raises PermissionError (EPERM, EACCES) or another OSError where the machine
    doesn't permit it: in most containers, and where ordinary users may make no namespace.

    Source: unshare(2), mount(2), user_namespaces(7), tmpfs(5).
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)

    def call(function: str, *arguments: object) -> None:
        if getattr(libc, function)(*arguments) == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), function)

    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        call("unshare", CLONE_NEWNS)
    else:
        call("unshare", CLONE_NEWNS | CLONE_NEWUSER)
        lines = {"setgroups": "deny", "uid_map": f"{uid} {uid} 1", "gid_map": f"{gid} {gid} 1"}
        for file, line in lines.items():
            with open(f"/proc/self/{file}", "w") as opened:
                opened.write(line)
    # First of all this: otherwise the mount below might spread to everybody's /dev/shm.
    call("mount", None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", ctypes.c_ulong(MS_NOSUID | MS_NODEV), b"size=%d" % size)
