"""The bytes of an object, against what was written; and that looking leaves no trace."""

import mmap
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmlab import names, observe
from shmlab.observe import sampling

CONTENT = random.Random(1).randbytes(600_000)


@pytest.fixture(scope="module")
def long_object():
    name = names.name("long")
    with open(f"/dev/shm{name}", "xb") as file:
        file.write(CONTENT)
    yield name
    os.unlink(f"/dev/shm{name}")


@settings(max_examples=200, deadline=None)
@given(
    points=st.integers(1, 5000),
    run=st.integers(1, 5000),
    offset=st.integers(0, 700_000),
    length=st.none() | st.integers(0, 10**12),
)
def test_a_sample_is_what_is_at_its_offsets(long_object, points, run, offset, length):
    with observe.Sampler(long_object) as sampler:
        sample = sampler.sample(points, run, offset, length)
    end = len(CONTENT) if length is None else min(len(CONTENT), offset + length)
    wanted = max(0, end - offset)
    starts = sample.offsets
    assert sample.data == b"".join(CONTENT[at : min(at + run, end)] for at in starts)
    assert (sample.size, sample.offset, sample.run) == (len(CONTENT), offset, run)
    assert len(sample.data) <= points * run
    if wanted <= points * run:
        assert sample.whole
        assert len(sample.data) == wanted
    else:
        assert points / 2 <= len(starts) <= points
        assert starts[-1] < end <= starts[-1] + sample.stride, "the runs reach the end"
        assert sample.stride % run == 0


@settings(max_examples=100, deadline=None)
@given(offset=st.integers(0, 700_000), length=st.none() | st.integers(0, 700_000))
def test_reading_is_slicing(long_object, offset, length):
    end = None if length is None else offset + length
    with observe.Sampler(long_object) as sampler:
        assert sampler.read(offset, length) == CONTENT[offset:end]


def test_one_pread_where_the_range_fits_and_as_many_as_points_otherwise(long_object, monkeypatch):
    calls = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *arguments: calls.append(arguments) or pread(*arguments))
    sampler = observe.Sampler(long_object)
    for points, run, length, most in [
        (2000, 1, 2000, 1),
        (256, 256, 65536, 1),
        (100, 8, None, 100),
        (1, 1, None, 1),
        (2000, 1, None, 1),
        (256, 256, None, 256),
    ]:
        calls.clear()
        sampler.sample(points, run, length=length)
        assert 1 <= len(calls) <= most


def test_looking_at_an_untouched_object_allocates_nothing(shared):
    length = 256 << 20
    name = shared("hollow", length)
    with observe.Sampler(name) as sampler:
        assert sampler.sample(2000).data == bytes(2000)[: len(sampler.sample(2000).data)]
        assert sampler.sample(256, 256).data.count(0) == 65536
        assert sampler.read(length - 100) == bytes(100)
        assert (sampler.size, sampler.allocated) == (length, 0)
        assert os.stat(f"/dev/shm{name}").st_blocks == 0
        fd = os.open(f"/dev/shm{name}", os.O_RDONLY)
        with mmap.mmap(fd, length, prot=mmap.PROT_READ) as mapping:
            os.close(fd)
            assert mapping[12345] == 0
        assert sampler.allocated > 0, "a mapped read does allocate: this test could have failed"


def test_nothing_is_kept_open_between_two_looks(shared):
    name = shared("unheld", 4096)
    fds = sorted(os.listdir("/proc/self/fd"))
    sampler = observe.Sampler(name)
    sampler.sample()
    assert sorted(os.listdir("/proc/self/fd")) == fds
    assert observe.mappers(name) == ()


def test_it_follows_the_name(shared):
    name = shared("reborn", 10, b"old object")
    sampler = observe.Sampler(name)
    old = sampler.sample()
    os.unlink(f"/dev/shm{name}")
    for look in (sampler.sample, sampler.read, lambda: sampler.size, lambda: sampler.allocated):
        with pytest.raises(FileNotFoundError) as caught:
            look()
        assert caught.value.filename == name
    shared("reborn", 20, b"new object")
    new = sampler.sample()
    assert (old.data, new.data[:10]) == (b"old object", b"new object")
    assert (old.size, new.size) == (10, 20)
    assert old.inode != new.inode


