"""``python -m benchmarks``: run the benchmarks, one after the other, and print the table, or JSON.

Exit status 0 whether or not goals are reached, 1 when a benchmark failed.
"""

import argparse
import json
import os
import sys
import time
import traceback
from importlib import import_module
from typing import Any

from benchmarks.rows import Row, header, machine, table
from shmlab import cleanup, names

BENCHMARKS = (
    "cycle",
    "sysv",
    "step",
    "schedule",
    "race",
    "sampling",
    "watched",
    "launch",
    "ring",
    "inspect",
    "views",
)


def main(argv: list[str] | None = None) -> int:
    """Run what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure shmlab against its peers, by turns, in one run."
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--quick", action="store_true", help="show in seconds that it runs; the figures say nothing"
    )
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="only this one; may be repeated")
    options = parser.parse_args(argv)

    facts = machine()
    if not options.json:
        print(header(facts), end="\n\n", flush=True)
    rows: list[Row] = []
    found: list[dict[str, Any]] = []
    failed = []
    left = []
    for name in options.only or BENCHMARKS:
        print(f"measuring {name} …", end="", file=sys.stderr, flush=True)
        begin = time.monotonic()
        try:
            measured = list(import_module(f"benchmarks.{name}").measure(options.quick))
        except Exception:
            traceback.print_exc()
            measured = []
            failed.append(name)
        finally:
            # Whatever this removes, the benchmark should have.
            left += cleanup()
        load = os.getloadavg()[0]
        print(f" {time.monotonic() - begin:.0f} s, load {load:.2f}", file=sys.stderr, flush=True)
        rows += measured
        found += [{"benchmark": name, **row.as_dict(), "load": round(load, 2)} for row in measured]
    end = [round(each, 2) for each in os.getloadavg()]
    if options.json:
        told = {
            "machine": facts | {"load_after": end},
            "quick": options.quick,
            "session": names.session(),
            "rows": found,
            "failed": failed,
            "left": left,
        }
        print(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        print(table(rows))
        print(f"\nload average after: {' '.join(f'{each:.2f}' for each in end)}")
        if facts["load"][0] > facts["cores"] / 2:
            print("the machine was busy before: what is measured in fps, ms or µs would be better alone")
        if options.quick:
            print("--quick: these figures say that everything runs, and nothing else")
        for each in left:
            print(f"left behind, and removed: {each}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
