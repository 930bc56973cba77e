"""shmlab.sysv's segments: /proc/sysvipc/shm is the oracle, and libc called directly answers beside it."""

import ctypes
import errno
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sysv_ipc
from hypothesis import given, settings
from hypothesis import strategies as st

from shmlab import names, observe, sysv

RAW = ctypes.CDLL(None, use_errno=True)
RAW.shmget.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_int)
NEW = sysv.IPC_CREAT | sysv.IPC_EXCL
PAGE = os.sysconf("SC_PAGE_SIZE")


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run *code* in a process of its own, which may die or become somebody else."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def failing(call: Callable, *arguments) -> OSError:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        call(*arguments)
    return caught.value


def row(shmid: int) -> observe.Segment | None:
    """What /proc/sysvipc/shm says of a segment; None when it isn't there."""
    return next((each for each in observe.segments() if each.id == shmid), None)


def stat(shmid: int) -> "sysv.shmid_ds":
    return sysv.shmctl(shmid, sysv.IPC_STAT)


@pytest.fixture
def key() -> int:
    return names.key("segment")


@pytest.fixture
def segment(key) -> Iterator[int]:
    """The id of a segment of 5000 bytes."""
    made = sysv.shmget(key, 5000, NEW | 0o600)
    yield made
    with suppress(OSError):
        sysv.shmctl(made, sysv.IPC_RMID)


# shmget


def test_d25_a_new_segment_is_attached_to_nobody(segment, key):
    seen = row(segment)
    assert (seen.key, seen.size, seen.mode, seen.attached) == (key, 5000, 0o600, 0)
    assert (seen.cpid, seen.lpid, seen.atime) == (os.getpid(), 0, None)
    assert "SYSV" not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("size", [1, 5000, 3 * PAGE])
def test_p09_a_new_segment_is_filled_with_zeros(size):
    """sysv_ipc fills it with spaces."""
    made = sysv.shmget(sysv.IPC_PRIVATE, size, NEW | 0o600)
    with sysv.shmat(made) as attached:
        sysv.shmctl(made, sysv.IPC_RMID)
        assert attached.buf.tobytes() == bytes(size)


def test_d40_no_umask_is_applied():
    before = os.umask(0o077)
    try:
        made = sysv.shmget(sysv.IPC_PRIVATE, 1, sysv.IPC_CREAT | 0o666)
    finally:
        os.umask(before)
    assert row(made).mode == 0o666
    sysv.shmctl(made, sysv.IPC_RMID)


def test_d33_ipc_private_is_always_a_new_one():
    made = {sysv.shmget(sysv.IPC_PRIVATE, 1, 0o600) for _ in range(3)}
    assert len(made) == 3
    for each in made:
        assert row(each).key == 0
        sysv.shmctl(each, sysv.IPC_RMID)


def test_the_same_key_finds_it_and_leaves_its_mode_and_bytes(segment, key):
    with sysv.shmat(segment) as attached:
        attached.buf[0] = 7
        assert sysv.shmget(key, 0, 0) == segment
        assert sysv.shmget(key, 5000, sysv.IPC_CREAT | 0o666) == segment
        assert attached.buf[0] == 7
    assert row(segment).mode == 0o600


def test_failures_carry_errno_and_the_key_as_ipcs_writes_it(segment, key):
    spelled = f"key {key & 0xFFFFFFFF:#010x}"
    error = failing(sysv.shmget, key, 5000, NEW | 0o600)
    assert (type(error), error.errno, error.filename) == (FileExistsError, errno.EEXIST, spelled)
    assert str(error) == f"[Errno 17] File exists: '{spelled}'"
    assert (failing(sysv.shmget, key, 5001, 0).errno, failing(sysv.shmget, key, 5001, NEW).errno) == (22, 17)
    sysv.shmctl(segment, sysv.IPC_RMID)
    error = failing(sysv.shmget, key, 0, 0)
    assert (type(error), error.errno, error.filename) == (FileNotFoundError, errno.ENOENT, spelled)
    error = failing(sysv.shmget, sysv.IPC_PRIVATE, 0, 0o600)
    assert (error.errno, error.filename) == (errno.EINVAL, "key 0x00000000")


