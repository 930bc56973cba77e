"""System V tables, against ipcs(1)."""

import contextlib
import grp
import json
import pwd
import re
import subprocess
import time

import pytest
import sysv_ipc

from shmlab import observe, sysv


def ipcs(*options):
    command = ["ipcs", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


def lsipc(*options):
    columns = "KEY,ID,SIZE,NATTCH,CPID,LPID,UID,CUID,GID,CGID,PERMS"
    command = ["lsipc", "--json", "--bytes", "--numeric-perms", "--output", columns, *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


def line_of_id(number, text):
    return next(line for line in text.splitlines() if line.split()[:1] == [str(number)])


def ipcs_details(option, number):
    """Read ``ipcs -m -i ID`` back: fields as name=value, and times."""
    text = ipcs(option, "-i", str(number))
    fields = dict(re.findall(r"(\w+)\s*=\s*(\S+)", text))
    times = dict(re.findall(r"^(\w+_time|otime|ctime)\s*=\s*(.+?)\s*$", text, re.MULTILINE))
    return fields, times


def ours(rows, number):
    return next((row for row in rows if row.id == number), None)


def line_of(number, text):
    rows = (line.rstrip() for line in text.splitlines() if line.startswith("0x"))
    return next(line for line in rows if int(line.split()[1]) == number)


def as_ipcs_writes(moment):
    # ipcs pads the day with a blank: "Mon Nov  2".
    return "Not set" if moment is None else f"{moment:%a %b} {moment.day:2d} {moment:%H:%M:%S %Y}"


@pytest.fixture
def segment():
    memory = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, mode=0o640, size=5000, init_character=b"\0")
    yield memory
    with contextlib.suppress(sysv_ipc.Error):
        memory.detach()
    if ours(observe.segments(), memory.id) is not None:
        memory.remove()


def test_a_segment_is_what_ipcs_says(segment):
    row = ours(observe.segments(), segment.id)
    fields, times = ipcs_details("-m", segment.id)
    for name in ("uid", "gid", "cuid", "cgid", "lpid", "cpid"):
        assert getattr(row, name) == int(fields[name])
    assert row.mode == int(fields["mode"], 8) == 0o640
    assert row.size == int(fields["bytes"]) == 5000
    assert row.attached == int(fields["nattch"]) == 1
    assert row.resident == 8192
    for name, moment in (("att", row.atime), ("det", row.dtime), ("change", row.ctime)):
        assert as_ipcs_writes(moment) == times[f"{name}_time"]
    assert row.dtime is None
    assert row.ctime.tzinfo is not None
    assert abs(row.ctime.timestamp() - time.time()) < 60
    words = [f"0x{row.key & 0xFFFFFFFF:08x}", str(row.id), row.owner, "640", "5000", "1"]
    assert line_of(segment.id, ipcs("-m")).split() == words
    assert f"key=0x{segment.key:08x}" in repr(row)


def test_the_table_has_the_segments_that_ipcs_lists(segment):
    listed = {int(line.split()[1]) for line in ipcs("-m").splitlines() if line.startswith("0x")}
    assert segment.id in listed & {row.id for row in observe.segments()}
    line = line_of(segment.id, repr(observe.segments()))
    assert "rw-r----- (0640)" in line
    assert "5,000 B" in line


def test_a_removed_segment_is_dest_until_it_is_detached(segment):
    assert not ours(observe.segments(), segment.id).dest
    segment.remove()
    row = ours(observe.segments(), segment.id)
    assert row.dest
    assert row.status == "dest"
    assert (row.key, row.mode) == (0, 0o1640)
    assert line_of(segment.id, ipcs("-m")).endswith("dest")
    segment.detach()
    assert ours(observe.segments(), segment.id) is None


def test_detaching_sets_dtime(segment):
    segment.detach()
    row = ours(observe.segments(), segment.id)
    assert row.attached == 0
    assert as_ipcs_writes(row.dtime) == ipcs_details("-m", segment.id)[1]["det_time"]


def test_a_semaphore_set_is_what_ipcs_says():
    made = sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX, mode=0o600, initial_value=1)
    try:
        row = ours(observe.semaphore_sets(), made.id)
        fields, times = ipcs_details("-s", made.id)
        for name in ("uid", "gid", "cuid", "cgid", "nsems"):
            assert getattr(row, name) == int(fields[name])
        assert fields["mode"].startswith("0600")
        assert row.mode == 0o600
        assert row.otime is None
        made.acquire()
        row = ours(observe.semaphore_sets(), made.id)
        times = ipcs_details("-s", made.id)[1]
        assert as_ipcs_writes(row.otime) == times["otime"]
        assert as_ipcs_writes(row.ctime) == times["ctime"]
        words = [f"0x{row.key & 0xFFFFFFFF:08x}", str(row.id), row.owner, "600", "1"]
        assert line_of(made.id, ipcs("-s")).split() == words
    finally:
        made.remove()
    assert ours(observe.semaphore_sets(), made.id) is None


def test_an_ordinary_user_sees_the_same_table(as_nobody, segment):
    assert as_nobody(lambda: ours(observe.segments(), segment.id).size) == 5000


def test_every_column_is_what_the_tools_print(segment):
    segment.detach()
    segment.attach()
    row = ours(observe.segments(), segment.id)
    user, group = pwd.getpwuid(row.cuid).pw_name, grp.getgrgid(row.cgid).gr_name
    assert line_of_id(segment.id, ipcs("-m", "-p")).split() == [
        str(segment.id), row.owner, str(row.cpid), str(row.lpid),
    ]  # fmt: skip
    perms = line_of_id(segment.id, ipcs("-m", "-c")).split()
    assert perms == [str(segment.id), "640", user, group, row.owner, grp.getgrgid(row.gid).gr_name]
    times = line_of_id(segment.id, ipcs("-m", "-t"))
    assert re.findall(r"\w{3} [ \d]\d \d\d:\d\d:\d\d", times) == [
        f"{each:%b} {each.day:2d} {each:%H:%M:%S}" for each in (row.atime, row.dtime, row.ctime)
    ]
    (rows,) = json.loads(lsipc("--shmems")).values()
    (said,) = [each for each in rows if each["id"] == str(segment.id)]
    assert (said["perms"], int(said["key"], 16)) == ("0640", row.key & 0xFFFFFFFF)
    found = {key: said[key] for key in ("size", "nattch", "cpid", "lpid", "uid", "cuid", "gid", "cgid")}
    assert found == {
        "size": str(row.size), "nattch": str(row.attached), "cpid": str(row.cpid), "lpid": str(row.lpid),
        "uid": str(row.uid), "cuid": str(row.cuid), "gid": str(row.gid), "cgid": str(row.cgid),
    }  # fmt: skip


def test_a_locked_segment_is_locked_for_ipcs_too(segment):
    try:
        sysv.shmctl(segment.id, sysv.SHM_LOCK)
    except PermissionError:
        pytest.skip("this user may not lock memory")
    row = ours(observe.segments(), segment.id)
    assert (row.locked, row.dest, row.status, row.mode) == (True, False, "locked", 0o2640)
    assert line_of(segment.id, ipcs("-m")).endswith("locked")
    segment.remove()
    row = ours(observe.segments(), segment.id)
    assert (row.status, line_of(segment.id, ipcs("-m")).split()[-2:]) == ("dest locked", ["dest", "locked"])
