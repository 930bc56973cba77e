"""Programs: found in modules and in cells, with what they need from around them; C compiled and cached."""

import atexit
import linecache
import math
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic

import pytest

from shmlab import programs
from shmlab.processes import start
from shmlab.programs import (
    CompileError,
    NoCompilerError,
    Program,
    as_program,
    c_program,
    compile_c,
    compiler,
    find_compiler,
    in_c,
    is_plain,
)
from shmlab.programs.writer import writer

needs_cc = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")

HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'


@pytest.fixture
def shell():
    """An IPython as a kernel has: its cells' names, and inspect finding their source."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    yield shell
    shell.history_manager.end_session()
    atexit.unregister(shell.atexit_operations)  # or the folder of its history is looked for when it's gone


@pytest.fixture
def cell(shell):
    def cell(text, **names):
        shell.user_ns |= names
        shell.run_cell(text).raise_error()
        return shell.user_ns

    return cell


@pytest.fixture
def labels(launch):
    """Run a program to its end, return what it called its steps; fail with its error when it raises."""

    def labels(program, *arguments):
        p = launch(program, *arguments)
        seen = []
        while (state := p.step(timeout=10)).kind == "paused":
            seen.append(state.at)
        assert state.outcome.ok, f"{state}\n{state.outcome.traceback}\n{p.output}"
        return seen

    return labels


class TestPython:
    def test_from_a_module(self):
        program = as_program(writer)
        assert (program.name, program.language, program.filename) == ("writer", "Python", "<writer>")
        assert program.source.startswith("def writer(name: str, text: str)")
        assert program.names["posix"] == ("module", "shmlab.posix")
        assert repr(program) == f"<Python program writer, {len(program.source.splitlines())} lines>"
        assert as_program(program) is program

    def test_html_is_escaped(self):
        assert "&lt;stdio.h&gt;" in c_program("x", HELLO)._repr_html_()

    def test_from_a_cell_with_everything_around_it(self, cell, labels):
        namespace = cell(
            """
import os, math as m
from os import path
from math import floor as down
from shmlab import posix
import dataclasses
from dataclasses import dataclass
from contextlib import contextmanager

SIZE = 4096
TABLE = {"a": [1, (2, None)], "b": {3}}
step = SIZE

class Full(Exception):
    pass

@dataclass
class Point:
    x: int
    y: int = SIZE

class Better(Point):
    def sum(self):
        return plus(self.x, self.y)

def plus(a, b=SIZE):
    return a + b

double = lambda n: 2 * n
also_plus = plus

@contextmanager
def twice(n):
    yield double(n)

def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(n - 1)

def program(posix_flags: Unknown = SIZE):
    # the attributes below are called as globals of this notebook that can't be sent
    first: SomethingElse = os.path.basename("/a/b")
    yield first
    yield path.join("c", "d"), down(2.5), m.pi > 3
    yield posix.PAGE_SIZE
    yield TABLE["a"]
    yield Better(1, 2).sum(), Point(5)
    yield plus(1), also_plus(1, 1)
    with twice(21) as result:
        yield result
    yield even(10)
    yield [plus(n, SIZE) for n in range(2)]
    try:
        raise Full("full")
    except Full as error:
        yield type(error).__name__, str(error)
    yield posix_flags
