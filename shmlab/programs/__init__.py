"""Programs: the code that processes run, in Python or in C, as values that can be shown and sent.

A Python program is a generator function whose every ``yield`` is a point at which the scheduler may switch.
Its C twin stands beside it in this folder and calls ``step("…")`` at the same places. This package finds a
program's source, works out which names it needs from around it, and compiles C on demand; it starts no
process (:mod:`shmlab.processes` does) and makes none of the calls that the programs make.
"""

import __future__

import ast
import dis
import inspect
import linecache
import re
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from shmlab.programs.compiler import CompileError, NoCompilerError, compile_c, find_compiler

__all__ = [
    "CompileError",
    "NoCompilerError",
    "Program",
    "as_program",
    "c_program",
    "compile_c",
    "find_compiler",
    "in_c",
    "is_plain",
]

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Program:
    """A program as it is shown (``source``, whose first line is line 1) and as it is sent to its process."""

    name: str
    language: str
    """``"Python"`` or ``"C"``."""
    source: str
    filename: str
    """What tracebacks and compilers call it."""
    names: dict[str, tuple[Any, ...]] = field(default_factory=dict, repr=False, compare=False)
    """Python only: what the program uses from around it; ``("module", m)``, ``("from", m, name)`` or
    ``("value", v)``."""

    def __repr__(self) -> str:
        return f"<{self.language} program {self.name}, {len(self.source.splitlines())} lines>"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre><code>{escape(self.source)}</code></pre>"


def as_program(program: "Program | Callable[..., Any]") -> Program:
    """Return *program* as a Program: a generator function is read from its source, in a module or a cell.

    Functions and classes that it uses and that stand in the same module or notebook travel with it; modules
    are imported again by the process; plain values (numbers, text, bytes, tuples, …) are sent along.

    Raises TypeError when it uses something that can't be sent, or when *program* is no function, and
    ValueError when its source can't be found (a function typed at a bare ``python`` prompt).
    """
    if isinstance(program, Program):
        return program
    if not isinstance(program, FunctionType):
        raise TypeError(f"a program is a generator function or a Program, not {type(program).__name__}")
    if program.__name__ == "<lambda>":
        raise TypeError("a program needs a name: write it with def, not lambda")
    if inspect.iscoroutinefunction(program) or inspect.isasyncgenfunction(program):
        raise TypeError(
            f"a program is a generator function: write {program.__name__!r} with def, not async def"
        )
    names: dict[str, tuple[Any, ...]] = {}
    sources: list[str] = []
    _collect(program, names, sources, {program.__name__})
    # Its own lines come first, so that line 1 is the program's; its neighbours each after what they build on.
    source = "\n\n".join([sources[-1], *sources[:-1]])
    return Program(program.__name__, "Python", source, f"<{program.__name__}>", names)


def is_plain(value: Any) -> bool:
    """Whether another process gets the very same from a copy: numbers, text, bytes, and containers of them.

    By exact type: what merely exposes its bytes (a memoryview, a numpy number) would arrive as bytes.
    """
    kind = type(value)
    if kind is dict:
        return all(is_plain(key) and is_plain(each) for key, each in value.items())
    if kind in (tuple, list, set, frozenset):
        return all(map(is_plain, value))
    return value is None or value is ... or kind in (bool, int, float, complex, str, bytes)


def in_c(program: "Callable[..., Any] | Program | str") -> Program:
    """Return the C twin of a program of this package: ``in_c(writer)`` reads ``programs/writer.c``.

    Raises FileNotFoundError when there is none.
    """
    if isinstance(program, Program):
        name = program.name
    else:
        name = program if isinstance(program, str) else program.__name__
    path = FOLDER / f"{name}.c"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in FOLDER.glob("*.c")))
        raise FileNotFoundError(2, f"no C twin: there is one for {known}", f"{name}.c")
    return Program(str(name), "C", path.read_text(encoding="utf-8"), path.name)


def c_program(name: str, source: str) -> Program:
    """Return a C program from its text, as a notebook cell holds it; it may ``#include "step.h"``.

    Raises ValueError when *name* can't be that of a file.
    """
    if not re.fullmatch(r"[\w-]{1,100}", name):
        raise ValueError(f"{name!r} can't name a C program: letters, digits, _ and - can")
    return Program(name, "C", textwrap.dedent(source).strip("\n") + "\n", f"{name}.c")


