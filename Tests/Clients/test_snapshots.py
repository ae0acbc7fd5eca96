"""A replica that lacks more than its leader's journal has gets a snapshot; and space is given back on every replica."""

import random
import shutil
import time

import pytest
from confluent_kafka import Producer

from broker import used
from cluster import Cluster
from rawclient import Connection
from test_cluster import await_leaders, await_whole, create, leader_of
from test_crash import PARTITIONS, read_all

MEGABYTE = 1 << 20
# One partition group, whose journal is much shorter than what is kept.
SETTINGS = {"partition.groups": 1, "journal.max.bytes": "16MiB", "replica.backlog.bytes": "0", "journal.cache.segments": 4}
RECORD = 8000


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path, settings=SETTINGS)
    try:
        with made.network.from_host("client"):
            yield made.start()
    finally:
        made.end()


class Filler:
    """Produces, and remembers what stands where."""

    def __init__(self, cluster, topic):
        self.topic = topic
        self.values = [[] for _ in range(PARTITIONS)]
        self.dice = random.Random(7)
        self.producer = Producer({
            "bootstrap.servers": cluster.servers, "enable.idempotence": True, "acks": "all", "linger.ms": 5, "queue.buffering.max.messages": 10000})

    def fill(self, megabytes):
        for _ in range(megabytes * MEGABYTE // RECORD):
            partition = self.dice.randrange(PARTITIONS)
            value = b"%d-%d-" % (partition, len(self.values[partition])) + self.dice.randbytes(RECORD)
            self.values[partition].append(value)
            while True:
                try:
                    self.producer.produce(self.topic, value, partition=partition, on_delivery=self.delivered)
                    break
                except BufferError:
                    self.producer.poll(0.05)
            self.producer.poll(0)
        assert self.producer.flush(60) == 0

    @staticmethod
    def delivered(error, message):
        assert error is None, error

    def check(self, cluster, broker):
        await_service(cluster.brokers[broker], self.topic)
        found = read_all(cluster.brokers[broker], self.topic)
        for partition, values in enumerate(self.values):
            assert found[partition] == values, f"partition {partition}: {len(found[partition])} of {len(values)}\n{cluster.tail()}"


def make_lead(cluster, topic, wanted):
    """Brokers are killed until that one leads."""
    for _ in range(20):
        leader = leader_of(cluster, topic)
        if leader == wanted:
            return
        cluster.brokers[leader].kill()
        await_leaders(cluster, topic, than=leader)
        cluster.brokers[leader].start()
        await_whole(cluster, topic)
    raise AssertionError(f"broker {wanted} never leads\n{cluster.tail()}")


def await_service(broker, topic):
    """A leader serves once all before its epoch is known to be committed."""
    deadline = time.monotonic() + 30
    with Connection(broker.address) as connection:
        while any(connection.list_offset(topic, -1, partition=partition)["error"] for partition in range(PARTITIONS)):
            assert time.monotonic() < deadline, broker.tail()
            time.sleep(0.02)


def directory(cluster, number):
    return cluster.brokers[number].data / "group-0"


@pytest.mark.parametrize("kind", ["away", "wiped"])
def test_a_replica_behind_the_journals_start(cluster, topic, kind):
    """It was away for long, or has a new disk; and it is killed again and again while it takes the snapshot in."""
    create(cluster, topic)
    filler = Filler(cluster, topic)
    filler.fill(10)
    leader = leader_of(cluster, topic)
    victim = next(number for number in cluster.ids if number != leader)
    cluster.brokers[victim].kill()
    filler.fill(80)
    if kind == "wiped":
        shutil.rmtree(cluster.brokers[victim].data)
    dice = random.Random(3)
    for _ in range(4):
        cluster.brokers[victim].start()
        time.sleep(dice.uniform(0, 1.2))
        cluster.brokers[victim].kill()
    cluster.brokers[victim].start()
    filler.fill(5)
    await_whole(cluster, topic)
    assert "a snapshot takes the journal's place" in cluster.brokers[victim].log()
    assert not list(cluster.brokers[victim].data.glob("group-0.*"))
    filler.check(cluster, leader_of(cluster, topic))
    make_lead(cluster, topic, victim)
    filler.check(cluster, victim)


def test_replicas_give_space_back(cluster, topic):
    """By retention, and in archives: none has more than what is kept, and a journal of its length."""
    create(cluster, topic, configs={"retention.bytes": str(2 * MEGABYTE)})
    filler = Filler(cluster, topic)
    filler.fill(120)
    # The segments of the journal, those that are made ready, what is kept, and as much again on its way.
    bound = (16 + 4 * 4 + 2 * 6 * 2 + 8) * MEGABYTE
    deadline = time.monotonic() + 60
    while sizes := {number: used(directory(cluster, number)) for number in cluster.ids}:
        if all(size < bound for size in sizes.values()):
            break
        assert time.monotonic() < deadline, f"{sizes}, wanted is {bound}\n{cluster.tail()}"
        time.sleep(0.2)
        # What is kept is looked at when something comes.
        filler.fill(1)
    await_whole(cluster, topic)