KEYS = st.one_of(st.integers(-(2**31), 2**32 - 1), st.integers(-3, 3).map(lambda n: 2**31 + n)).filter(
    lambda key: key & 0xFFFFFFFF
)


@given(KEYS)
@settings(max_examples=100, deadline=None)
def test_p13_a_key_has_32_bits_signed_or_not(key):
    """C's key_t is signed, ipcs prints it without a sign; sysv_ipc cuts off what has more bits."""
    try:
        made = sysv.shmget(key, 1, NEW | 0o600)
    except FileExistsError:  # somebody's
        return
    try:
        signed = ctypes.c_int(key).value
        assert row(made).key == signed
        assert stat(made).shm_perm.key == signed
        assert sysv.shmget(signed, 0, 0) == made == sysv.shmget(key & 0xFFFFFFFF, 0, 0)
    finally:
        sysv.shmctl(made, sysv.IPC_RMID)


@pytest.mark.parametrize("key", [2**32, 2**32 + 7, 2**63, -(2**31) - 1, 10**30])
def test_p13_a_longer_key_is_refused(key):
    before = observe.segments()
    with pytest.raises(OverflowError, match=f"key is {key}, which the C type can't hold"):
        sysv.shmget(key, 1, NEW | 0o600)
    assert observe.segments() == before


@pytest.mark.parametrize("arguments", [(5, -1, 0), (5, 2**64, 0), (5, 1, 2**31), (5, 1, -(2**31) - 1)])
def test_what_the_c_type_cannot_hold_is_refused(arguments):
    with pytest.raises(OverflowError):
        sysv.shmget(*arguments)


@pytest.mark.parametrize("arguments", [("5", 1, 0), (5, 1.5, 0), (5, 1, None), (2.0, 1, 0)])
def test_what_is_no_integer_is_refused(arguments):
    with pytest.raises(TypeError):
        sysv.shmget(*arguments)


