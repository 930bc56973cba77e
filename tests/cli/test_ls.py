"""``shmlab ls``, run as people run it: real objects, checked against ls(1), stat(1) and ipcs(1)."""

import ctypes
import json
import mmap
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sysv_ipc

from shmlab import names, observe, own_key, own_name, posix, sysv
from shmlab.cli import listing, ls
from shmlab.cli.entry import Entry, since
from shmlab.cli.terminal import TIMES
from tests.cli.commands import ENVIRONMENT, PYTHON, answer, printed, row, shmlab, tool

CLONE_NEWNS = 0x20000

ATTACH = """
import sys
from shmlab import sysv
attached = [sysv.shmat(int(sys.argv[1])) for _ in range(int(sys.argv[2]))]
print("ready", flush=True)
sys.stdin.read()
"""

SEM_WAIT = """
import sys
from shmlab import posix
semaphore = posix.sem_open(sys.argv[1], 0)
print("ready", flush=True)
for _ in range(int(sys.argv[2])):
    posix.sem_wait(semaphore)
"""

SEMOP = """
import sys
from shmlab import sysv
print("ready", flush=True)
sysv.semop(int(sys.argv[1]), [(int(sys.argv[2]), -1, 0)])
"""


class TestLs:
    def entry(self, found: Any, **wanted: Any) -> Any:
        (entry,) = [each for each in found["entries"] if wanted == {key: each[key] for key in wanted}]
        return entry

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline

    def test_an_object_is_what_ls_and_stat_say(self, thing: str) -> None:
        entry = self.entry(answer("ls"), name=thing)
        mode, _, owner, _, length, *_ = row(tool("ls", "-l", "/dev/shm"), thing[1:]).split()
        assert mode == "-rw-r-----"
        assert entry["mode"] == "0640"
        assert (entry["kind"], entry["owner"], entry["size"]) == ("object", owner, int(length))
        blocks, uid = tool("stat", "-c", "%b %u", f"/dev/shm{thing}").split()
        assert (entry["allocated"], entry["uid"]) == (int(blocks) * 512, int(uid))
        assert entry["allocated"] == 4096
        (mapper,) = entry["mapped_by"]
        assert (mapper["pid"], mapper["mapped"], mapper["perms"]) == (os.getpid(), 8192, ["rw-s"])
        assert mapper["command"].split()[0].startswith("py")
        line = row(shmlab("ls").stdout, thing)
        cells = re.split(r" {2,}", line)
        assert cells[:6] == ["object", thing, "5,000 B", "4 KiB", "0640", owner]
        assert re.fullmatch(r"\d+ s", cells[6])
        assert cells[7:9] == ["in use", "alive"]
        assert cells[9].startswith(f"{os.getpid()} py")
        modified = int(tool("stat", "-c", "%Y", f"/dev/shm{thing}"))
        assert int(datetime.fromisoformat(entry["changed"]).timestamp()) == modified

    def test_a_semaphore_has_its_own_name(self, semaphore: str) -> None:
        entry = self.entry(answer("ls"), kind="semaphore", name=semaphore)
        assert f"sem.{semaphore[1:]}" in tool("ls", "/dev/shm").split()
        assert entry["size"] == int(tool("stat", "-c", "%s", f"/dev/shm/sem.{semaphore[1:]}"))
        assert [each["pid"] for each in entry["mapped_by"]] == [os.getpid()]
        assert entry["session"] == {"token": names.session(), "state": "alive"}
        assert (entry["use"], entry["values"], entry["waiting"]) == ("in use", [1], 0)
        assert row(shmlab("ls").stdout, semaphore).startswith("semaphore")

    def test_a_semaphore_has_its_value_and_who_waits(
        self, semaphore: str, ready: Callable[..., "subprocess.Popen[str]"]
    ) -> None:
        waiter = ready(SEM_WAIT, semaphore, "2")
        self.until(lambda: self.entry(answer("ls"), name=semaphore)["waiting"] == 1)
        assert self.entry(answer("ls"), name=semaphore)["values"] == [0]
        assert ", 1 waiting" in row(shmlab("ls").stdout, semaphore)
        waiter.kill()
        waiter.wait(5)
        # glibc itself would count it for ever.
        assert self.entry(answer("ls"), name=semaphore)["waiting"] == 0

    def test_a_segment_is_what_ipcs_says(self, segment: sysv_ipc.SharedMemory) -> None:
        entry = self.entry(answer("ls"), kind="segment", id=segment.id)
        line = row(tool("ipcs", "-m"), f" {segment.id} ")
        key, _, owner, perms, length, *_ = line.split()
        assert (entry["key"], entry["owner"], entry["mode"]) == (key, owner, "0" + perms)
        assert (entry["size"], entry["status"], entry["session"]) == (int(length), "", None)
        assert (entry["attached"], entry["use"]) == (1, "in use")
        assert [each["pid"] for each in entry["mapped_by"]] == [os.getpid()]
        shown = row(shmlab("ls").stdout, f"{key} id {segment.id} ")
        assert shown.startswith("segment")
        assert f"{os.getpid()} py" in shown
        assert TIMES not in shown
        segment.remove()
        entry = self.entry(answer("ls"), kind="segment", id=segment.id)
        assert (entry["status"], entry["use"]) == ("dest", "in use")
        assert re.search(
            rf"^segment +0x00000000 id {segment.id}  .*  in use, dest  ", shmlab("ls").stdout, re.M
        )

    def test_a_segment_attached_twice_by_one_process_and_once_by_another(
        self, segment: sysv_ipc.SharedMemory, ready: Callable[..., "subprocess.Popen[str]"]
    ) -> None:
        other = ready(ATTACH, str(segment.id), "2")
        entry = self.entry(answer("ls"), kind="segment", id=segment.id)
        assert entry["attached"] == int(row(tool("ipcs", "-m"), f" {segment.id} ").split()[5]) == 3
        assert {each["pid"]: each["mappings"] for each in entry["mapped_by"]} == {
            os.getpid(): 1,
            other.pid: 2,
        }
        command = os.path.basename(sys.executable)
        assert f"{other.pid} {command} {TIMES}2" in row(shmlab("ls").stdout, f" id {segment.id} ")
        other.kill()
        other.wait(5)
        segment.detach()
        entry = self.entry(answer("ls"), kind="segment", id=segment.id)
        assert (entry["attached"], entry["use"], entry["mapped_by"]) == (0, "unused", [])

    def test_a_locked_segment(self, segment: sysv_ipc.SharedMemory) -> None:
        try:
            sysv.shmctl(segment.id, sysv.SHM_LOCK)
        except PermissionError:
            pytest.skip("this user may not lock memory")
        assert row(tool("ipcs", "-m"), f" {segment.id} ").split()[-1] == "locked"
        entry = self.entry(answer("ls"), kind="segment", id=segment.id)
        assert (entry["status"], entry["mode"]) == ("locked", "0640")
        assert "  in use, locked  " in shmlab("ls").stdout

    def test_what_counts_as_a_change(self, thing: str, segment: sysv_ipc.SharedMemory) -> None:
        semid = sysv.semget(sysv.IPC_PRIVATE, 1, 0o600)

        def changed(**which: Any) -> str:
            return self.entry(answer("ls"), **which)["changed"]

        def set_again() -> bool:
            sysv.shmctl(segment.id, sysv.IPC_SET, status)
            return changed(kind="segment", id=segment.id) > before

        def set_value() -> bool:
            sysv.semctl(semid, 0, sysv.SETVAL, 1)
            return changed(kind="set", id=semid) > before

        try:
            with open(f"/dev/shm{thing}", "r+b") as file, mmap.mmap(file.fileno(), 5000) as memory:
                before = changed(name=thing)
                memory[4999] = 1
                after = changed(name=thing)
                assert after > before, "a first store into a page"
                memory[4998] = 1
                assert changed(name=thing) == after
                file.truncate(6000)
                assert changed(name=thing) > after
            # System V's times are whole seconds: what changes one is done until it does.
            before = changed(kind="segment", id=segment.id)
            segment.write(b"x" * 6000)
            assert changed(kind="segment", id=segment.id) == before
            status = sysv.shmctl(segment.id, sysv.IPC_STAT)
            self.until(set_again)
            before = changed(kind="set", id=semid)
            self.until(set_value)
        finally:
            sysv.semctl(semid, 0, sysv.IPC_RMID)

    def test_a_segment_and_a_set_of_the_lab_belong_to_its_session(self) -> None:
        key = own_key("rows")
        shmid = sysv.shmget(key, 4096, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
        unkeyed = sysv.shmget(sysv.IPC_PRIVATE, 4096, 0o600)
        semid = sysv.semget(key, 2, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
        stranger = sysv.semget(0x5AC70010, 1, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
        try:
            found = answer("ls")
            ours = {"token": names.session(), "state": "alive"}
            assert self.entry(found, kind="segment", id=shmid)["session"] == ours
            assert self.entry(found, kind="set", id=semid)["session"] == ours
            # Known by its creator, which the session's ledger names.
            assert self.entry(found, kind="segment", id=unkeyed)["session"] == ours
            assert self.entry(found, kind="set", id=stranger)["session"] is None
        finally:
            for each in (shmid, unkeyed):
                sysv.shmctl(each, sysv.IPC_RMID)
            for each in (semid, stranger):
                sysv.semctl(each, 0, sysv.IPC_RMID)

    def test_a_set_is_what_ipcs_says(self, semaphore_set: sysv_ipc.Semaphore) -> None:
        entry = self.entry(answer("ls"), kind="set", id=semaphore_set.id)
        key, _, owner, perms, number = row(tool("ipcs", "-s"), f" {semaphore_set.id} ").split()
        assert (entry["key"], entry["owner"], entry["mode"]) == (key, owner, "0" + perms)
        assert (entry["semaphores"], entry["size"], entry["mapped_by"]) == (int(number), None, [])
        assert " 1 sem  " in row(shmlab("ls").stdout, f"{key} id {semaphore_set.id} ")
        details = tool("ipcs", "-s", "-i", str(semaphore_set.id)).split("semnum")[1].splitlines()[1].split()
        assert (entry["values"], entry["waiting"]) == ([int(details[1])], int(details[2]) + int(details[3]))

    def test_a_set_has_its_values_and_who_waits(self, ready: Callable[..., "subprocess.Popen[str]"]) -> None:
        semid = sysv.semget(sysv.IPC_PRIVATE, 6, 0o600)
        try:
            sysv.semctl(semid, 0, sysv.SETALL, (5, 0, 7, 1, 1, 1))
            assert self.entry(answer("ls"), kind="set", id=semid)["use"] is None
            ready(SEMOP, str(semid), "1")
            self.until(lambda: self.entry(answer("ls"), kind="set", id=semid)["waiting"] == 1)
            entry = self.entry(answer("ls"), kind="set", id=semid)
            assert (entry["values"], entry["use"]) == ([5, 0, 7, 1, 1, 1], "in use")
            shown = row(shmlab("ls").stdout, f"0x00000000 id {semid} ")
            assert "  5 0 7 1 ...  " in shown
            assert shown.endswith("  1 waiting")
        finally:
            sysv.semctl(semid, 0, sysv.IPC_RMID)

    def test_memory_without_a_name_is_listed_when_asked_for(self, thing: str) -> None:
        anonymous = mmap.mmap(-1, 8192)
        before = answer("ls")["unlinked"]  # a test before this one may have left a handle open
        descriptor = os.open(f"/dev/shm{thing}-gone", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.ftruncate(descriptor, 9000)
        os.unlink(f"/dev/shm{thing}-gone")
        try:
            found = answer("ls")
            assert found["unlinked"] == {"objects": before["objects"] + 1, "size": before["size"] + 9000}
            assert "anonymous" not in {each["kind"] for each in found["entries"]}
            assert "unlinked" not in {each["status"] for each in found["entries"]}
            assert re.search(
                r"unlinked, and (is|are) still in use: shmlab ls --anonymous$", shmlab("ls").stdout, re.M
            )
            found = answer("ls", "--anonymous")
            entry = self.entry(found, status="unlinked", name=f"{thing}-gone")
            assert (entry["kind"], entry["name"], entry["size"]) == ("object", f"{thing}-gone", 9000)
            pids = [each["pid"] for each in entry["mapped_by"]]
            assert (pids, entry["use"], found["unlinked"]["objects"]) == ([os.getpid()], "in use", 0)
            sizes = [
                each["size"]
                for each in found["entries"]
                if each["kind"] == "anonymous" and each["mapped_by"][0]["pid"] == os.getpid()
            ]
            assert len(anonymous) in sizes
            lines = shmlab("ls", "--anonymous").stdout
            assert "  in use, unlinked  " in row(lines, f"{thing}-gone")
            assert "still in use" not in lines
        finally:
            os.close(descriptor)
            anonymous.close()

    def test_the_table_has_the_rows_of_the_json(
        self, thing: str, semaphore: str, segment: sysv_ipc.SharedMemory, semaphore_set: sysv_ipc.Semaphore
    ) -> None:
        ours = [thing, semaphore, ("segment", segment.id), ("set", semaphore_set.id)]
        listed = [each["name"] or (each["kind"], each["id"]) for each in answer("ls", "--all")["entries"]]
        assert [each for each in listed if each in ours] == ours
        lines = shmlab("ls", "-a").stdout
        for each in (thing, semaphore):
            assert row(lines, each)
        for kind, number in ours[2:]:
            assert re.search(rf"^{kind} .* id {number} ", lines, re.MULTILINE)

    def test_nothing_is_said_to_be_nothing(self) -> None:
        assert ls.remarks(listing.Listing((), 0, 0)) == [
            "nothing here: no object, no semaphore, no segment, no set"
        ]
        assert ls.table((), 100) == []

    def test_an_ordinary_user_is_told_what_is_missing(self, as_nobody: Callable[..., Any]) -> None:
        thing = own_name("mymem")
        # Closed at once: a descriptor would make the child, which inherits it, one of its users.
        os.close(posix.shm_open(thing, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        assert thing not in as_nobody(lambda: printed("ls"))
        found = json.loads(as_nobody(lambda: printed("ls", "--json")))
        assert found["hidden"] >= 1  # the board counts as the child's: it inherited the mapping
        everybody = as_nobody(lambda: printed("ls", "--all"))
        # Not the same number: other users of this machine come and go.
        assert re.search(
            r"^\d+ more of other users: shmlab ls --all$", as_nobody(lambda: printed("ls")), re.M
        )
        assert "could not be looked at (not permitted)" in everybody
        # Whether a stranger's session lives is not an ordinary user's to see: neither alive nor orphan.
        entry = self.entry(json.loads(as_nobody(lambda: printed("ls", "--all", "--json"))), name=thing)
        assert entry["session"]["state"] == "unknown"
        assert (entry["mapped_by"], entry["use"]) == ([], "unknown")
        posix.shm_unlink(thing)

    def test_processes_that_proc_hides_may_be_users_too(self, as_nobody: Callable[..., Any]) -> None:
        thing = own_name("mymem")
        os.close(posix.shm_open(thing, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        own_proc = "mount -t proc -o hidepid=2 proc /proc"
        child = os.fork()
        if child == 0:
            status = 1
            try:
                # In a mount namespace of its own: the machine's /proc stays as it is.
                if ctypes.CDLL(None).unshare(CLONE_NEWNS) or os.system(
                    f"mount --make-rprivate / && {own_proc}"
                ):
                    status = 77
                else:
                    found = json.loads(as_nobody(lambda: printed("ls", "--all", "--json")))
                    entry = self.entry(found, name=thing)
                    status = int((found["unseen_processes"], entry["use"]) != (0, "unknown"))
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        posix.shm_unlink(thing)
        if status == 77:
            pytest.skip("no /proc of one's own may be mounted here")
        assert status == 0

    def test_an_ordinary_user_sees_that_a_segment_is_used_but_not_by_whom(
        self, as_nobody: Callable[..., Any], ready: Callable[..., "subprocess.Popen[str]"]
    ) -> None:
        shmid = sysv.shmget(sysv.IPC_PRIVATE, 4096, 0o600)
        semid = sysv.semget(sysv.IPC_PRIVATE, 1, 0o600)
        try:
            ready(ATTACH, str(shmid), "2")
            found = json.loads(as_nobody(lambda: printed("ls", "--all", "--json")))
            entry = self.entry(found, kind="segment", id=shmid)
            # nattch is everybody's to read; whose they are, isn't. Nor is a set's value without permission.
            assert (entry["attached"], entry["use"], entry["mapped_by"]) == (2, "in use", [])
            assert "  2 not seen" in row(as_nobody(lambda: printed("ls", "--all")), f" id {shmid}  4 KiB ")
            entry = self.entry(found, kind="set", id=semid)
            assert (entry["semaphores"], entry["values"], entry["waiting"]) == (1, None, None)
        finally:
            sysv.shmctl(shmid, sysv.IPC_RMID)
            sysv.semctl(semid, 0, sysv.IPC_RMID)

    def test_in_another_ipc_namespace_there_is_nothing_of_system_v(
        self, thing: str, segment: sysv_ipc.SharedMemory
    ) -> None:
        apart = ["unshare", "--ipc"] if os.getuid() == 0 else ["unshare", "--user", "--ipc"]
        try:
            done = subprocess.run(
                [*apart, *PYTHON, "ls", "--all", "--json"],
                capture_output=True, text=True, timeout=20, env=ENVIRONMENT, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            pytest.skip("no unshare here")
        if done.returncode:
            pytest.skip(f"no namespaces here: {done.stderr.strip()}")
        found = json.loads(done.stdout)
        assert [each for each in found["entries"] if each["kind"] in ("segment", "set")] == []
        assert self.entry(found, name=thing)["size"] == 5000

    def test_another_users_object_that_this_user_maps_is_listed(
        self, thing: str, as_nobody: Callable[..., Any]
    ) -> None:
        os.chmod(f"/dev/shm{thing}", 0o644)

        def look() -> Any:
            held = os.open(f"/dev/shm{thing}", os.O_RDONLY)
            try:
                return json.loads(printed("ls", "--json"))
            finally:
                os.close(held)

        entry = self.entry(as_nobody(look), name=thing)
        assert [each["user"] for each in entry["mapped_by"]] == ["nobody"]

    @pytest.mark.parametrize("limit", [200, 140, 100, 80, 60, 40, 10])
    def test_it_fits(self, limit: int) -> None:
        def mapper(pid: int) -> observe.Mapper:
            return observe.Mapper(pid, "python -m ipykernel", "student", ("rw-s",), 1, 4096, 1)

        full = names.prefix("k3f9", 1234) + "w" * (30 - len(names.prefix("k3f9", 1234)))
        entry = Entry(
            kind="semaphore", name=full, size=1023, allocated=4096, mode=0o600, uid=1234, owner="student",
            changed=datetime.now(UTC) - timedelta(minutes=3), values=(7,), token="k3f9", session="orphan",
            mappers=tuple(map(mapper, range(1000, 1005))),
        )  # fmt: skip
        lines = ls.table([entry, replace(entry, kind="set", id=1, semaphores=1, mappers=())], limit)
        assert len(lines) == 3
        assert all(len(line) <= limit for line in lines)
        if limit == 200:
            assert full in lines[1]
            assert "  3 min  in use  orphan  " in lines[1]
            assert lines[1].endswith(", ".join(f"{pid} python" for pid in range(1000, 1005)))
        elif limit >= 40:
            assert "/shmlab-123" in lines[1]
            assert "orphan" in lines[1]
        if 200 > limit >= 60:
            assert lines[1].endswith(("python, +4", "python, +3", "python, +2"))
        if limit >= 80:
            assert "1,023 B" in lines[1]
            assert lines[0].split("  ")[0] == "kind"
        if limit >= 140:
            assert lines[0].split() == [
                "kind", "name", "size", "allocated", "value", "mode", "owner", "changed", "state", "session",
                "used", "by",
            ]  # fmt: skip

    def test_columns_without_anything_in_them_are_left_out(self) -> None:
        entry = Entry("object", "/x", size=1, allocated=0, mode=0o600, uid=0, owner="root")
        assert ls.table([entry], 200)[0].split() == [
            "kind", "name", "size", "allocated", "mode", "owner", "changed", "state", "used", "by",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("seconds", "said"),
        [
            (-5, "0 s"), (0.9, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"),
            (172799, "47 h"), (172800, "2 d"), (1e8, "1157 d"),
        ],
    )  # fmt: skip
    def test_how_long_ago(self, seconds: float, said: str) -> None:
        assert since(seconds) == said

    def test_a_name_cannot_write_to_the_terminal(self, thing: str) -> None:
        entry = Entry("object", "/a\x1b[31m\n", size=1, allocated=0, mode=0o600, uid=0, owner="root")
        lines = ls.table([entry], 100)
        assert "/a\\x1b[31m\\x0a" in lines[1]
