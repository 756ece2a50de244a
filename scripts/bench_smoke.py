#!/usr/bin/env python3
"""bench_smoke: reads what a benchmark's run printed, and fails unless its last line holds every figure.

Owns the list of figures that docs/bench.md explains, for each load. Says nothing about how large they are.
"""
import json
import math
import sys

LOADS = ("alone", "in_flight_64", "side_by_side_256")
FIGURES = (
    "cases_per_second", "steps_per_second", "p50_ms", "p99_ms", "commits_per_case", "wal_bytes_per_case",
    "cpu_ms_per_case", "rss_mib", "ratio_to_floor", "floor_cases_per_second", "floor_commits_per_case",
    "floor_cpu_ms_per_case", "floor_p50_ms", "unlogged_cases_per_second", "log_overhead", "log_cpu_overhead",
)
# These are differences, and may be none or less than nothing.
SIGNED = ("log_overhead", "log_cpu_overhead")
# What a short run may round to nothing, or a platform may not tell.
MAY_BE_ZERO = ("commits_per_case", "wal_bytes_per_case", "cpu_ms_per_case", "floor_commits_per_case",
               "floor_cpu_ms_per_case")


def missing(figures, where):
    found = []
    for name in FIGURES:
        value = figures.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            found.append(f"{where}.{name} is {value!r}")
        elif value < 0 and name not in SIGNED or value == 0 and name not in SIGNED + MAY_BE_ZERO:
            found.append(f"{where}.{name} is {value}")
    return found


def main():
    lines = sys.stdin.read().strip().splitlines()
    if not lines:
        sys.exit("the benchmark printed nothing")
    try:
        told = json.loads(lines[-1])
    except ValueError:
        sys.exit(f"the last line is no JSON: {lines[-1][:200]}")
    found = missing(told, "")
    for load in LOADS:
        found += missing(told.get("loads", {}).get(load, {}), load)
    if found:
        sys.exit("\n".join(found))


main()