def test_it_tells_a_change_of_size(shared):
    name = shared("elastic", 8192)
    sampler = observe.Sampler(name)
    assert sampler.sample().size == 8192
    os.truncate(f"/dev/shm{name}", 3)
    assert (sampler.sample().size, sampler.sample().data, sampler.size) == (3, bytes(3), 3)
    os.truncate(f"/dev/shm{name}", 0)
    assert sampler.sample() == observe.Sample(0, 0, 1, 1, b"", os.stat(f"/dev/shm{name}").st_ino)
    assert list(sampler.sample().offsets) == []


@pytest.mark.parametrize("grows_again", [False, True])
def test_an_object_shortened_while_it_is_looked_at(long_object, monkeypatch, grows_again):
    name = names.name("shrinking")
    with open(f"/dev/shm{name}", "xb") as file:
        file.write(CONTENT)
    pread = os.pread
    calls = []

    def shortening(fd, count, offset):
        calls.append(offset)
        if len(calls) == 10:
            os.truncate(f"/dev/shm{name}", 5000)
        elif len(calls) == 12 and grows_again:
            os.truncate(f"/dev/shm{name}", len(CONTENT))
        return pread(fd, count, offset)

    try:
        sampler = observe.Sampler(name)
        monkeypatch.setattr(os, "pread", shortening)
        sample = sampler.sample(100, 8)
    finally:
        monkeypatch.undo()
        os.unlink(f"/dev/shm{name}")
    assert sample.size == (len(CONTENT) if grows_again else 5000)
    assert sample.data == b"".join(CONTENT[at : at + 8] for at in sample.offsets)
    assert len(sample.offsets) == 9


def test_lengths_beyond_what_one_pread_transfers(long_object, monkeypatch):
    monkeypatch.setattr(sampling, "MOST", 1000)
    with observe.Sampler(long_object) as sampler:
        assert sampler.read(123) == CONTENT[123:]
        assert sampler.read(599_000, 5000) == CONTENT[599_000:]


def test_what_cannot_be_looked_at(shared):
    with pytest.raises(FileNotFoundError, match="No such file or directory: '/nobody-made-this'"):
        observe.Sampler("/nobody-made-this")
    with pytest.raises(OSError, match="Invalid argument"):
        observe.Sampler("/a/b")
    sampler = observe.Sampler(shared("limits", 100))
    for look in (
        lambda: sampler.sample(offset=-1),
        lambda: sampler.sample(length=-1),
        lambda: sampler.read(-1),
        lambda: sampler.read(0, -1),
    ):
        with pytest.raises(OSError, match="Invalid argument") as caught:
            look()
        assert caught.value.filename == sampler.name
    for points, run in ((0, 1), (1, 0), (-1, 1)):
        with pytest.raises(ValueError, match="at least one point"):
            sampler.sample(points, run)
    assert sampler.read(1000) == b""
    assert sampler.sample(offset=1000).data == b""


def test_a_closed_sampler_says_so(shared):
    with observe.Sampler(shared("closed")) as sampler:
        pass
    sampler.close()
    with pytest.raises(ValueError, match="is closed"):
        sampler.sample()
    assert "closed" in repr(sampler)


def test_a_fifo_does_not_hold_it_up():
    name = names.name("fifo")
    os.mkfifo(f"/dev/shm{name}")
    try:
        with pytest.raises(OSError, match="not a shared memory object"):
            observe.Sampler(name)
    finally:
        os.unlink(f"/dev/shm{name}")


def test_permission_is_asked_of_the_kernel(as_nobody, shared):
    name = shared("private")

    def look():
        try:
            observe.Sampler(name)
        except PermissionError as error:
            return [error.errno, error.filename]

    assert as_nobody(look) == [13, name]
    os.chmod(f"/dev/shm{name}", 0o644)
    assert as_nobody(lambda: observe.Sampler(name).size) == 4096


def test_a_sample_prints_in_one_line(long_object):
    with observe.Sampler(long_object) as sampler:
        assert repr(sampler.sample(100, 8)).startswith(
            "Sample(100 runs of 8, one every 6000 from 0 of 585.9 KiB: "
        )
        assert repr(sampler.sample(4)) != repr(sampler.sample(4, offset=1))
        assert (
            repr(sampler.sample(length=2)) == f"Sample(2 bytes from 0 of 585.9 KiB: {CONTENT[:2].hex(' ')})"
        )
