"""The stand-in's threads: as many as the layout says, named and pinned as its plan says, and idle."""

import os
import sys
import threading

STAGES = ["io", "write", "respond", "replicate", "loader", "flush"]


def plan(layout, groups):
    if layout == "single":
        return [("all", STAGES)]
    if layout == "two":
        return [("main", STAGES[:-1]), ("flush", STAGES[-1:])]
    return [(stage, [stage]) for stage in STAGES]


def idle(name, cpu, ready, fault):
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as comm:
        comm.write(name)
    if fault != "unpinned":
        os.sched_setaffinity(threading.get_native_id(), {cpu})
    ready.set()
    threading.Event().wait()


def apply_plan(layout, groups, fault):
    for index, (name, stages) in enumerate(plan(layout, groups)):
        cpu = index % os.cpu_count()
        print(f"placement: thread=ht-{name} cpu={cpu} node=0 stages={','.join(stages)}", file=sys.stderr, flush=True)
        ready = threading.Event()
        threading.Thread(target=idle, args=(f"ht-{name}", cpu, ready, fault), daemon=True).start()
        ready.wait()
    return layout
