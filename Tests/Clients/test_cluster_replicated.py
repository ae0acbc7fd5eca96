"""QoS 3 (replicated) on three brokers: acknowledged is what a majority has in memory. One broker's end, and ways that are cut, lose nothing of it;
a majority killed at once may lose the last moments before, but nothing that a consumer has seen.

A process that is killed loses only what it has not given to the drive, and a drive flushes within a millisecond: hardly anything is ever at
stake. So here each flush begins late (slow_drive.c). HUTONG_TEST_FLUSH_DELAY says by how many milliseconds; 0: the drive as it is, by io_uring,
where a kill may lose nothing.
"""

import contextlib
import os
import pathlib
import random
import subprocess
import time

import pytest

from cluster import Cluster
from losses import Acknowledged, Kill, check_reads, find_losses
from test_cluster import RATE, Faults, await_leaders, await_whole, create, leader_of, read_from_leaders
from test_crash import PROGRESS, PROGRESS_PATIENCE, Worker, await_progress, check_once_and_in_order

FAULTS = int(os.environ.get("HUTONG_TEST_FAULTS", 8))
DELAY = int(os.environ.get("HUTONG_TEST_FLUSH_DELAY", 200))
QUIET = 1.0  # seconds without an answer after which those on their way to a client have arrived
SLOW_DRIVE = pathlib.Path(__file__).parent / "slow_drive.c"
# No other leader than faults make: a broker that hands over is no fault.
SETTINGS = {"auto.leader.rebalance.enable": "false"}


@pytest.fixture
def cluster(tmp_path):
    """Three brokers whose flushes begin late, and an etcd; the test is on the clients' host."""
    made = Cluster(tmp_path, settings=SETTINGS | ({"io.backend": "epoll", "journal.flush.method": "dsync"} if DELAY else {}))
    if DELAY:
        library = tmp_path / "slow_drive.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, SLOW_DRIVE], check=True)
        for broker in made.brokers.values():
            broker.prefix += ["env", f"LD_PRELOAD={library}", f"SLOW_DRIVE_MS={DELAY}"]
    try:
        with made.network.from_host("client"):
            yield made.start()
    finally:
        made.end()


class Client(Worker):
    """A process that produces or consumes, and what it has written down so far."""

    program = "replicated_worker.py"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.at = 0
        self.told = []  # what a producer was told is acknowledged
        self.reads = []  # what a consumer has read: (partition, offset, record)
        self.ends = {}  # and how far, of each partition
        self.others = []

    def catch_up(self):
        with open(self.path, "rb") as file:
            file.seek(self.at)
            lines = file.read()
        lines = lines[:lines.rfind(b"\n") + 1]
        self.at += len(lines)
        for line in lines.decode().splitlines():
            match line.split(" "):
                case "ack", when, partition, offset, record:
                    self.told.append(Acknowledged(float(when), int(partition), int(offset), record))
                case "read", _, partition, offset, record:
                    self.reads.append((int(partition), int(offset), record))
                    self.ends[int(partition)] = int(offset) + 1
                case other:
                    self.others.append(other)
        return self

    def acknowledged(self):
        return len(self.catch_up().told)

    def events(self):
        return self.catch_up().others

    def of(self, kind):
        return [event[1:] for event in self.others if event[0] == kind]

    def await_read(self, ends, faults):
        """Waits until the consumer has come so far: to each partition's end."""
        deadline = time.monotonic() + PROGRESS_PATIENCE
        while behind := {partition: end for partition, end in ends.items() if self.catch_up().ends.get(partition, 0) < end}:
            assert self.process.poll() is None, f"ended by itself; {self.report()}"
            assert time.monotonic() < deadline, (
                f"not read after {PROGRESS_PATIENCE} s: {behind} of {self.ends}; {self.report()}\n{faults.tail()}")
            time.sleep(0.05)


def settle(producer, consumer, faults):
    """Waits until all that is acknowledged so far can be read, which says that it is committed. When the last of it was acknowledged."""
    told = list(producer.catch_up().told)
    consumer.await_read({one.partition: one.offset + 1 for one in told}, faults)
    return told[-1].time


@contextlib.contextmanager
def running(*clients):
    try:
        yield
    finally:
        for client in clients:
            client.end()


class FaultsAndKills(Faults):
    """The faults that a majority outlives; and those after which the last moments may be gone, of which it is written down when they were."""

    def __init__(self, cluster, topic, dice, producer, consumer):
        super().__init__(cluster, topic, dice)
        self.producer, self.consumer = producer, consumer
        self.kills = []

    def kill_all_at_once(self, leader, workers):
        self.kill_at_once(self.cluster.ids)
        self.start(self.cluster.ids)

    def kill_two_at_once(self, leader, workers):
        """The third has everything, and gives it to its drive. It ends later, and comes back when the two have gone on without it."""
        third = self.dice.choice(self.cluster.ids)
        two = self.others(third)
        self.kill_at_once(two)
        self.cluster.brokers[third].kill()
        self.start(two)
        await_progress(workers, self)
        self.cluster.brokers[third].start()

    def kill_at_once(self, victims):
        settled = settle(self.producer, self.consumer, self)
        time.sleep(self.dice.uniform(0, 0.5))
        # There is something that may not be on any drive yet.
        await_progress([self.producer], self)
        processes = [self.cluster.brokers[victim].process for victim in victims]
        killed = time.monotonic()
        for process in processes:
            process.kill()
        for victim in victims:
            self.cluster.brokers[victim].end()
        self.await_quiet()
        self.kills.append(Kill(settled, killed, restarted=time.monotonic()))

    def start(self, numbers):
        for number in numbers:
            self.cluster.brokers[number].start()

    def await_quiet(self):
        """Waits until no more answers of brokers that are gone arrive."""
        deadline = time.monotonic() + PROGRESS_PATIENCE
        count, since = -1, time.monotonic()
        while time.monotonic() < since + QUIET:
            if (now := self.producer.acknowledged()) != count:
                count, since = now, time.monotonic()
            assert time.monotonic() < deadline, f"without a majority there are acknowledgements\n{self.tail()}"
            time.sleep(0.05)

    KINDS = ["kill_leader", "kill_all_at_once", "kill_follower", "kill_two_at_once", "pause_leader", "cut_leader_from_followers",
             "deafen_leader", "deafen_follower"]


