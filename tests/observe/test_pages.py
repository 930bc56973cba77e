"""What mappings cost and where their pages lie: against pmap(1), psutil, and two processes on one page."""

import json
import mmap
import os
import subprocess

import psutil
import pytest

from shmlab import names, observe

PAGE = os.sysconf("SC_PAGE_SIZE")

PMAP_COLUMNS = (
    "Size", "Rss", "Pss", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty", "Referenced",
    "Anonymous",
)  # fmt: skip

# A process that obeys: map, touch (write or read) pages, answers with the address of its mapping.
WORKER = """
import ctypes, mmap, os, sys
fd = os.open("/dev/shm" + sys.argv[1], os.O_RDWR)
flags = {"shared": mmap.MAP_SHARED, "private": mmap.MAP_PRIVATE}[sys.argv[2]]
memory = mmap.mmap(fd, os.fstat(fd).st_size, flags, mmap.PROT_READ | mmap.PROT_WRITE)
os.close(fd)
print("ready", flush=True)
print(ctypes.addressof(ctypes.c_char.from_buffer(memory)), flush=True)
for line in sys.stdin:
    order, page = line.split()
    if order == "read":
        memory[int(page) * mmap.PAGESIZE]
    elif order == "write":
        memory[int(page) * mmap.PAGESIZE] = 7
    print("done", flush=True)
"""


