"""How observations are shown."""

import copy
import pickle

import pytest

from shmlab import observe
from shmlab.observe import table
from shmlab.observe.mappers import Mapper


def mapper(**changes):
    fields = {"pid": 7, "command": "python", "user": "ana", "perms": ("rw-s",)}
    return Mapper(**{**fields, "mappings": 1, "mapped": 4096, "open_fds": 0, **changes})


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1,023 B"),
        (1024, "1 KiB"),
        (5000, "5,000 B"),
        (8192, "8 KiB"),
        (12000, "11.7 KiB"),
        (16 << 20, "16 MiB"),
        (5_000_000, "4.8 MiB"),
        (1 << 30, "1 GiB"),
        (3 << 29, "1.5 GiB"),
        (None, ""),
    ],
)
def test_sizes_are_exact_where_one_unit_says_it(count, words):
    assert table.size(count) == words


def test_modes_are_written_both_ways():
    assert table.mode(0o644) == "rw-r--r-- (0644)"
    assert table.mode(0o1600) == "rw------- (1600)"


def test_keys_are_written_as_ipcs_writes_them():
    assert table.key(0x5AC70010) == "0x5ac70010"
    assert table.key(0) == "0x00000000"
    assert table.key(-5) == "0xfffffffb"


def test_a_table_is_a_tuple_with_aligned_columns():
    rows = observe.Table([mapper(), mapper(pid=12345, mapped=16384, open_fds=2)], Mapper.COLUMNS)
    assert isinstance(rows, tuple)
    assert [row.pid for row in rows] == [7, 12345]
    assert rows.columns == ("pid", "command", "user", "perms", "mappings", "mapped", "open_fds")
    assert repr(rows).splitlines() == [
        "  pid  command  user  perms  mappings  mapped  open fds",
        "    7  python   ana   rw-s          1   4 KiB         0",
        "12345  python   ana   rw-s          1  16 KiB         2",
    ]


def test_an_empty_table_says_so_and_how_many_were_not_seen():
    rows = observe.Table((), Mapper.COLUMNS, unseen=3)
    lines = repr(rows).splitlines()
    assert lines[0].split() == ["pid", "command", "user", "perms", "mappings", "mapped", "open", "fds"]
    assert lines[1:] == ["(none)", "3 processes could not be looked at: not permitted"]
    assert "3 processes could not be looked at" in rows._repr_html_()


def test_html_escapes_what_others_named():
    html = observe.Table([mapper(command="<script>&")], Mapper.COLUMNS)._repr_html_()
    assert "&lt;script&gt;&amp;" in html
    assert "<script>" not in html
    assert html.count("<tr>") == 2
    assert "&lt;script" in mapper(command="<script>")._repr_html_()


def test_long_and_unprintable_text_is_tamed_in_the_table_only():
    row = mapper(command="x" * 200 + "\n\x1b")
    assert "\x1b" not in repr(observe.Table([mapper(command="a\x1b[2J")], Mapper.COLUMNS))
    assert max(map(len, repr(observe.Table([row], Mapper.COLUMNS)).splitlines())) < 120
    assert len(row.command) == 202


def test_a_table_survives_pickling_and_copying():
    rows = observe.Table([mapper()], Mapper.COLUMNS, unseen=1)
    for other in (pickle.loads(pickle.dumps(rows)), copy.copy(rows)):
        assert other == rows
        assert repr(other) == repr(rows)


def test_values_are_frozen_and_have_a_plain_repr():
    with pytest.raises(AttributeError):
        mapper().pid = 3
    assert repr(mapper()) == (
        "Mapper(pid=7, command='python', user='ana', perms=('rw-s',), mappings=1, mapped=4096, open_fds=0)"
    )