def record_of(value):
    producer, number, _ = value.split(b":", 2)
    return f"{producer.decode()}:{int(number)}"


def read_records(cluster, topic):
    """What is there in the end: per partition the record at each offset, none of them twice, each producer's in order."""
    values = read_from_leaders(cluster, topic)
    check_once_and_in_order(values)
    return [[record_of(value) for value in each] for each in values]


def check_gave_up(producer, kills, lost):
    """A producer can't go on if what it was told is acknowledged is gone: for no other reason did one end, or leave open what became of a record."""
    renewed = producer.of("renewed")
    for when, reason in renewed:
        last = max((number for number, kill in enumerate(kills) if kill.killed < float(when)), default=None)
        assert last is not None and lost[last] and reason == "OUT_OF_ORDER_SEQUENCE_NUMBER", f"gave up at {when}: {reason}\n{producer.report()}"
    ended = {f"producer-{life}" for life in range(len(renewed))}
    unknown = [event for event in producer.of("unknown") if event[2].split(":")[0] not in ended]
    assert not unknown, f"gave up on {len(unknown)} records: {unknown[:3]}"


def check_placeless(producer, kills, found):
    """What is acknowledged without its offset is there, too, or was lost as others were."""
    for when, partition, record in producer.of("placeless"):
        at_stake = any(kill.settled < float(when) < kill.restarted for kill in kills)
        assert at_stake or record in found[int(partition)], f"{record} is missing"


def print_figures(faults, told, lost):
    ages = [1000 * (kill.killed - min(one.time for one in each)) for kill, each in zip(faults.kills, lost) if each]
    print(f"{len(told)} acknowledged, {sum(map(len, lost))} of them lost by {len(ages)} of {len(faults.kills)} kills of a majority: "
          f"{[len(each) for each in lost]}, the oldest of each, in ms before the kill, {[round(age) for age in ages]}")
    if faults.times:
        print(f"{len(faults.times)} failovers: worst {max(faults.times):.2f} s")


@pytest.mark.timeout(120 + 30 * FAULTS)
def test_only_the_last_moments_before_a_majority_failed_are_lost(cluster, topic, tmp_path):
    """A client produces, and one consumes, all the time while one thing after the other goes wrong. HUTONG_TEST_FAULTS says how many."""
    create(cluster, topic, configs={"qos.all": "replicated"})
    producer = Client("produce", cluster.servers, topic, tmp_path, RATE, "all")
    consumer = Client("consume", cluster.servers, topic, tmp_path)
    faults = FaultsAndKills(cluster, topic, random.Random(int(os.environ.get("HUTONG_TEST_SEED", FAULTS))), producer, consumer)
    with running(producer, consumer):
        await_progress([producer], faults)
        for number in range(FAULTS):
            kind = faults.KINDS[number % len(faults.KINDS)]
            leader = leader_of(cluster, topic)
            print(f"fault {number} at {time.monotonic():.3f}: {kind}, broker {leader} leads", flush=True)
            getattr(faults, kind)(leader, [producer])
            await_progress([producer], faults)
            await_whole(cluster, topic)
        producer.finish()
        settle(producer, consumer, faults)
        found = read_records(cluster, topic)
        consumer.await_read(dict(enumerate(map(len, found))), faults)
        consumer.finish()
    assert not consumer.catch_up().others, consumer.others[:3]
    told = producer.catch_up().told
    assert len(told) >= PROGRESS * FAULTS
    print(*(f"a producer could not go on at {when}: {reason}" for when, reason in producer.of("renewed")), sep="\n")
    lost = find_losses(told, found, faults.kills)
    print_figures(faults, told, lost)
    check_reads(consumer.reads, found)
    check_gave_up(producer, faults.kills, lost)
    check_placeless(producer, faults.kills, found)
    # Where all brokers end before a flush has begun, what they had in memory is gone: else this would not have tried anything.
    assert not DELAY or not faults.kills or any(lost), "nothing was ever at stake"


def test_what_only_the_leader_has_is_found_missing(cluster, topic, tmp_path):
    """The same check finds what is lost to another leader: with qos.leader=received, acks=1 says nothing of other brokers."""
    create(cluster, topic, configs={"qos.leader": "received"})
    producer = Client("produce", cluster.servers, topic, tmp_path, RATE, 1)
    consumer = Client("consume", cluster.servers, topic, tmp_path)
    with running(producer, consumer):
        await_progress([producer], cluster)
        await_whole(cluster, topic)
        leader = leader_of(cluster, topic)
        cluster.network.cut(f"b{leader}", *(f"b{number}" for number in cluster.ids if number != leader))
        await_progress([producer], cluster)
        cluster.brokers[leader].kill()
        await_leaders(cluster, topic, than=leader)
        # Not before: what it had sent, its kernel still brings to the others.
        cluster.network.heal()
        await_progress([producer], cluster)
        cluster.brokers[leader].start()
        await_whole(cluster, topic)
        producer.finish()
        settle(producer, consumer, cluster)
        found = [[record_of(value) for value in each] for each in read_from_leaders(cluster, topic)]
    with pytest.raises(AssertionError, match="is missing, and nothing has happened"):
        find_losses(producer.catch_up().told, found)
