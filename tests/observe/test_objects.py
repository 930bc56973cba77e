"""The entries of /dev/shm, against stat(1) and ls(1)."""

import os
import subprocess
from datetime import timedelta

import pytest

from shmlab import names, observe


def stat_says(path, form):
    command = ["stat", "-c", form, path]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.split()


def test_an_entry_is_what_stat_says(shared):
    name = shared("entry", 100_000, b"x" * 5000)
    os.chmod(f"/dev/shm{name}", 0o640)
    entry = observe.object_entry(name)
    size, blocks, unit, mode, uid, gid, owner, inode, device, modified = stat_says(
        f"/dev/shm{name}", "%s %b %B %a %u %g %U %i %d %Y"
    )
    assert (entry.name, entry.kind) == (name, "object")
    assert entry.size == int(size) == 100_000
    assert entry.allocated == int(blocks) * int(unit) == 8192
    assert entry.mode == int(mode, 8) == 0o640
    assert (entry.uid, entry.gid) == (int(uid), int(gid))
    assert entry.owner == owner
    assert (entry.inode, entry.device) == (int(inode), int(device))
    assert int(entry.modified.timestamp()) == int(modified)
    assert isinstance(entry.modified.utcoffset(), timedelta)


def test_the_listing_is_what_ls_says(shared, semaphore):
    first, second, third = shared("one", 1), shared("two", 2), semaphore("three")
    ours = names.prefix() + "*"
    assert [(e.name, e.kind, e.size) for e in observe.objects(ours)] == [
        (first, "object", 1),
        (second, "object", 2),
        (third, "semaphore", 32),
    ]
    files = subprocess.run(
        ["ls", "-1", "/dev/shm"], capture_output=True, text=True, timeout=10
    ).stdout.split()
    listed = {"sem." * (e.kind == "semaphore") + e.name[1:] for e in observe.objects(ours)}
    assert listed == {file for file in files if names.prefix()[1:] in file}
    assert observe.objects(ours[1:]) == observe.objects(ours)
    assert "rw------- (0600)" in repr(observe.objects(ours))


def test_semaphores_and_objects_of_one_name_are_told_apart(shared, semaphore):
    name = shared("both", 10)
    assert observe.object_entry(name, "semaphore") is None
    assert semaphore("both") == name
    assert observe.object_entry(name).size == 10
    assert observe.object_entry(name, "semaphore").size == 32


def test_what_shm_open_cannot_open_is_left_out():
    base = names.name("odd")
    folder, link = f"/dev/shm{base}", f"/dev/shm{base}2"
    os.mkdir(folder)
    try:
        os.symlink("/etc/passwd", link)
        assert observe.objects(base + "*") == ()
        assert observe.object_entry(base) is None
        assert observe.object_entry(base + "2") is None
    finally:
        os.rmdir(folder)
        os.unlink(link)


def test_an_absent_object_has_no_entry():
    assert observe.object_entry(names.name("absent")) is None
    assert observe.objects(names.name("absent")) == ()


@pytest.mark.parametrize("name", ["", "/", "/a/b", "/a\0b", ".", "/.."])
def test_names_that_no_object_can_have_are_einval(name):
    with pytest.raises(OSError, match="Invalid argument") as caught:
        observe.object_entry(name)
    assert caught.value.filename == name


def test_a_name_that_is_too_long_is_enametoolong():
    with pytest.raises(OSError, match="File name too long") as caught:
        observe.object_entry("/" + "x" * 300)
    assert caught.value.filename == "/" + "x" * 300


def test_an_owner_without_a_name_is_a_number(shared):
    if os.getuid() != 0:
        pytest.skip("only root can give an object away")
    name = shared("given")
    os.chown(f"/dev/shm{name}", 54321, 54321)
    assert observe.object_entry(name).owner == "54321"