def _source(thing: Any) -> str:
    try:
        inner = inspect.unwrap(thing)
        if isinstance(inner, FunctionType):
            return _source_of_code(inner.__code__, inner.__code__.co_filename)
        text = inspect.getsource(thing)
    except (OSError, TypeError) as error:
        found = _class_in_a_cell(thing) if isinstance(thing, type) else None
        if found is None:
            raise ValueError(
                f"the source of {thing.__name__!r} can't be found: define it in a module or a notebook cell"
            ) from error
        text = found
    return textwrap.dedent(text).rstrip("\n") + "\n"


@lru_cache(maxsize=256)
def _source_of_code(code: CodeType, filename: str) -> str:
    """Return a function's source, kept: finding it takes half a millisecond. Two cells' code may be equal."""
    return textwrap.dedent(inspect.getsource(code)).rstrip("\n") + "\n"


def _class_in_a_cell(thing: type) -> str | None:
    """Return the source of a class of a notebook, of which inspect knows no file: the latest cell's."""
    for entry in reversed(list(linecache.cache.values())):
        if len(entry) != 4 or entry[1] is not None:  # a real file has a time of modification
            continue
        text = "".join(entry[2])
        try:
            tree = ast.parse(text)
        except SyntaxError:
            continue
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == thing.__name__:
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                return "".join(text.splitlines(keepends=True)[first - 1 : node.end_lineno])
    return None


def _collect(
    thing: "FunctionType | type", names: dict[str, tuple[Any, ...]], sources: list[str], seen: set[str]
) -> None:
    """Append the sources of the neighbours that *thing* uses, then its own; note whatever else it uses."""
    source = _source(thing)
    around: dict[str, Any] = {}
    for function in _functions_of(thing):
        around |= function.__globals__ | _closure(function)
    if isinstance(thing, type) and not around:
        around = vars(sys.modules[thing.__module__])
    for name in _names_read(source, thing.__name__):
        if name in seen or name not in around or name == "__name__":  # a class asks where it's from
            continue
        seen.add(name)
        value = around[name]
        if isinstance(value, ModuleType):
            names[name] = ("module", value.__name__)
        elif isinstance(value, FunctionType | type) and value.__module__ == thing.__module__:
            if value.__name__ not in seen or value.__name__ == name or value.__name__ == "<lambda>":
                seen.add(value.__name__)
                _collect(value, names, sources, seen)
            if value.__name__ not in (name, "<lambda>"):
                sources.append(f"{name} = {value.__name__}\n")
        elif _importable(value):
            names[name] = ("from", value.__module__, value.__qualname__)
        elif is_plain(value):
            names[name] = ("value", value)
        else:
            raise TypeError(
                f"program {thing.__name__!r} uses {name!r}, a {type(value).__name__}, which can't be "
                "sent to another process: pass it plain values as arguments, or make the call in the program"
            )
    sources.append(source)


def _closure(function: FunctionType) -> dict[str, Any]:
    """Return the variables of the functions around *function* that it sees and that have a value by now."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def _functions_of(thing: Any) -> list[FunctionType]:
    """Return the functions whose surroundings *thing* sees: what a decorator wrapped, a class's methods."""
    if isinstance(thing, FunctionType):
        inner = inspect.unwrap(thing)
        return [thing, inner] if isinstance(inner, FunctionType) else [thing]
    return [member for member in vars(thing).values() if isinstance(member, FunctionType)]


@lru_cache(maxsize=256)
def _names_read(source: str, name: str) -> tuple[str, ...]:
    return tuple(_names_used(_compiled(source, name)))


def _compiled(source: str, name: str) -> CodeType:
    try:
        # Annotations stay text, as in the process: what they name need not travel.
        return compile(source, f"<{name}>", "exec", __future__.annotations.compiler_flag, dont_inherit=True)
    except SyntaxError as error:
        raise ValueError(f"{name!r} can't stand alone in another process: {error}") from error


def _names_used(code: CodeType) -> list[str]:
    """Return the global names that *code* reads, in order; attributes are none."""
    used = [each.argval for each in dis.get_instructions(code) if each.opname in READING]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            used += _names_used(constant)
    return used


READING = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}


def _importable(value: Any) -> bool:
    """Whether another process can import *value* by name from the module that it says it's from."""
    module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not module or not qualname or module == "__main__" or "." in qualname:
        return False
    return getattr(sys.modules.get(module), qualname, None) is value