""",
            basename=memoryview(b""),
            sum=object(),
            PAGE_SIZE=object(),
            Unknown=object(),
        )
        assert labels(namespace["program"]) == [
            "b",
            "('c/d', 2, True)",
            "4096",
            "[1, (2, None)]",
            "(3, Point(x=5, y=4096))",
            "(4097, 2)",
            "42",
            "True",
            "[4096, 4097]",
            "('Full', 'full')",
            "4096",
        ]

    def test_a_helper_in_another_cell_and_line_one(self, cell, launch):
        cell("def helper(n):\n    return 1 / n\n")
        namespace = cell("\n\n\ndef program(n):\n    yield 'one'\n    helper(n)\n")
        p = launch(namespace["program"], 0)
        assert p.program.source.splitlines()[0] == "def program(n):"
        assert p.step().line == 2
        p.step()
        assert p.outcome.traceback == (
            "  line 3, in program\n    helper(n)\n  line 7, in helper\n    return 1 / n\n"
            "ZeroDivisionError: division by zero"
        )
        assert p.program.source.splitlines()[6] == "    return 1 / n"

    def test_an_exception_of_the_notebook_is_called_by_its_name(self, cell, launch):
        namespace = cell(
            "class Full(Exception):\n    'No room.'\n\ndef program():\n    yield\n    raise Full('no')\n"
        )
        assert str(launch(namespace["program"]).run().wait()) == "raised Full: no"

    def test_the_latest_definition_counts(self, cell, labels):
        cell("class Word:\n    text = 'old'\n\ndef helper():\n    return 'old'")
        cell("class Word:\n    text = 'new'\n\ndef helper():\n    return 'new'")
        namespace = cell("def program():\n    yield Word.text + helper()")
        assert labels(namespace["program"]) == ["newnew"]

    def test_closures(self, labels):
        limit, flags = 3, os.O_RDWR

        def up_to():
            for number in range(limit):
                yield number + flags

        assert labels(up_to) == ["2", "3", "4"]

    def test_a_decorated_program(self, labels):
        assert labels(decorated) == ["wrapped"]

    def test_what_it_keeps_between_steps(self, labels):
        assert labels(remembers) == ["1", "2"]

    def test_a_helper_imported_from_elsewhere(self, labels):
        def program():
            yield math.floor(2.5), shutil.which.__name__

        assert labels(program) == ["(2, 'which')"]

    @pytest.mark.parametrize("name", ["view", "lock", "array", "number"])
    def test_what_cannot_be_sent_is_named(self, cell, name):
        import numpy

        things = {
            "view": memoryview(b"abc"),
            "lock": threading.Lock(),
            "array": numpy.arange(3),
            "number": numpy.float64(1),
        }
        namespace = cell(f"def program():\n    yield {name}\n", **things)
        with pytest.raises(TypeError, match=f"program 'program' uses '{name}', a .*can't be sent"):
            as_program(namespace["program"])

    def test_what_is_no_program(self):
        with pytest.raises(TypeError, match="a program needs a name: write it with def, not lambda"):
            as_program(lambda: (yield))
        with pytest.raises(TypeError, match="generator function or a Program, not builtin_function"):
            as_program(print)
        with pytest.raises(TypeError, match="not generator"):
            as_program(decorated())
        with pytest.raises(TypeError, match="def, not async def"):
            as_program(asynchronous)

    def test_source_that_cannot_be_found(self):
        namespace = {}
        exec("def typed():\n    yield", namespace)
        with pytest.raises(
            ValueError, match="the source of 'typed' can't be found: define it in a module or"
        ):
            as_program(namespace["typed"])

    def test_source_that_only_linecache_has(self, labels):
        text = "def cached():\n    yield 'found'\n"
        linecache.cache["<kept>"] = (len(text), None, text.splitlines(True), "<kept>")
        namespace = {}
        exec(compile(text, "<kept>", "exec"), namespace)
        assert labels(namespace["cached"]) == ["found"]
        del linecache.cache["<kept>"]

    def test_what_cannot_stand_alone(self):
        number = 0

        def counts():
            nonlocal number
            number += 1
            yield number

        with pytest.raises(ValueError, match=r"'counts' can't stand alone .*nonlocal 'number'"):
            as_program(counts)

    def test_plain(self):
        assert all(map(is_plain, (None, 1, 1.5, 1j, "", b"", True, ..., (1, [2, {3: {4}}]), frozenset({1}))))
        number = type("Number", (int,), {})
        for value in (bytearray(), memoryview(b""), number(1), [number(1)], {1: number()}, print, object):
            assert not is_plain(value)


def wrapped(function):
    import functools

    @functools.wraps(function)
    def wrapper(*arguments):
        yield from function(*arguments)

    return wrapper


def decorated():
    inner = wrapped(lambda: iter(["wrapped"]))
    yield from inner()


async def asynchronous():
    yield


MEMORY = []


def remembers():
    for number in (1, 2):
        MEMORY.append(number)
        yield len(MEMORY)


@needs_cc
class TestC:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        return tmp_path / "cache" / "shmlab"

    @pytest.fixture
    def compilations(self, monkeypatch):
        calls = []
        run = subprocess.run

        def counted(*arguments, **options):
            calls.append(arguments[0])
            return run(*arguments, **options)

        monkeypatch.setattr(compiler.subprocess, "run", counted)
        return calls

    def test_twins(self):
        for name in (writer, "writer", as_program(writer)):
            assert in_c(name) == in_c("writer")
        assert in_c("increment").source == (programs.FOLDER / "increment.c").read_text()
        with pytest.raises(
            FileNotFoundError, match=r"no C twin: there is one for .*increment.*writer.*: 'remembers\.c'"
        ):
            in_c(remembers)

    def test_every_twin_compiles_without_a_warning(self, tmp_path):
        for file in programs.FOLDER.glob("*.c"):
            command = [
                find_compiler(),
                *compiler.FLAGS,
                "-Werror",
                "-c",
                "-o",
                str(tmp_path / "a.out"),
                str(file),
            ]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode, done.stderr) == (0, "")

    def test_compiled_and_run(self):
        executable = compile_c(c_program("hello", HELLO))
        assert subprocess.run([executable], capture_output=True, text=True, check=True).stdout == "hello\n"

    def test_a_compile_error_is_shown_as_printed(self, launch):
        program = c_program("wrong", "int main(void)\n{\n    return x\n}\n")
        with pytest.raises(CompileError) as caught:
            compile_c(program)
        (lines := str(caught.value).splitlines())
        assert lines[0].startswith("wrong.c: In function")
        assert any(line.startswith("wrong.c:3:12: error: ") for line in lines)
        assert any(line.endswith("    return x") for line in lines)
        p = launch(program)
        with pytest.raises(CompileError):
            p.start()
        assert p.state.kind == "not started"

    def test_a_compiler_that_hangs(self, monkeypatch, tmp_path):
        script = tmp_path / "cc"
        script.write_text("#!/bin/sh\nexec sleep 60\n")
        script.chmod(0o755)
        monkeypatch.setenv("CC", str(script))
        monkeypatch.setattr(compiler, "TIMEOUT", 0.2)
        begin = monotonic()
        with pytest.raises(CompileError, match=r"had not finished after 0\.2 s"):
            compile_c(c_program("hello", HELLO))
        assert monotonic() - begin < 5

    def test_no_compiler(self, monkeypatch, launch, cache):
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("CC", raising=False)
        assert find_compiler() is None
        with pytest.raises(NoCompilerError, match="no C compiler on this machine: install the package gcc"):
            compile_c(c_program("hello", HELLO))
        p = launch(in_c("writer"), "/x", "y")
        with pytest.raises(OSError, match="no C compiler"):
            p.start()
        assert p.state.kind == "not started"

    def test_the_second_time_nothing_is_compiled(self, compilations, cache):
        program = c_program("hello", HELLO)
        assert compile_c(program) == compile_c(c_program("hello", HELLO))
        assert len(compilations) == 1
        assert [path.name for path in cache.iterdir()] == [compile_c(program).name]

    def test_what_changes_is_compiled_anew(self, compilations, monkeypatch, tmp_path):
        first = compile_c(c_program("hello", HELLO))
        assert compile_c(c_program("hello", HELLO.replace("hello", "salut"))) != first
        # Another step.h: as if the lab was updated.
        (tmp_path / "programs").mkdir()
        (tmp_path / "programs" / "step.h").write_text((programs.FOLDER / "step.h").read_text() + "\n")
        monkeypatch.setattr(compiler, "__file__", str(tmp_path / "programs" / "compiler.py"))
        assert compile_c(c_program("hello", HELLO)) != first
        assert len(compilations) == 3

    def test_two_at_once(self, cache):
        program = c_program("hello", HELLO)
        seen = []
        threads = [threading.Thread(target=lambda: seen.append(compile_c(program))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(set(seen)) == 1
        assert len(seen) == 4
        assert subprocess.run([seen[0]], capture_output=True, text=True, check=True).stdout == "hello\n"
        assert len(list(cache.iterdir())) == 1

    def test_a_cache_folder_that_cannot_be_made(self, monkeypatch, tmp_path):
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        monkeypatch.setattr(compiler.tempfile, "tempdir", str(tmp_path))
        executable = compile_c(c_program("hello", HELLO))
        assert executable.parent == tmp_path / f"shmlab-cache-{os.getuid()}"
        assert executable.parent.stat().st_mode & 0o777 == 0o700
        executable.parent.chmod(0o777)
        with pytest.raises(PermissionError, match="not a folder of yours alone"):
            compile_c(c_program("hello", HELLO))

    @pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "a\0"])
    def test_a_name_that_is_no_file_name(self, name):
        with pytest.raises(ValueError, match="can't name a C program"):
            c_program(name, HELLO)

    def test_many_of_one_text(self, launch):
        many = [
            launch(c_program("steps", '#include "step.h"\nint main(void) { step("x"); }')) for _ in range(3)
        ]
        start(*many)
        assert {str(p.step()) for p in many} == {'paused after step 1 at line 2 ("x")'}


def test_nothing_happens_at_import():
    probe = (
        "import sys, threading, os; fds = os.listdir('/proc/self/fd'); import shmlab.processes.process; "
        "assert threading.active_count() == 1; assert len(os.listdir('/proc/self/fd')) == len(fds); "
        "assert not {'numpy', 'IPython', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", probe], check=True, timeout=20, cwd=Path(__file__).parents[2])


def test_a_program_is_a_value():
    assert Program("x", "C", "text", "x.c") == Program("x", "C", "text", "x.c")
