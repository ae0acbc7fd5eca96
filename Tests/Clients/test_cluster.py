"""Three brokers, each on a host of its own, and an etcd: what was acknowledged outlives brokers, ways and disks."""

import contextlib
import os
import random
import shutil
import signal
import statistics
import threading
import time

import confluent_kafka
import pytest

from cluster import Cluster
from crash_worker import WORKERS
from rawclient import Connection
from test_crash import PARTITIONS, NotLed, await_progress, check_found, producing, read_all

LEADER_PATIENCE = 30  # seconds until somebody leads again
RATE = float(os.environ.get("HUTONG_TEST_RATE", 2000))  # records a second of each client
FAULTS = int(os.environ.get("HUTONG_TEST_FAULTS", 12))
CLIENTS = os.environ.get("HUTONG_TEST_CLUSTER_CLIENTS", ",".join(WORKERS)).split(",")


def metadata(cluster, topic, asked=None):
    """What a broker that answers says of the topic: who leads each partition, in which epoch."""
    for number, broker in cluster.brokers.items():
        if not broker.alive() or asked not in (None, number):
            continue
        with contextlib.suppress(OSError, AssertionError, EOFError), Connection(broker.address, timeout=2) as connection:
            found = connection.metadata([topic])["topics"][0]
            return {one["index"]: (one["leader"], one["leader_epoch"], one["replicas"], one["isr"]) for one in found["partitions"]}
    return {}


def await_leaders(cluster, topic, than=None):
    """Waits until every partition is led, by another than `than` where that is given. Returns who leads the first one, and the time it took."""
    began = time.monotonic()
    while time.monotonic() < began + LEADER_PATIENCE:
        for number in cluster.ids:
            if number == than:
                continue
            found = metadata(cluster, topic, number)
            if found and all(leader > 0 and leader != than for leader, *_ in found.values()):
                return found[0][0], time.monotonic() - began
        time.sleep(0.02)
    raise AssertionError(f"nobody leads after {LEADER_PATIENCE} s: {found}\n{cluster.tail()}")


def await_brokers(cluster):
    deadline = time.monotonic() + LEADER_PATIENCE
    while time.monotonic() < deadline:
        with Connection(cluster.brokers[1].address) as connection:
            if len(connection.metadata([])["brokers"]) == len(cluster.ids):
                return
        time.sleep(0.02)
    raise AssertionError(f"the brokers don't find each other\n{cluster.tail()}")


def leader_of(cluster, topic):
    return await_leaders(cluster, topic)[0]


def create(cluster, topic, partitions=PARTITIONS, replicas=3, configs=None):
    await_brokers(cluster)
    with Connection(cluster.brokers[1].address) as connection:
        connection.create(topic, partitions, replication_factor=replicas, configs=configs)
    return await_leaders(cluster, topic)


def read_from_leaders(cluster, topic):
    """As `read_all`, each partition from who leads it: a leader may hand over meanwhile."""
    found = {}
    deadline = time.monotonic() + LEADER_PATIENCE
    while len(found) < PARTITIONS:
        assert time.monotonic() < deadline, f"only {sorted(found)} of the partitions are led\n{cluster.tail()}"
        for partition, (leader, *_) in metadata(cluster, topic).items():
            if partition not in found and leader > 0:
                with contextlib.suppress(NotLed):
                    found[partition] = read_all(cluster.brokers[leader], topic, [partition])[partition]
    return [found[partition] for partition in range(PARTITIONS)]


def check(cluster, topic, workers):
    check_found(read_from_leaders(cluster, topic), workers)


class Faults:
    """What goes wrong, and how it is undone. Each tells what happens to whom."""

    def __init__(self, cluster, topic, dice):
        self.cluster, self.topic, self.dice = cluster, topic, dice
        self.times = []

    def others(self, number):
        return [each for each in self.cluster.ids if each != number]

    def hosts(self, numbers):
        return [f"b{number}" for number in numbers]

    def failover(self, leader):
        """Somebody else leads, in so many seconds."""
        self.times.append(await_leaders(self.cluster, self.topic, than=leader)[1])

    def kill_leader(self, leader, workers):
        self.cluster.brokers[leader].kill()
        self.failover(leader)
        await_progress(workers, self)
        self.cluster.brokers[leader].start()

    def kill_follower(self, leader, workers):
        victim = self.dice.choice(self.others(leader))
        self.cluster.brokers[victim].kill()
        await_progress(workers, self)
        self.cluster.brokers[victim].start()

    def pause_leader(self, leader, workers):
        """Longer than its lease."""
        process = self.cluster.brokers[leader].process
        process.send_signal(signal.SIGSTOP)
        self.failover(leader)
        await_progress(workers, self)
        process.send_signal(signal.SIGCONT)

    def cut_leader_from_followers(self, leader, workers):
        """It still has etcd, and its lease: it gives up by itself."""
        self.cluster.network.cut(f"b{leader}", *self.hosts(self.others(leader)))
        self.failover(leader)
        await_progress(workers, self)
        self.cluster.network.heal()

    def cut_leader_from_etcd(self, leader, workers):
        """Its followers still hear it: service goes on."""
        self.cluster.network.cut(f"b{leader}", "etcd")
        time.sleep(3)
        await_progress(workers, self)
        self.cluster.network.heal()

    def deafen_leader(self, leader, workers):
        self.cluster.network.deafen(f"b{leader}", *self.hosts(self.others(leader)))
        await_progress(workers, self)
        self.cluster.network.heal()

    def deafen_follower(self, leader, workers):
        victim = self.dice.choice(self.others(leader))
        self.cluster.network.deafen(f"b{victim}", f"b{leader}")
        await_progress(workers, self)
        self.cluster.network.heal()

    def kill_etcd(self, leader, workers):
        self.cluster.etcd.kill()
        await_progress(workers, self)
        self.cluster.etcd.start()

    def kill_two(self, leader, workers):
        victims = self.dice.sample(self.cluster.ids, 2)
        for victim in victims:
            self.cluster.brokers[victim].kill()
        time.sleep(self.dice.uniform(0, 1))
        for victim in victims:
            self.cluster.brokers[victim].start()

    def wipe(self, leader, workers):
        victim = self.dice.choice(self.others(leader))
        self.cluster.brokers[victim].kill()
        shutil.rmtree(self.cluster.brokers[victim].data)
        self.cluster.brokers[victim].start()
        await_progress(workers, self)
        await_whole(self.cluster, self.topic)

    def tail(self):
        return self.cluster.tail()

    KINDS = ["kill_leader", "kill_follower", "pause_leader", "cut_leader_from_followers", "cut_leader_from_etcd", "deafen_leader",
             "deafen_follower", "kill_etcd", "kill_two", "wipe"]


