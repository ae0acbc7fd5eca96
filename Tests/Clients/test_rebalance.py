"""Members of a group come, go and are killed all the time while records come: none is skipped, and none is read twice but what was read after the last
commit before a rebalance."""

import collections
import itertools
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

import confluent_kafka
import pytest

from broker import die_with_the_tests, free_port
from group_worker import MEMBERS
from rawclient import Connection
from test_cluster import await_whole, create
from test_groups import SETTINGS, coordinator_of, servers

HERE = pathlib.Path(__file__).resolve().parent
PARTITIONS = 64
COUNT = 8  # members
RATE = 1000  # records a second
PATIENCE = 120  # seconds until everything has been read once nobody comes or goes any more
SOAK_SECONDS = float(os.environ.get("HUTONG_TEST_SECONDS", 300))


class Member:
    numbers = itertools.count()

    def __init__(self, client, broker, topic, group, directory):
        number = next(self.numbers)
        self.path = directory / f"member-{number}.events"
        self.errors = directory / f"member-{number}.stderr"
        self.path.touch()
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, HERE / "group_worker.py", client, servers(broker), topic, group, self.path],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, cwd=HERE, preexec_fn=die_with_the_tests)

    def events(self):
        """Kind, time and what else, in order."""
        text = self.path.read_text()
        for line in text[:text.rfind("\n") + 1].splitlines():
            kind, when, rest = line.split(" ", 2)
            yield kind, float(when), rest

    def leave(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0, self.errors.read_text(errors="replace")[-2000:]

    def kill(self):
        self.process.kill()
        self.process.wait()


class Load(threading.Thread):
    """Sends records at an even rate, to one partition after the other."""

    def __init__(self, broker, topic):
        super().__init__(daemon=True)
        self.topic, self.ends = topic, threading.Event()
        self.sent = [0] * PARTITIONS
        self.producer = confluent_kafka.Producer({"bootstrap.servers": servers(broker), "enable.idempotence": True, "linger.ms": 5})
        self.start()

    def run(self):
        began = time.monotonic()
        for number in itertools.count():
            while number >= RATE * (time.monotonic() - began):
                if self.ends.wait(0.005):
                    return
            self.producer.produce(self.topic, b"%d" % number, partition=number % PARTITIONS)
            self.producer.poll(0)
            self.sent[number % PARTITIONS] += 1

    def finish(self):
        self.ends.set()
        self.join()
        assert self.producer.flush(60) == 0


def check(members, sent, resumes=False, keeps=False):
    """Whether each record was read, and again only as it may be. How many were read more than once, and how many commits there were.

    `resumes`: partitions that a member keeps through a rebalance are paused and resumed, where librdkafka may give what it has given just before once more; never what is committed.
    `keeps`: kafka-python goes on where it was itself in a partition that it is given again, be it that another member had it for a generation that this one missed."""
    read = [set() for _ in range(PARTITIONS)]
    commits = collections.defaultdict(list)  # of each partition: when, and how far
    events = [list(member.events()) for member in members]
    for kind, when, rest in itertools.chain(*events):
        if kind == "commit":
            partition, offset = map(int, rest.split())
            commits[partition].append((when, offset))
    reads = 0
    for member, mine in zip(members, events):
        position, since, former = {}, {}, {}
        for kind, when, rest in mine:
            if kind == "assigned":
                for partition in map(int, rest.split(",")):
                    since[partition] = when
                    if partition in position:
                        former[partition] = position.pop(partition)
            elif kind == "read":
                partition, offset = map(int, rest.split())
                if resumes and partition in position and offset < position[partition]:
                    last = max((offset for committed, offset in commits[partition] if committed < when), default=0)
                    assert offset >= last, f"{member.path.name} read {offset} of {partition} once more, though {last} was committed"
                elif partition in position:
                    assert offset == position[partition], f"{member.path.name} read {offset} of {partition} where {position[partition]} was due"
                else:
                    last = max((offset for when, offset in commits[partition] if when < since[partition]), default=0)
                    assert offset >= last or keeps and offset == former.get(partition), f"{member.path.name} began at {offset} of {partition}, though {last} was committed before it was assigned"
                position[partition] = offset + 1
                read[partition].add(offset)
                reads += 1
    for partition, offsets in enumerate(read):
        skipped = set(range(sent[partition])) - offsets
        assert not skipped, f"of partition {partition} nobody read {sorted(skipped)[:5]}, {len(skipped)} in all"
    return reads - sum(sent), sum(map(len, commits.values()))


def await_all_read(members, sent):
    deadline = time.monotonic() + PATIENCE
    while True:
        read = [set() for _ in range(PARTITIONS)]
        for member in members:
            for kind, _, rest in member.events():
                if kind == "read":
                    partition, offset = map(int, rest.split())
                    read[partition].add(offset)
        missing = {partition: count - len(offsets) for partition, (offsets, count) in enumerate(zip(read, sent)) if len(offsets) < count}
        if not missing:
            return
        assert time.monotonic() < deadline, f"not read after {PATIENCE} s: {missing}"
        time.sleep(1)


def come_and_go(client, broker, topic, directory, seconds, disturb=lambda: None):
    """Each second one comes, leaves or is killed; the latter rarely enough for the others to go on: who is dead is waited for, for a session."""
    group = f"{client}-{topic}"
    dice = random.Random(seconds)
    everybody, there = [], []

    def join():
        there.append(Member(client, broker, topic, group, directory))
        everybody.append(there[-1])

    counts = collections.Counter()
    load = Load(broker, topic)
    try:
        for _ in range(COUNT):
            join()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(1)
            if what := disturb():
                counts[what] += 1
            if len(there) < COUNT:
                join()
                counts["joined"] += 1
            elif dice.random() < 0.15:
                there.pop(dice.randrange(len(there))).kill()
                counts["killed"] += 1
            else:
                there.pop(dice.randrange(len(there))).leave()
                counts["left"] += 1
        counts["read meanwhile"] = sum(kind == "read" for member in everybody for kind, *_ in member.events())
        load.finish()
        await_all_read(everybody, load.sent)
        for member in there:
            member.leave()
        again, commits = check(everybody, load.sent, resumes=client == "cooperative", keeps=client == "kafka-python")
    finally:
        load.ends.set()
        for member in everybody:
            member.kill()
    refused = sum(kind == "refused" for member in everybody for kind, *_ in member.events())
    print(f"{client}: {sum(load.sent)} records, {again} of them read again; {commits} commits, {refused} refused; {dict(counts)}")
    assert commits > 0 and counts["left"] > 0 and counts["read meanwhile"] > 0


def start(make_broker, topic):
    broker = make_broker(SETTINGS, port=free_port())
    with Connection(broker.address) as connection:
        connection.create(topic, PARTITIONS)
    return broker


def test_members_come_and_go(make_broker, topic, tmp_path):
    come_and_go("cooperative", start(make_broker, topic), topic, tmp_path, 10)


@pytest.mark.soak
@pytest.mark.parametrize("client", MEMBERS)
def test_members_come_and_go_for_long(make_broker, topic, tmp_path, client):
    come_and_go(client, start(make_broker, topic), topic, tmp_path, SOAK_SECONDS)


@pytest.mark.soak
@pytest.mark.parametrize("client", MEMBERS)
def test_members_come_and_go_and_so_do_coordinators(cluster, topic, tmp_path, client):
    """Each half minute the broker is killed that coordinates the group."""
    create(cluster, topic, PARTITIONS)
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": cluster.servers})
    due = time.monotonic() + 10

    def disturb():
        nonlocal due
        if time.monotonic() < due:
            return
        due = time.monotonic() + 30
        cluster.brokers[coordinator_of(admin, f"{client}-{topic}")].restart(crash=True)
        await_whole(cluster, topic)
        return "coordinators killed"

    come_and_go(client, cluster, topic, tmp_path, SOAK_SECONDS, disturb)
