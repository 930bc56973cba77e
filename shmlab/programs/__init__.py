"""Programs: the code that processes run, in Python or in C, as values that can be shown and sent.

A Python program is a generator function whose every ``yield`` is a point at which the scheduler may switch.
Its C twin stands beside it in this folder and calls ``step("…")`` at the same places. This package finds a
program's source, works out which names it needs from around it, and compiles C on demand; it starts no
process (:mod:`shmlab.processes` does) and makes none of the calls that the programs make.
"""

import inspect
import marshal
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
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
    names: dict[str, tuple[Any, ...]] = {}
    sources = [_source(program)]
    _collect(program, names, sources, {program.__name__})
    source = "\n\n".join(sources)
    return Program(program.__name__, "Python", source, f"<{program.__name__}>", names)


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
    """Return a C program from its text, as a notebook cell holds it; it may ``#include "step.h"``."""
    return Program(name, "C", textwrap.dedent(source).strip("\n") + "\n", f"{name}.c")


def _source(function: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function)).rstrip("\n") + "\n"
    except (OSError, TypeError) as error:
        raise ValueError(
            f"the source of {function.__name__!r} can't be found: define it in a module or a notebook cell"
        ) from error


def _collect(
    function: FunctionType, names: dict[str, tuple[Any, ...]], sources: list[str], seen: set[str]
) -> None:
    """Note everything that *function* uses from around it; sources of neighbours are appended in order."""
    closure = inspect.getclosurevars(function).nonlocals
    for name in _names_used(function.__code__):
        if name in seen:
            continue
        if name in closure:
            value = closure[name]
        elif name in function.__globals__:
            value = function.__globals__[name]
        else:
            continue
        seen.add(name)
        if isinstance(value, ModuleType):
            names[name] = ("module", value.__name__)
        elif isinstance(value, FunctionType | type) and value.__module__ == function.__module__:
            sources.append(_source(value))
            for inner in _functions_of(value):
                _collect(inner, names, sources, seen)
        elif _importable(value):
            names[name] = ("from", value.__module__, value.__qualname__)
        elif _is_plain(value):
            names[name] = ("value", value)
        else:
            raise TypeError(
                f"program {function.__name__!r} uses {name!r}, a {type(value).__name__}, which can't be "
                "sent to another process: pass it plain values as arguments, or make the call in the program"
            )


def _functions_of(value: Any) -> list[FunctionType]:
    if isinstance(value, FunctionType):
        return [value]
    return [member for member in vars(value).values() if isinstance(member, FunctionType)]


def _names_used(code: CodeType) -> list[str]:
    used = [*code.co_names, *code.co_freevars]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            used += _names_used(constant)
    return used


def _importable(value: Any) -> bool:
    """Whether another process can import *value* by name from the module that it says it's from."""
    module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not module or not qualname or module == "__main__" or "." in qualname:
        return False
    import sys

    return getattr(sys.modules.get(module), qualname, None) is value


def _is_plain(value: Any) -> bool:
    try:
        marshal.dumps(value)
    except ValueError:
        return False
    return True