def await_whole(cluster, topic):
    """Every broker is a replica again, and in sync."""
    deadline = time.monotonic() + LEADER_PATIENCE
    while time.monotonic() < deadline:
        found = metadata(cluster, topic)
        if found and all(sorted(isr) == cluster.ids for *_, isr in found.values()):
            return
        time.sleep(0.05)
    raise AssertionError(f"not whole after {LEADER_PATIENCE} s: {found}\n{cluster.tail()}")


def test_replicates(cluster, topic, tmp_path):
    """What one broker has acknowledged, each can serve: leaders are stopped one after the other."""
    create(cluster, topic)
    with producing(["confluent"], cluster, cluster.servers, topic, tmp_path) as workers:
        pass
    for _ in range(2):
        leader = leader_of(cluster, topic)
        check(cluster, topic, workers)
        cluster.brokers[leader].stop()
        await_leaders(cluster, topic, than=leader)
        cluster.brokers[leader].start()
    check(cluster, topic, workers)


@pytest.mark.timeout(120 + 30 * FAULTS)
def test_faults(cluster, topic, tmp_path):
    """Clients produce all the time while one thing after the other goes wrong. HUTONG_TEST_FAULTS says how many."""
    create(cluster, topic)
    dice = random.Random(int(os.environ.get("HUTONG_TEST_SEED", FAULTS)))
    faults = Faults(cluster, topic, dice)
    with producing(CLIENTS, faults, cluster.servers, topic, tmp_path, RATE) as workers:
        kinds = [Faults.KINDS[number % len(Faults.KINDS)] for number in range(FAULTS)]
        for number, kind in enumerate(kinds):
            leader = leader_of(cluster, topic)
            print(f"fault {number}: {kind}, broker {leader} leads", flush=True)
            getattr(faults, kind)(leader, workers)
            await_progress(workers, faults)
            await_whole(cluster, topic)
    check(cluster, topic, workers)
    if faults.times:
        print(f"{len(faults.times)} failovers: median {statistics.median(faults.times):.2f} s, worst {max(faults.times):.2f} s")


def test_a_leader_without_the_store_is_found(cluster, topic):
    """Its lease ends, and its followers, who still hear it, send clients to it that have never heard of it."""
    leader, _ = create(cluster, topic)
    others = [number for number in cluster.ids if number != leader]
    cluster.network.cut(f"b{leader}", "etcd")
    deadline = time.monotonic() + LEADER_PATIENCE
    while cluster.etcd.has(f"/hutong/brokers/{leader}"):
        assert time.monotonic() < deadline, cluster.tail()
        time.sleep(0.1)
    for number in others:
        assert all(one > 0 for one, *_ in metadata(cluster, topic, number).values()), cluster.tail()
        producer = confluent_kafka.Producer({"bootstrap.servers": cluster.brokers[number].server, "acks": "all", "message.timeout.ms": 10000})
        for partition in range(PARTITIONS):
            producer.produce(topic, f"{number}", partition=partition)
        assert producer.flush(10) == 0
    cluster.network.heal()
    assert [sorted(values) for values in read_from_leaders(cluster, topic)] == [[b"%d" % number for number in others]] * PARTITIONS


def test_rolling_restart(cluster, topic, tmp_path):
    """Each broker is stopped and started again, while clients produce: none of them gives up on a record."""
    create(cluster, topic)
    with producing(CLIENTS, cluster, cluster.servers, topic, tmp_path, RATE) as workers:
        for number in cluster.ids:
            cluster.brokers[number].stop()
            await_progress(workers, cluster)
            cluster.brokers[number].start()
            await_whole(cluster, topic)
            await_progress(workers, cluster)
    check(cluster, topic, workers)


def test_waits_for_the_store_and_can_be_stopped_meanwhile(tmp_path):
    made = Cluster(tmp_path, count=1)
    try:
        broker = made.brokers[1]
        broker.data.mkdir(parents=True)
        with pytest.raises(AssertionError, match="ended with 1 before it was ready"):
            threading.Timer(2, lambda: broker.process.send_signal(signal.SIGTERM)).start()
            broker.start()
        assert "the cluster's store can't be reached" in broker.log()
        assert "stopped while the cluster's store was waited for" in broker.log()
    finally:
        made.end()
