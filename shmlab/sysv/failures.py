"""How a failure of a System V call looks: an OSError with errno and "key 0x5ac70010" or "id 26148898".

sysv_ipc turns errno into exceptions of its own and drops the number; this module turns them back, and none
of its texts is passed on (one holds a literal "%o", FACTS P14). Imported by the other modules of
`shmlab.sysv`; no call is made here.
"""

import errno

import sysv_ipc

from shmlab.failures import INT_MAX, INT_MIN, UINT_MAX, check_range, failure


def signed_key(key: int) -> int:
    """Return *key* as C's ``key_t`` has it, a signed int.

    -2**31 … 2**31 - 1 as it is; 2**31 … 2**32 - 1 is the same 32 bits without the sign, as ipcs prints them,
    and as a hexadecimal constant in C is converted. OverflowError for what has more bits, which sysv_ipc
    would cut off silently (FACTS P13).
    """
    check_range(key, INT_MIN, UINT_MAX, "key")
    return key if key <= INT_MAX else key - 2**32


def of_key(key: int) -> str:
    """Return what an error calls the object with this key, written as ipcs writes it."""
    return f"key {key & UINT_MAX:#010x}"


def of_id(number: int) -> str:
    """Return what an error calls the object with this id."""
    return f"id {number}"


def translated(error: Exception, name: str, permission: int) -> OSError:
    """Return what errno was when sysv_ipc raised *error*; *permission* is what the call reports for that.

    EACCES for shmat and IPC_STAT, EPERM for IPC_RMID. sysv_ipc says the same of EINVAL and EIDRM; Linux
    answers EINVAL for an id that it doesn't know (any more), EIDRM only to who meets the removal halfway.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return failure(error.errno, name)
    if isinstance(error, sysv_ipc.PermissionsError):
        return failure(permission, name)
    if isinstance(error, MemoryError):
        return failure(errno.ENOMEM, name)
    return failure(errno.EINVAL, name)
