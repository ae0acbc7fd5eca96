"""kill -9 under load: what was acknowledged is there, at its offset, once, in each producer's order."""

import collections
import contextlib
import pathlib
import random
import subprocess
import sys
import time

import pytest

from batches import batch, split
from broker import VARIANTS, die_with_the_tests, free_port
from crash_worker import WORKERS, value_of
from messages import Error
from rawclient import Connection

HERE = pathlib.Path(__file__).resolve().parent
PARTITIONS = 6
PROGRESS_PATIENCE = 60  # seconds until every client has to be served again
PROGRESS = 50  # acknowledgements of each client between two kills


class Worker:
    """One producing process, and what it has written down. The options are as its program says."""

    program = "crash_worker.py"

    def __init__(self, client, server, topic, directory, *options):
        self.client = client
        self.path = directory / f"{client}.events"
        self.errors = directory / f"{client}.stderr"
        self.path.touch()
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, HERE / self.program, client, server, topic, str(PARTITIONS), self.path, *map(str, options)],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, cwd=HERE,
                preexec_fn=die_with_the_tests)

    def events(self):
        text = self.path.read_text()
        return [line.split(" ", 3) for line in text[: text.rfind("\n") + 1].splitlines()]

    def acknowledged(self):
        return self.path.read_text().count("ack ")

    def report(self):
        return f"{self.client}: {self.errors.read_text(errors='replace')[-2000:]}"

    def finish(self):
        self.process.stdin.close()
        code = self.process.wait(180)
        assert code == 0, f"exit code {code}; {self.report()}"

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def await_progress(workers, broker):
    """Every client gets acknowledgements again, within bounded time."""
    targets = {worker: worker.acknowledged() + PROGRESS for worker in workers}
    deadline = time.monotonic() + PROGRESS_PATIENCE
    while targets:
        for worker in [one for one, target in targets.items() if one.acknowledged() >= target]:
            del targets[worker]
        for worker in targets:
            assert worker.process.poll() is None, f"ended by itself; {worker.report()}"
            assert not [event for event in worker.events() if event[0] == "fatal"], worker.report()
            assert time.monotonic() < deadline, (
                f"no progress for {PROGRESS_PATIENCE} s; {worker.report()}\n{broker.tail()}")
        time.sleep(0.05)


class NotLed(AssertionError):
    """Another broker leads the partition, or nobody does yet."""


def served(part):
    """What was said of a partition, by a broker that serves it."""
    if part["error"] == Error.NOT_LEADER_OR_FOLLOWER:
        raise NotLed(part)
    assert part["error"] == Error.NONE, part
    return part


class Value(bytes):
    """A record's value, and what its batch's header says of who sent it."""

    origin = None


def read_all(broker, topic, partitions=None):
    """Everything in the topic: per partition the value at each offset, which have to be without a gap."""
    found = [[] for _ in range(PARTITIONS)]
    with Connection(broker.address) as connection:
        for partition in range(PARTITIONS) if partitions is None else partitions:
            values = found[partition]
            end = served(connection.list_offset(topic, -1, partition=partition))["offset"]
            while len(values) < end:
                part = served(connection.fetch(topic, len(values), partition, partition_max_bytes=4 << 20))
                before = len(values)
                for one in split(part["records"]):
                    origin = one.origin
                    for offset, _, _, value, _ in one.records():
                        if offset >= before:
                            assert offset == len(values), f"partition {partition}: {offset} where {len(values)} was due"
                            values.append(Value(value))
                            values[-1].origin = origin
                assert len(values) > before, f"partition {partition}: nothing at {before} of {end}"
    return found


def check_acknowledged(client, events, found):
    """Each acknowledged record at its offset, or anywhere where its offset is not known; gives how many there are."""
    acknowledged = 0
    everything = {}
    for event in events:
        if event[0] == "implied":
            acknowledged += 1
            partition, number = map(int, event[1:])
            values = everything.setdefault(partition, set(found[partition]))
            assert value_of(client, number) in values, f"{client} {number}: acknowledged, and nowhere in partition {partition}"
        if event[0] != "ack":
            continue
        acknowledged += 1
        partition, offset, number = map(int, event[1:])
        values = found[partition]
        assert offset < len(values), (
            f"{client} {number}: acknowledged at {offset} of partition {partition}, which ends at {len(values)}")
        assert values[offset] == value_of(client, number), (
            f"{client} {number}: acknowledged at {offset} of partition {partition}, where {values[offset][:40]!r} is")
    return acknowledged


