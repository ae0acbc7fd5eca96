"""Each thread runs where the plan says, and costs nothing while there is nothing to do."""

import os
import pathlib
import re
import time

import pytest

from broker import run

LINE = re.compile(r"placement: thread=(\S+) cpu=(\S+) node=(\S+) stages=(\S+)")
STAGES = {"io", "write", "flush", "replicate", "respond", "loader"}


def plan_of(text):
    """[(thread, cpu, node, stages)] of the plan's last printing."""
    return [(name, cpu, node, stages.split(",")) for name, cpu, node, stages in LINE.findall(text)]


def threads_of(pid):
    """[(comm, allowed CPUs as a set)] of a process's threads."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            status = (task / "status").read_text()
            name = (task / "comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        found.append((name, cpu_set(re.search(r"Cpus_allowed_list:\s*(\S+)", status).group(1))))
    return found


def cpu_set(text):
    """The kernel's list form: 0-3,8."""
    cpus = set()
    for piece in text.split(","):
        low, _, high = piece.partition("-")
        cpus |= set(range(int(low), int(high or low) + 1))
    return cpus


def test_threads_are_where_the_plan_says(broker_variant):
    plan = plan_of(broker_variant.log())
    assert plan, f"no plan in the log\n{broker_variant.tail()}"
    assert len({name for name, *_ in plan}) == len(plan), f"two threads of one name: {plan}"
    # A thread names and binds itself when it first runs, which on a busy host may be after the broker is ready.
    end = time.monotonic() + 20
    threads = threads_of(broker_variant.pid)
    while not {name for name, *_ in plan} <= {comm for comm, _ in threads} and time.monotonic() < end:
        time.sleep(0.1)
        threads = threads_of(broker_variant.pid)
    time.sleep(0.1)
    threads = threads_of(broker_variant.pid)
    for name, cpu, _, _ in plan:
        assert len(name) <= 15, f"{name}: the kernel keeps 15 characters"
        mine = [allowed for comm, allowed in threads if comm == name]
        assert len(mine) == 1, f"{name}: {len(mine)} threads have this name; there are {sorted(threads, key=str)}"
        if cpu.isdigit():
            assert mine == [{int(cpu)}], f"{name}: allowed on {mine[0]}, planned for {cpu}"


def test_nodes_are_right(broker_variant):
    """The node in the plan is the one that the CPU belongs to."""
    for name, cpu, node, _ in plan_of(broker_variant.log()):
        if cpu.isdigit() and node.isdigit() and pathlib.Path("/sys/devices/system/node/online").exists():
            assert pathlib.Path(f"/sys/devices/system/cpu/cpu{cpu}/node{node}").exists(), name


def test_plan_has_the_layout(broker_variant):
    """single: all on one thread. two: what a request waits for, and the rest with the flush. group: a thread a stage."""
    plan = plan_of(broker_variant.log())
    groups = int(broker_variant.settings.get("partition.groups", 1))
    layout = broker_variant.ready["layout"]
    kinds = [(name, [stage.rsplit("-", 1)[0] for stage in stages]) for name, _, _, stages in plan]
    assert STAGES <= {stage for _, stages in kinds for stage in stages}, f"a stage runs nowhere: {plan}"
    if layout == "single":
        assert len(plan) == groups or len(plan) == 1
    elif layout == "two":
        assert [set(stages) for _, stages in kinds] == [
            {"io", "write", "respond"}, {"flush", "replicate", "read", "loader", "archive", "control", "groups"}], plan
    elif layout == "group":
        # Archives, reading, control and consumer groups have no threads of their own: they live with the loader.
        assert all(len(set(stages) - {"archive", "read", "control", "groups"}) == 1 for _, stages in kinds), plan
        assert len(plan) >= len(STAGES), plan


def test_idle_costs_nothing(broker_variant):
    """Idle threads park: no measurable CPU in two seconds (a clock tick is 10 ms; two are forgiven)."""

    def ticks():
        fields = pathlib.Path(f"/proc/{broker_variant.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    # What the start left to do, as long as it takes (populating the cache, zeroing segments); who never comes to rest fails below.
    end = time.monotonic() + 30
    before = -1
    while ticks() != before and time.monotonic() < end:
        before = ticks()
        time.sleep(0.5)
    before = ticks()
    time.sleep(2)
    spent = ticks() - before
    assert spent <= 2, f"{spent} ticks of CPU in 2 s with nothing to do"


@pytest.mark.parametrize("layout", ["single", "two", "group"])
def test_placement_command(layout):
    """`hutong placement` prints the plan that the broker would follow, and starts nothing."""
    code, output, errors = run("placement", settings={"threads.layout": layout})
    assert code == 0, errors
    plan = plan_of((output + errors).decode())
    assert plan, output
    cpus = os.sched_getaffinity(0)
    assert all(int(cpu) in cpus for _, cpu, _, _ in plan if cpu.isdigit()), f"{plan} on {cpus}"


def test_plan_printed_is_plan_followed(broker_variant):
    code, output, errors = run("placement", settings=broker_variant.settings)
    assert code == 0, errors
    assert sorted(plan_of((output + errors).decode())) == sorted(plan_of(broker_variant.log()))
