"""Rows of `tests/bench/run --counts`: what the kernel does for halund's I/O, counted with perf.

System calls and sleeps of all of the target's threads, while a load runs that is longer than the counting; for each I/O
of that load. perf's own work makes the target slower, so that it waits awake for a part of the time only: these are
counts, not speeds. Needs root and perf (Debian: linux-perf).
"""
import os
import shutil
import statistics
import subprocess
import sys
import threading

EVENTS = {
    "entries": "syscalls:sys_enter_io_uring_enter",  # entries of the ring
    "writes": "syscalls:sys_enter_write",            # to an eventfd
    "system_calls": "raw_syscalls:sys_enter",        # all of them
    "sleeps": "context-switches",
    "to_worker": "io_uring:io_uring_queue_async_work",  # requests that the kernel hands to a thread of its own
}
SECONDS, MARGIN = 1.0, 0.7  # of counting; of load before and after it (its warm-up is in that)

R4, W4 = "--block 4096", "--block 4096 --reads 0"
ROWS = [
    ("memory, read 4 KiB, depth 1", "halun", "memory", R4),
    ("memory, write 4 KiB, depth 1", "halun", "memory", W4),
    ("memory, write 4 KiB, depth 1, spin_us = 0", "halun-sleeps", "memory", W4),
    ("memory, read 4 KiB, depth 32", "halun", "memory", f"{R4} --depth 32"),
    ("memory, write 4 KiB, depth 32", "halun", "memory", f"{W4} --depth 32"),
    ("memory, read 128 KiB, depth 8", "halun", "memory", "--block 131072 --depth 8 --sequential"),
    ("memory, write 128 KiB, depth 8", "halun", "memory", "--block 131072 --depth 8 --sequential --reads 0"),
    ("memory, read 1 MiB, depth 8", "halun", "memory", "--block 1048576 --depth 8 --sequential"),
    ("memory, write 1 MiB, depth 8", "halun", "memory", "--block 1048576 --depth 8 --sequential --reads 0"),
    ("null, read 4 KiB, depth 32, 64 sessions", "halun", "null", f"{R4} --depth 32 --sessions 64"),
    ("file O_DIRECT, read 4 KiB, depth 32", "halun", "direct", f"{R4} --depth 32"),
    ("file O_DIRECT, write 4 KiB, depth 32", "halun", "direct", f"{W4} --depth 32"),
    ("file buffered, write 4 KiB, depth 32", "halun", "buffered", f"{W4} --depth 32"),
]


def missing():
    """Why it cannot be counted here, or None."""
    if os.geteuid():
        return "--counts needs root"
    if not shutil.which("perf"):
        return "--counts needs perf (Debian: linux-perf)"
    tried = subprocess.run(["perf", "stat", "-x,", "-e", ",".join(EVENTS.values()), "true"], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"perf cannot count here: {tried.stderr.strip().splitlines()[0]}"


def perf(pid):
    """{event's name here: count} of all threads of `pid` for SECONDS."""
    done = subprocess.run(["perf", "stat", "-x,", "-e", ",".join(EVENTS.values()), "-p", str(pid), "sleep", str(SECONDS)],
                          capture_output=True, text=True, check=True)
    counts = {}
    for line in done.stderr.splitlines():
        fields = line.split(",")
        for name, event in EVENTS.items():
            if len(fields) > 2 and fields[2].startswith(event):
                counts[name] = float(fields[0])
    if len(counts) != len(EVENTS):
        sys.exit(f"bench: perf did not count all events: {done.stderr.strip()}")
    return counts


def measure(cell, bench):
    """One sample of `cell`: counts for each I/O, and the IOPS that they are of."""
    result = {}
    seconds = SECONDS + 2 * MARGIN
    load = threading.Thread(target=lambda: result.update(cell.measure(bench, seconds)))
    pid = bench.server(cell.server).pid
    load.start()
    load.join(2 * MARGIN)  # the load's warm-up, and a part of what it measures
    counts = perf(pid)
    load.join()
    if "iops" not in result:
        sys.exit(f"bench: the load of {cell.name} failed")
    return {"iops": result["iops"], **{name: count / SECONDS / result["iops"] for name, count in counts.items()}}


def run(bench, cell_of, rounds):
    """{row: {measure: median}} of `rounds` rounds, every row once in each."""
    cells = {name: cell_of(server, kind, *options.split()) for name, server, kind, options in ROWS}
    samples = {name: [] for name in cells}
    for turn in range(rounds):
        for name, cell in cells.items():
            samples[name].append(measure(cell, bench))
        print(f"bench: round {turn + 1} of {rounds} counted", file=sys.stderr)
    return {name: {key: statistics.median(s[key] for s in taken) for key in taken[0]} for name, taken in samples.items()}


def show(results):
    print(f"{'for each I/O':44s}{'ring':>8s}{'write':>8s}{'calls':>8s}{'sleeps':>8s}{'worker':>8s}{'IOPS':>10s}")
    for name, r in results.items():
        print(f"{name:44s}" + "".join(f"{r[k]:8.3f}" for k in EVENTS) + f"{r['iops']:10.0f}")