@given(
    size=st.one_of(st.integers(0, 9000), st.integers(2**63 - 9, 2**64 - 1)),
    flags=st.sampled_from([0, sysv.IPC_CREAT, NEW, sysv.IPC_EXCL, NEW | sysv.SHM_NORESERVE]),
    exists=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_sizes_and_flags_get_libcs_own_answer(size, flags, exists):
    key = names.key("answers")

    def answer(call: Callable[[], int]) -> tuple[int, int | None]:
        made = sysv.shmget(key, 5000, NEW | 0o600) if exists else None
        try:
            found = call()
            seen = row(found) if found >= 0 else None
            return 0 if found >= 0 else ctypes.get_errno(), seen and seen.size
        except OSError as error:
            return error.errno, None
        finally:
            for each in observe.segments():
                if each.key == key:
                    sysv.shmctl(each.id, sysv.IPC_RMID)
            assert made is None or row(made) is None

    ours = answer(lambda: sysv.shmget(key, size, flags | 0o600))
    assert ours == answer(lambda: RAW.shmget(key, size, flags | 0o600))


# ftok


def test_f39_ftok_is_of_device_and_inode_and_silent(tmp_path, recwarn):
    path = tmp_path / "file"
    path.touch()
    seen = os.stat(path)
    for proj_id in (0, 1, 65, 255, 257, -1):
        expected = (proj_id & 0xFF) << 24 | (seen.st_dev & 0xFF) << 16 | seen.st_ino & 0xFFFF
        assert sysv.ftok(str(path), proj_id) == ctypes.c_int(expected).value
        assert sysv.ftok(path, proj_id) == RAW.ftok(os.fsencode(path), proj_id)
    assert sysv.ftok(str(path), 1) == sysv.ftok(str(path), 257)
    assert not recwarn.list


def test_ftok_says_which_file_is_missing(tmp_path):
    error = failing(sysv.ftok, str(tmp_path / "absent"), 1)
    assert (type(error), error.errno, error.filename) == (FileNotFoundError, 2, str(tmp_path / "absent"))
    with pytest.raises(OverflowError):
        sysv.ftok(str(tmp_path), 2**31)
    with pytest.raises(ValueError, match="null character"):
        sysv.ftok("/a\0b", 1)


# IPC_STAT


def test_ipc_stat_is_what_proc_and_libc_say(segment, key):
    with sysv.shmat(segment):
        ours, seen = stat(segment), row(segment)
        perm = ours.shm_perm
        assert (perm.key, perm.mode, perm.uid, perm.gid, perm.cuid, perm.cgid) == (
            *(key, seen.mode, seen.uid, seen.gid, seen.cuid, seen.cgid),
        )
        assert perm.seq == segment // 32768  # F41
        assert (ours.shm_segsz, ours.shm_nattch, ours.shm_cpid, ours.shm_lpid) == (
            *(5000, 1, os.getpid(), os.getpid()),
        )
        assert (ours.shm_atime, ours.shm_dtime, ours.shm_ctime) == (seen.atime, None, seen.ctime)
    assert stat(segment).shm_dtime == row(segment).dtime is not None


def test_times_are_aware_and_of_now(segment):
    changed = stat(segment).shm_ctime
    assert changed.tzinfo is not None
    assert abs(datetime.now(UTC) - changed) < timedelta(seconds=10)
    assert stat(segment).shm_atime is None


@pytest.mark.skipif(not shutil.which("ipcs"), reason="needs ipcs")
def test_ipcs_says_the_same(segment, key):
    said = subprocess.run(
        ["ipcs", "-m", "-i", str(segment)], capture_output=True, text=True, timeout=30
    ).stdout
    told = dict(re.findall(r"(\w+)=(\S+)", said))
    ours = stat(segment)
    perm = ours.shm_perm
    assert (int(told["uid"]), int(told["cuid"]), int(told["mode"], 8)) == (perm.uid, perm.cuid, perm.mode)
    assert (int(told["bytes"]), int(told["cpid"]), int(told["nattch"])) == (5000, ours.shm_cpid, 0)
    listed = subprocess.run(["ipcs", "-m"], capture_output=True, text=True, timeout=30).stdout
    assert f"{key & 0xFFFFFFFF:#010x}" in listed


def test_its_values_are_frozen_and_show_what_they_hold(segment, key):
    with sysv.shmat(segment):
        sysv.shmctl(segment, sysv.SHM_LOCK)
        sysv.shmctl(segment, sysv.IPC_RMID)
        ours = stat(segment)
    assert type(ours) is sysv.shmid_ds
    assert repr(ours.shm_perm).startswith("ipc_perm(key=0x00000000, uid=")
    assert "mode=0o600 | SHM_DEST | SHM_LOCKED, seq=" in repr(ours)
    assert "shm_segsz=5000, shm_atime=20" in repr(ours)
    with pytest.raises(FrozenInstanceError):
        ours.shm_segsz = 1
    html = ours._repr_html_()
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", html)
    assert cells[:2] == ["shm_perm.key", "0x00000000"]
    assert {"shm_perm.mode", "0o600 | SHM_DEST | SHM_LOCKED", "shm_segsz", "5,000 B", "shm_dtime"} <= set(
        cells
    )
    assert cells[cells.index("shm_dtime") + 1] == "never"
    assert cells[cells.index("shm_lpid") + 1] == str(os.getpid())


# IPC_SET


def test_d60_ipc_set_changes_what_the_kernel_lets_it_change(segment, key):
    before = stat(segment)
    wanted = replace(
        before,
        shm_perm=replace(before.shm_perm, mode=0o7604, key=5, cuid=7, cgid=7, seq=9),
        shm_segsz=99,
        shm_nattch=77,
        shm_cpid=1,
        shm_lpid=1,
        shm_atime=before.shm_ctime,
    )
    sysv.shmctl(segment, sysv.IPC_SET, wanted)
    after = stat(segment)
    assert after.shm_perm.mode == 0o604
    assert replace(after, shm_perm=before.shm_perm, shm_ctime=before.shm_ctime) == before
    assert replace(after.shm_perm, mode=0o600) == before.shm_perm
    assert row(segment).mode == 0o604


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give it away")
def test_ipc_set_gives_it_away_and_the_creator_stays(segment):
    before = stat(segment)
    sysv.shmctl(
        segment, sysv.IPC_SET, replace(before, shm_perm=replace(before.shm_perm, uid=65534, gid=65533))
    )
    seen = row(segment)
    assert (seen.uid, seen.gid, seen.cuid, seen.cgid) == (65534, 65533, os.getuid(), os.getgid())


def test_ipc_set_needs_a_shmid_ds_and_nothing_else_does(segment):
    ours = stat(segment)
    for bad in (None, 5, ours.shm_perm, {"mode": 0o600}):
        with pytest.raises(TypeError, match="IPC_SET needs a shmid_ds"):
            sysv.shmctl(segment, sysv.IPC_SET, bad)
    for cmd in (sysv.IPC_STAT, sysv.IPC_RMID, sysv.SHM_LOCK):
        with pytest.raises(TypeError, match="buf is for IPC_SET only"):
            sysv.shmctl(segment, cmd, ours)
    for wrong in ({"uid": 2**32}, {"uid": -1}, {"mode": 2**32}):
        with pytest.raises(OverflowError):
            sysv.shmctl(segment, sysv.IPC_SET, replace(ours, shm_perm=replace(ours.shm_perm, **wrong)))
    assert stat(segment) == ours


# IPC_RMID


def test_d61_ipc_rmid_removes_at_once_what_nobody_has_attached(segment, key):
    assert sysv.shmctl(segment, sysv.IPC_RMID) is None
    assert row(segment) is None
    for cmd in (sysv.IPC_STAT, sysv.IPC_RMID, sysv.SHM_UNLOCK):
        error = failing(sysv.shmctl, segment, cmd)
        assert (error.errno, error.filename) == (errno.EINVAL, f"id {segment}")


def test_d28_ipc_rmid_disconnects_nobody(segment, key):
    with sysv.shmat(segment) as attached:
        attached.buf[:6] = b"before"
        sysv.shmctl(segment, sysv.IPC_RMID)
        assert stat(segment).shm_perm.mode == 0o600 | sysv.SHM_DEST
        assert stat(segment).shm_perm.key == 0
        sysv.shmctl(segment, sysv.IPC_RMID)  # again: 0
        with sysv.shmat(segment) as again:  # F45
            assert again.buf[:6] == b"before"
        other = sysv.shmget(key, 1, NEW | 0o600)  # F42
        assert other != segment
        sysv.shmctl(other, sysv.IPC_RMID)
    assert row(segment) is None


# The other commands


def test_f46_lock_and_unlock(segment):
    assert sysv.shmctl(segment, sysv.SHM_LOCK) is None
    assert stat(segment).shm_perm.mode == 0o600 | sysv.SHM_LOCKED
    sysv.shmctl(segment, sysv.SHM_UNLOCK)
    assert stat(segment).shm_perm.mode == 0o600


def test_by_index_and_the_two_infos(segment, key):
    highest, used = sysv.shmctl(0, sysv.SHM_INFO)
    again, limits = sysv.shmctl(0, sysv.IPC_INFO)
    index = segment % 32768
    assert highest >= index <= again
    everybodys = observe.segments()
    assert used.used_ids == len(everybodys)
    assert used.shm_tot == sum(-(-each.size // PAGE) for each in everybodys)
    for field in ("shmmax", "shmmni", "shmall"):
        assert getattr(limits, field) == int(Path(f"/proc/sys/kernel/{field}").read_text())
    assert limits.shmmin == 1
    for cmd in (sysv.SHM_STAT, sysv.SHM_STAT_ANY):
        assert sysv.shmctl(index, cmd) == (segment, stat(segment))
    error = failing(sysv.shmctl, 32767, sysv.SHM_STAT)
    assert (error.errno, error.filename) == (errno.EINVAL, "index 32767")


def test_unknown_commands_and_ids_are_the_kernels_to_refuse(segment):
    for number, cmd in ((segment, 999), (segment, -1), (-1, sysv.IPC_STAT), (-1, sysv.IPC_RMID)):
        error = failing(sysv.shmctl, number, cmd)
        assert (error.errno, error.filename) == (errno.EINVAL, f"id {number}")
    for arguments in ((2**31, sysv.IPC_STAT), (2**31, sysv.IPC_RMID), (-(2**31) - 1, 2), (segment, 2**31)):
        with pytest.raises(OverflowError):
            sysv.shmctl(*arguments)


# Somebody else


ELSEWHERE = """
    import os, resource
    from dataclasses import replace
    from shmlab import sysv
    from shmlab.sysv import records  # while its files can be read
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    def tell(call, *arguments):
        try:
            print(call(*arguments))
        except OSError as error:
            print(type(error).__name__, error.errno, error.filename)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
def test_d43_another_user_of_0644(key):
    """sysv_ipc asks for 0600 unless told otherwise, and its refusal holds a literal "%o" (P14)."""
    made = sysv.shmget(key, 5000, NEW | 0o644)
    with sysv.shmat(made) as attached:
        attached.buf[:4] = b"mine"
        code = f"""
            ours = sysv.shmctl({made}, sysv.IPC_STAT)
            tell(sysv.shmget, {key}, 0, 0o600)
            tell(sysv.shmget, {key}, 0, 0)
            tell(sysv.shmat, {made})
            with sysv.shmat({made}, None, sysv.SHM_RDONLY) as attached:
                print(attached.buf[:4].tobytes(), attached.buf.readonly, attached.length)
            tell(sysv.shmctl, {made}, sysv.IPC_SET, ours)
            tell(sysv.shmctl, {made}, sysv.IPC_RMID)
            tell(sysv.shmctl, {made}, sysv.SHM_LOCK)
        """
        said = python(textwrap.dedent(ELSEWHERE) + textwrap.dedent(code))
    sysv.shmctl(made, sysv.IPC_RMID)
    refused, kept = f"PermissionError 13 key {key & 0xFFFFFFFF:#010x}", f"PermissionError 1 id {made}"
    expected = [refused, str(made), f"PermissionError 13 id {made}", "b'mine' True 5000", kept, kept, kept]
    assert said.stdout.splitlines() == expected, said.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
def test_d59_who_may_only_write_may_neither_ask_nor_attach(key):
    """The mode 0200: every attach needs permission to read, so who may attach may ask for the size."""
    code = f"""
        made = sysv.shmget({key}, 4096, sysv.IPC_CREAT | 0o200)
        print(sysv.shmget({key}, 0, 0o200) == made)
        for call in (lambda: sysv.shmctl(made, sysv.IPC_STAT), lambda: sysv.shmat(made),
                     lambda: sysv.shmat(made, None, sysv.SHM_RDONLY)):
            try:
                call()
            except PermissionError as error:
                print(error.errno, error.filename == f"id {{made}}")
        number, ours = sysv.shmctl(made % 32768, sysv.SHM_STAT_ANY)
        print(number == made, ours.shm_segsz)
        sysv.shmctl(made, sysv.IPC_SET, replace(ours, shm_perm=replace(ours.shm_perm, mode=0o600)))
        print(oct(sysv.shmctl(made, sysv.IPC_STAT).shm_perm.mode))
        tell(sysv.shmctl, made, sysv.IPC_RMID)
    """
    said = python(textwrap.dedent(ELSEWHERE) + textwrap.dedent(code))
    expected = ["True", "13 True", "13 True", "13 True", "True 4096", "0o600", "None"]
    assert said.stdout.splitlines() == expected, said.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
def test_f46_locking_has_a_limit():
    code = """
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
        made = sysv.shmget(sysv.IPC_PRIVATE, 1 << 20, 0o600)
        try:
            sysv.shmctl(made, sysv.SHM_LOCK)
        except OSError as error:
            print(error.errno, error.filename == f"id {made}")
        sysv.shmctl(made, sysv.IPC_RMID)
    """
    said = python(textwrap.dedent(ELSEWHERE) + textwrap.dedent(code))
    assert said.stdout == f"{errno.ENOMEM} True\n", said.stderr


def test_p14_no_message_is_sysv_ipcs(segment, key):
    """The library's own words: kept here, so that their change is noticed."""
    errors = [
        failing(sysv.shmget, key, 5000, NEW),
        failing(sysv.shmget, key, 9000, 0),
        failing(sysv.shmat, -1),
        failing(sysv.shmctl, -1, sysv.IPC_RMID),
    ]
    for error in errors:
        assert error.strerror == os.strerror(error.errno)
        assert "%" not in str(error)
    with pytest.raises(sysv_ipc.ExistentialError, match="No shared memory with id -1 exists"):
        sysv_ipc.remove_shared_memory(-1)


def test_p15_a_segment_outlives_the_program_that_dies(key):
    """Nothing here tidies up behind anybody's back: a segment is the kernel's until IPC_RMID."""
    said = python(f"from shmlab import sysv\nsysv.shmat(sysv.shmget({key}, 1, 0o1600)).buf[0] = 7\n1 / 0")
    assert "ZeroDivisionError" in said.stderr
    found = sysv.shmget(key, 0, 0)
    with sysv.shmat(found) as attached:
        assert attached.buf[0] == 7
    assert stat(found).shm_nattch == 0
    sysv.shmctl(found, sysv.IPC_RMID)


def test_a_worker_that_calls_nothing_loads_nothing_heavy():
    """Started as workers are: without site, which loads things of its own."""
    code = (
        f"import sys; sys.path[:0] = {[each for each in sys.path if each]!r}; from shmlab import sysv; "
        "heavy = {'ctypes', 'typing', 'dataclasses', 'numpy', 'weakref', 'collections', 'datetime'}; "
        "print(sorted(heavy & set(sys.modules)), sysv.sembuf(0, 1)); "
        "print(sysv.shmid_ds.__name__, 'ctypes' in sys.modules)"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    expected = ["[] sembuf(sem_num=0, sem_op=1, sem_flg=0)", "shmid_ds True"]
    assert said.stdout.splitlines() == expected, said.stderr


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_every_call_is_the_system_call_of_its_name(tmp_path):
    """shmat also asks for the size, and SETALL and GETALL for the number: nothing else is added."""
    code = """
        from shmlab import sysv
        shmid = sysv.shmget(sysv.IPC_PRIVATE, 5000, sysv.IPC_CREAT | 0o600)
        attached = sysv.shmat(shmid, None, sysv.SHM_RDONLY)
        attached.buf[0]
        sysv.shmctl(shmid, sysv.IPC_STAT)
        sysv.shmdt(attached)
        sysv.shmctl(shmid, sysv.IPC_RMID)
        semid = sysv.semget(sysv.IPC_PRIVATE, 2, 0o600)
        sysv.semctl(semid, 0, sysv.SETVAL, 3)
        sysv.semctl(semid, 0, sysv.GETALL)
        sysv.semtimedop(semid, [(0, -1), (1, 1, sysv.SEM_UNDO)], 1.5)
        sysv.semctl(semid, 0, sysv.IPC_RMID)
    """
    trace, calls = tmp_path / "trace", "shmget,shmat,shmctl,shmdt,semget,semctl,semop,semtimedop"
    command = ["strace", "-o", trace, "-e", f"trace={calls}", sys.executable, "-c", textwrap.dedent(code)]
    subprocess.run(command, check=True, timeout=60)
    lines = [line for line in trace.read_text().splitlines() if re.match(r"\w+\(", line)]
    words = [re.findall(r"^\w+|\b(?:IPC|SHM|GET|SET)_?[A-Z]+\b", line) for line in lines]
    assert [" ".join(each) for each in words] == [
        "shmget IPC_PRIVATE IPC_CREAT",
        *("shmat SHM_RDONLY", "shmctl IPC_STAT"),
        "shmctl IPC_STAT",
        "shmdt",
        "shmctl IPC_RMID",
        "semget IPC_PRIVATE",
        "semctl SETVAL",
        *("semctl IPC_STAT", "semctl GETALL"),
        "semtimedop",
        "semctl IPC_RMID",
    ]
    assert re.search(r"sem_op=-1.*SEM_UNDO.*tv_sec=1, tv_nsec=500000000", lines[-2])


def test_all_that_is_named_is_there():
    for name in sysv.__all__:
        assert getattr(sysv, name) is not None
        assert name in dir(sysv)
    with pytest.raises(AttributeError, match="has no attribute 'shmgot'"):
        sysv.shmgot  # noqa: B018