def check_once_and_in_order(found):
    """No record twice, anywhere, acknowledged or not; and each producer's records in the order of sending."""
    for partition, values in enumerate(found):
        last = collections.defaultdict(lambda: (-1, -1))
        for offset, value in enumerate(values):
            client, number, _ = value.split(b":", 2)
            number = int(number)
            assert value == value_of(client.decode(), number), f"partition {partition} offset {offset}: damaged"
            before = last[client]
            assert number != before[0], f"partition {partition}: {client} {number} at {before[1]} and at {offset}"
            assert number > before[0], (
                f"partition {partition}: {client} {number} at {offset} after {before[0]} at {before[1]}\n"
                + "\n".join(f"{at}: {values[at][:24]} {getattr(values[at], 'origin', '')}" for at in range(max(before[1] - 12, 0), min(offset + 12, len(values)))))
            last[client] = number, offset


def crash_rounds(broker, topic, rounds, directory, rate=None):
    dice = random.Random(rounds)
    with Connection(broker.address) as connection:
        connection.create(topic, PARTITIONS)
    with producing(WORKERS, broker, broker.server, topic, directory, rate) as workers:
        for _ in range(rounds):
            time.sleep(dice.uniform(0.05, 0.6))
            broker.kill()
            time.sleep(dice.uniform(0, 0.3))
            broker.start()
            await_progress(workers, broker)
    return workers


@contextlib.contextmanager
def producing(clients, broker, servers, topic, directory, rate=None):
    """A worker of each client, all of which make progress at the beginning; at the end they finish what they have begun."""
    workers = [Worker(client, servers, topic, directory, *([rate] if rate else [])) for client in clients]
    try:
        await_progress(workers, broker)
        yield workers
        for worker in workers:
            worker.finish()
    finally:
        for worker in workers:
            worker.end()


def check_everything(broker, topic, workers):
    check_found(read_all(broker, topic), workers)


def check_found(found, workers):
    """Per partition the values that are there: what each worker was told, once, in order; and none of them gave up."""
    check_once_and_in_order(found)
    for worker in workers:
        events = worker.events()
        unknown = [event for event in events if event[0] not in ("ack", "implied")]
        assert check_acknowledged(worker.client, events, found) >= PROGRESS
        # An idempotent client retries until it knows; that it gave up means that the broker answered it wrongly.
        assert not unknown, f"{worker.client} gave up on {len(unknown)} records: {unknown[:3]}"


@pytest.mark.parametrize("layout", ["default", "single", "group", "two+2groups"])
def test_kill_under_load(make_broker, topic, tmp_path, full, layout):
    rounds = 20 if full else 3
    broker = make_broker(VARIANTS[layout], port=free_port())
    workers = crash_rounds(broker, topic, rounds, tmp_path)
    check_everything(broker, topic, workers)
    broker.restart()
    check_everything(broker, topic, workers)
    broker.stop()


@pytest.mark.parametrize("crash", [False, True], ids=["stop", "kill"])
def test_restart_continues(make_broker, topic, crash):
    """Offsets go on where they were; everything from before is there, and so it is after some more restarts."""
    broker = make_broker()
    with Connection(broker.address) as connection:
        connection.create(topic, PARTITIONS)
    for turn in range(4):
        with Connection(broker.address) as connection:
            for partition in range(PARTITIONS):
                for index in range(10):
                    value = b"%d-%d-%d" % (turn, partition, index)
                    answer = connection.produce(topic, batch([value]), partition, acks=(1, -1)[index % 2])
                    assert (answer["error"], answer["base_offset"]) == (0, turn * 10 + index)
        broker.restart(crash)
        wanted = [[b"%d-%d-%d" % (one, partition, index) for one in range(turn + 1) for index in range(10)]
                  for partition in range(PARTITIONS)]
        assert read_all(broker, topic) == wanted


def test_restart_without_anything(make_broker):
    """Empty data directories are started on, stopped, killed and started again too."""
    broker = make_broker()
    for crash in (False, True, True, False):
        broker.restart(crash)
    broker.stop()
