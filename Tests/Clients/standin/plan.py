"""The stand-in's threads: as many as the layout says, named and pinned as its plan says, and idle."""

import os
import sys
import threading

STAGES = ["io", "write", "respond", "replicate", "loader", "flush"]
CENTRAL = ["archive", "read", "control"]


def plan(layout):
    """[(thread, cpu, stages)]"""
    threads = {"single": [("all", STAGES)], "two": [("main", STAGES[:3]), ("flush", STAGES[3:] + CENTRAL)]}.get(
        layout, [(stage, [stage]) for stage in STAGES])
    return [(f"ht-{name}", index % os.cpu_count(), stages) for index, (name, stages) in enumerate(threads)]


def print_plan(layout, stream):
    for name, cpu, stages in plan(layout):
        print(f"placement: thread={name} cpu={cpu} node=0 stages={','.join(stages)}", file=stream, flush=True)


def idle(name, cpu, ready, fault):
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as comm:
        comm.write(name)
    if fault != "unpinned":
        os.sched_setaffinity(threading.get_native_id(), {cpu})
    ready.set()
    threading.Event().wait()


def apply_plan(layout, fault):
    print_plan(layout, sys.stderr)
    for name, cpu, _ in plan(layout):
        ready = threading.Event()
        threading.Thread(target=idle, args=(name, cpu, ready, fault), daemon=True).start()
        ready.wait()
    return layout