class Worker:
    def __init__(self, launch, name, flags="shared"):
        self.process = launch(WORKER, name, flags)
        self.pid = self.process.pid
        self.address = int(self.process.stdout.readline())

    def do(self, order, *pages):
        for page in pages:
            self.process.stdin.write(f"{order} {page}\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == "done\n"

    def frames(self, count):
        return [page.frame for page in observe.pages(self.pid, self.address, count * PAGE)]


def needs_frames():
    if not observe.machine().page_frames:
        pytest.skip("this user may not see page frames")


def test_memory_is_what_pmap_says(launch, shared):
    worker = Worker(launch, shared("costs", 8 * PAGE))
    worker.do("write", 0, 1, 2)
    command = ["pmap", "-XX", str(worker.pid)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    heading = text.splitlines()[1].split()
    last = heading.index("Anonymous")
    theirs = {}
    for line in text.splitlines()[2:]:
        words = line.split()
        if len(words) > last and "-" not in words[0] and words[1][:1] in "r-":
            row = dict(zip(heading, words, strict=False))
            theirs[int(row["Address"], 16)] = [int(row[key]) * 1024 for key in PMAP_COLUMNS]
    ours = {
        row.start: [
            row.length,
            row.rss,
            row.pss,
            row.shared_clean,
            row.shared_dirty,
            row.private_clean,
            row.private_dirty,
            row.referenced,
            row.anonymous,
        ]
        for row in observe.memory(worker.pid)
    }
    assert len(ours) > 20
    assert worker.address in ours
    assert set(ours) == set(theirs)
    # Libraries are shared with whoever comes and goes: what is the worker's alone must agree.
    private = [row.start for row in observe.memory(worker.pid) if not row.path.startswith("/usr")]
    same = [start for start in private if ours[start][:2] == theirs[start][:2]]
    assert len(same) >= 0.9 * len(private)
    assert ours[worker.address] == theirs[worker.address]


def test_memory_is_what_psutil_says(launch, shared):
    name = shared("costs", 8 * PAGE)
    worker = Worker(launch, name)
    worker.do("write", 0, 1, 2)
    worker.do("read", 5)
    (row,) = observe.memory(worker.pid, name)
    (theirs,) = (
        each for each in psutil.Process(worker.pid).memory_maps(grouped=False) if each.path == row.path
    )
    assert row.rss == theirs.rss == 4 * PAGE
    for field in ("pss", "shared_clean", "shared_dirty", "private_clean", "private_dirty", "anonymous"):
        assert getattr(row, field) == getattr(theirs, field), field
    assert (row.path, row.perms, row.length) == (f"/dev/shm{name}", "rw-s", 8 * PAGE)
    assert observe.memory(worker.pid, address=worker.address + PAGE) == (row,)
    assert observe.memory(worker.pid, address=8) == ()
    assert isinstance(row, observe.MapLine)


def test_pss_halves_when_the_second_touches_not_when_it_maps(launch, shared):
    name = shared("halves", 16 * PAGE)
    a = Worker(launch, name)
    a.do("write", *range(16))

    def pss():
        (row,) = observe.memory(a.pid, name)
        assert row.rss == 16 * PAGE
        return row.pss

    assert pss() == 16 * PAGE
    b = Worker(launch, name)
    assert pss() == 16 * PAGE, "mapping alone shares nothing"
    b.do("read", *range(16))
    assert pss() == 8 * PAGE
    (row,) = observe.memory(b.pid, name)
    assert (row.shared_dirty, row.private_dirty) == (16 * PAGE, 0)
    b.process.kill()
    b.process.wait()
    assert pss() == 16 * PAGE


def test_an_unlinked_object_still_costs(launch, shared):
    name = shared("gone", PAGE)
    worker = Worker(launch, name)
    worker.do("write", 0)
    os.unlink(f"/dev/shm{name}")
    (row,) = observe.memory(worker.pid, name)
    assert (row.deleted, row.rss) == (True, PAGE)


def test_two_processes_have_the_same_frames_at_different_addresses(launch, shared):
    needs_frames()
    name = shared("frames", 4 * PAGE)
    a, b = Worker(launch, name), Worker(launch, name)
    a.do("write", 0, 1, 2, 3)
    assert b.frames(4) == [None] * 4, "b hasn't touched them"
    b.do("read", 0, 1, 2, 3)
    assert a.frames(4) == b.frames(4)
    assert len(set(a.frames(4))) == 4
    assert None not in a.frames(4)


def test_a_private_write_moves_the_page_to_another_frame(launch, shared):
    needs_frames()
    name = shared("cow", 2 * PAGE, bytes(range(16)))
    owner, copier = Worker(launch, name), Worker(launch, name, "private")
    owner.do("write", 0, 1)
    copier.do("read", 0, 1)
    before = copier.frames(2)
    assert before == owner.frames(2)
    copier.do("write", 0)
    after = observe.pages(copier.pid, copier.address, 2 * PAGE)
    assert after[0].frame not in (None, before[0])
    assert [page.file_or_shared for page in after] == [False, True]
    assert after[1].frame == before[1]
    assert owner.frames(2) == before
    (row,) = observe.memory(copier.pid, name)
    assert row.anonymous == PAGE


def test_pages_that_are_present_and_those_that_are_not(launch, shared):
    worker = Worker(launch, shared("some", 5 * PAGE))
    worker.do("write", 1)
    worker.do("read", 3)
    rows = observe.pages(worker.pid, worker.address, 5 * PAGE)
    assert [row.present for row in rows] == [False, True, False, True, False]
    assert [row.address for row in rows] == [worker.address + i * PAGE for i in range(5)]
    assert all(row.file_or_shared and row.exclusive for row in rows if row.present)
    assert not any(row.swapped for row in rows)
    assert all(row.frame is None for row in rows if not row.present)
    assert rows.frames_permitted == observe.machine().page_frames
    other = Worker(launch, names.name("some"))
    other.do("write", 1)
    rows = observe.pages(worker.pid, worker.address, 5 * PAGE)
    assert [row.exclusive for row in rows if row.present] == [False, True]


def test_bytes_in_the_middle_of_pages(launch, shared):
    worker = Worker(launch, shared("odd", 4 * PAGE))

    def first_and_count(start, length):
        rows = observe.pages(worker.pid, worker.address + start, length)
        return ((rows[0].address - worker.address) // PAGE if rows else None, len(rows))

    assert first_and_count(0, 1) == (0, 1)
    assert first_and_count(PAGE - 1, 2) == (0, 2)
    assert first_and_count(PAGE, PAGE) == (1, 1)
    assert first_and_count(100, 3 * PAGE) == (0, 4)
    assert first_and_count(0, 0) == (None, 0)


@pytest.mark.parametrize(("start", "length"), [(-1, 10), (0, -1), (0, 1 << 40)])
def test_ranges_that_make_no_sense(start, length):
    with pytest.raises(OSError, match="Invalid argument"):
        observe.pages("self", start, length)


def test_one_pread_for_the_range(launch, shared, monkeypatch):
    worker = Worker(launch, shared("many", 1000 * PAGE))
    worker.do("write", 0, 999)
    preads = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *arguments: preads.append(arguments) or pread(*arguments))
    rows = observe.pages(worker.pid, worker.address, 1000 * PAGE)
    assert len(rows) == 1000
    assert len(preads) == 1
    assert [i for i, row in enumerate(rows) if row.present] == [0, 999]


def test_without_root_the_frames_are_hidden_and_said_to_be(as_nobody):
    def look():
        memory = mmap.mmap(-1, 2 * PAGE)
        memory[0] = 1
        (row,) = [row for row in observe.memory() if row.path == "/dev/zero" and row.length == 2 * PAGE][:1]
        rows = observe.pages("self", row.start, 2 * PAGE)
        untouched = observe.pages("self", row.start + PAGE, PAGE)
        return [
            [(page.present, page.frame) for page in rows],
            rows.frames_permitted,
            untouched.frames_permitted,
            "hidden" in repr(rows),
        ]

    assert as_nobody(look) == [[[True, None], [False, None]], False, False, True]


def test_somebody_elses_process_is_refused_by_name(as_nobody):
    def look(what):
        try:
            what()
        except PermissionError as error:
            return [error.errno, str(error), error.filename]
        return None

    for file, what in (
        ("smaps", lambda: observe.memory(1)),
        ("pagemap", lambda: observe.pages(1, 0, 1)),
        ("fd", lambda: observe.descriptors(1)),
    ):
        number, text, path = as_nobody(lambda what=what: look(what))
        assert number == 13
        assert "process 1 belongs to root" in text
        assert path == f"/proc/1/{file}"


def test_no_such_process():
    gone = subprocess.Popen(["true"])
    gone.wait(timeout=10)
    assert observe.memory(gone.pid) == ()
    assert observe.pages(gone.pid, 0, PAGE) == ()
    assert observe.descriptors(gone.pid) == ()


def test_looking_at_pages_touches_none(launch, shared):
    name = shared("untouched", 64 * PAGE)
    worker = Worker(launch, name)
    for _ in range(3):
        observe.memory(worker.pid)
        observe.pages(worker.pid, worker.address, 64 * PAGE)
        observe.allocated_pages(name)
    assert observe.object_entry(name).allocated == 0


def extents(name, **options):
    return [
        (row.offset // PAGE, row.length // PAGE, row.data) for row in observe.allocated_pages(name, **options)
    ]


def test_which_pages_are_allocated(launch, shared):
    name = shared("holes", 10 * PAGE)
    assert extents(name) == [(0, 10, False)]
    worker = Worker(launch, name)
    worker.do("write", 2, 3)
    worker.do("read", 9)
    assert extents(name) == [(0, 2, False), (2, 2, True), (4, 5, False), (9, 1, True)]
    found = observe.allocated_pages(name)
    assert sum(row.length for row in found if row.data) == found.allocated == 3 * PAGE
    worker.do("write", 0)
    assert extents(name)[0] == (0, 1, True)


def test_an_object_that_ends_within_a_page(shared):
    name = shared("short", 1000, b"x")
    (row,) = observe.allocated_pages(name)
    assert (row.offset, row.length, row.end, row.data) == (0, 1000, 1000, True)
    os.truncate(f"/dev/shm{name}", 0)
    assert observe.allocated_pages(name) == ()
    os.truncate(f"/dev/shm{name}", PAGE + 5)
    assert [(row.offset, row.length, row.data) for row in observe.allocated_pages(name)] == [
        (0, PAGE + 5, False)
    ]


def test_reserved_pages_are_memory_but_not_data(shared):
    name = shared("reserved", 4 * PAGE)
    fd = os.open(f"/dev/shm{name}", os.O_RDWR)
    os.posix_fallocate(fd, 0, 4 * PAGE)
    os.close(fd)
    found = observe.allocated_pages(name)
    assert found.allocated == 4 * PAGE
    assert extents(name) == [(0, 4, False)]


def test_huge_objects_are_bounded(shared):
    name = shared("huge", 1 << 40)
    fd = os.open(f"/dev/shm{name}", os.O_RDWR)
    for page in range(0, 200, 2):
        os.pwrite(fd, b"x", page * PAGE)
    os.close(fd)
    whole = observe.allocated_pages(name)
    assert (len(whole), whole.complete, whole[-1].end) == (200, True, 1 << 40)
    some = observe.allocated_pages(name, most=7)
    assert (len(some), some.complete, some.size) == (7, False, 1 << 40)
    assert some == whole[:7]
    assert "the object goes on: it's 1 TiB long" in repr(some)


def test_names_without_an_object():
    with pytest.raises(FileNotFoundError) as caught:
        observe.allocated_pages(names.name("nobody"))
    assert caught.value.filename == names.name("nobody")
    with pytest.raises(OSError, match="Invalid argument"):
        observe.allocated_pages("/a/b")


def test_tables_keep_what_they_know(launch, shared):
    import pickle

    name = shared("kept", 2 * PAGE)
    found = pickle.loads(pickle.dumps(observe.allocated_pages(name, most=0)))
    assert (found.complete, found.size) == (False, 2 * PAGE)
    worker = Worker(launch, name)
    rows = observe.pages(worker.pid, worker.address, PAGE)
    assert json.dumps(repr(rows[0])) == json.dumps(
        f"Page(address={worker.address:#x}, present=False, swapped=False, file_or_shared=False, "
        "exclusive=False, frame=None)"
    )
