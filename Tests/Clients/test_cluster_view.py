"""What clients are told by three brokers: which replicas are in sync, whether there are enough of them, where an epoch ends."""

import json
import logging
import pathlib
import signal
import subprocess
import time

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from batches import batch
from broker import binary
from messages import CREATE_TOPICS, PRODUCE, Error
from rawclient import Connection, produce_topics
from test_cluster import LEADER_PATIENCE, await_leaders, await_whole, create, metadata

NOTICED = 10  # seconds until every broker knows who is in sync


def await_isr(cluster, topic, expected, asked, patience=NOTICED):
    """Each of the brokers that are asked says that these are in sync, of every partition."""
    deadline = time.monotonic() + patience
    said = {}
    while time.monotonic() < deadline:
        said = {number: [sorted(isr) for *_, isr in metadata(cluster, topic, number).values()] for number in asked}
        if all(isrs and all(isr == sorted(expected) for isr in isrs) for isrs in said.values()):
            return
        time.sleep(0.05)
    raise AssertionError(f"{expected} are not in sync everywhere after {patience} s: {said}\n{cluster.tail()}")


def others(cluster, *numbers):
    return [number for number in cluster.ids if number not in numbers]


def served(cluster, topic, partition=0):
    """Who leads the partition and serves its clients, and in which epoch."""
    deadline = time.monotonic() + LEADER_PATIENCE
    while time.monotonic() < deadline:
        leader, epoch, *_ = metadata(cluster, topic).get(partition, (-1, -1))
        if leader > 0 and cluster.brokers[leader].alive():
            with Connection(cluster.brokers[leader].address) as connection:
                if connection.epoch_end(topic, epoch, partition, current=epoch)["error"] == Error.NONE:
                    return leader, epoch
        time.sleep(0.05)
    raise AssertionError(f"partition {partition} is not served after {LEADER_PATIENCE} s\n{cluster.tail()}")


class Paused:
    """The broker stands still meanwhile."""

    def __init__(self, cluster, number):
        self.process = cluster.brokers[number].process

    def __enter__(self):
        self.process.send_signal(signal.SIGSTOP)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGCONT)


def test_isr_tells_who_keeps_up(cluster, topic):
    """Of a follower that is killed, and of one that lives but does not hear its leader: known to every broker, those too that don't lead."""
    create(cluster, topic, partitions=1)
    await_isr(cluster, topic, cluster.ids, cluster.ids)
    leader, _ = served(cluster, topic)
    victim, other = others(cluster, leader)
    cluster.brokers[victim].kill()
    await_isr(cluster, topic, [leader, other], [leader, other])
    cluster.brokers[victim].start()
    await_isr(cluster, topic, cluster.ids, cluster.ids)
    # Its lease is there all the time: who goes by that would call it in sync.
    leader, _ = served(cluster, topic)
    victim, other = others(cluster, leader)
    cluster.network.cut(f"b{victim}", f"b{leader}")
    await_isr(cluster, topic, [leader, other], cluster.ids)
    with Connection(cluster.brokers[leader].address) as connection:
        for number in range(200):
            assert connection.produce(topic, batch([b"%d" % number * 1000]))["error"] == Error.NONE
    await_isr(cluster, topic, [leader, other], cluster.ids)
    cluster.network.heal()
    await_isr(cluster, topic, cluster.ids, cluster.ids)


def test_isr_is_told_by_the_next_leader(cluster, topic):
    create(cluster, topic, partitions=1)
    await_isr(cluster, topic, cluster.ids, cluster.ids)
    leader, _ = served(cluster, topic)
    cluster.brokers[leader].kill()
    rest = others(cluster, leader)
    await_leaders(cluster, topic, than=leader)
    await_isr(cluster, topic, rest, rest)
    cluster.brokers[leader].start()
    await_isr(cluster, topic, cluster.ids, cluster.ids)


@pytest.mark.parametrize("least, error", [("4", Error.INVALID_CONFIG), ("0", Error.INVALID_CONFIG), ("all", Error.INVALID_CONFIG)])
def test_more_in_sync_than_replicas_is_refused(broker, topic, least, error):
    with Connection(broker.address) as connection:
        answer = connection.ask(CREATE_TOPICS, 7, topics=[
            {"name": topic, "partitions": 1, "replication": 1, "configs": [{"name": "min.insync.replicas", "value": least}]}])
    assert answer["topics"][0]["error"] == error and "min.insync.replicas" in answer["topics"][0]["message"]


def test_min_insync_replicas(cluster, topic):
    """All three are asked for; one stands still. Who asks for a majority goes on."""
    strict, usual = f"{topic}-strict", f"{topic}-usual"
    create(cluster, strict, partitions=1, configs={"min.insync.replicas": "3"})
    create(cluster, usual, partitions=1)
    admin = AdminClient({"bootstrap.servers": cluster.servers})
    with pytest.raises(confluent_kafka.KafkaException, match="min.insync.replicas is 3, but of the topic there would be 2"):
        admin.create_topics([NewTopic(f"{topic}-refused", 1, 2, config={"min.insync.replicas": "3"})])[f"{topic}-refused"].result(20)
    for name in (strict, usual):
        await_isr(cluster, name, cluster.ids, cluster.ids)
    leader, _ = served(cluster, strict)
    with Connection(cluster.brokers[leader].address) as connection:
        assert connection.produce(strict, batch([b"one"]))["error"] == Error.NONE
        victim = others(cluster, leader, served(cluster, usual)[0])[0]
        delivered = []
        with Paused(cluster, victim):
            # Taken while it was not known yet; then known, and told as Kafka does.
            late = connection.produce(strict, batch([b"two"]))
            assert late["error"] == Error.NOT_ENOUGH_REPLICAS_AFTER_APPEND, late
            end = connection.list_offset(strict, -1)["offset"]
            for _ in range(3):
                assert connection.produce(strict, batch([b"never"]))["error"] == Error.NOT_ENOUGH_REPLICAS
            assert connection.list_offset(strict, -1)["offset"] == end == 2, "what is refused is not appended"
            assert connection.produce(strict, batch([b"three"]), acks=1)["error"] == Error.NONE
            with Connection(cluster.brokers[served(cluster, usual)[0]].address) as usually:
                for _ in range(3):
                    assert usually.produce(usual, batch([b"on and on"]))["error"] == Error.NONE
            # Both in one request, where one broker leads both: each is told its own.
            if served(cluster, usual)[0] == leader:
                both = connection.ask(PRODUCE, 9, acks=-1, topics=(
                    produce_topics(strict, {0: batch([b"never"])}) + produce_topics(usual, {0: batch([b"yes"])})))
                assert [each["partitions"][0]["error"] for each in both["topics"]] == [Error.NOT_ENOUGH_REPLICAS, Error.NONE]
            producer = confluent_kafka.Producer({"bootstrap.servers": cluster.servers, "enable.idempotence": True, "retry.backoff.ms": 50})
            producer.produce(strict, b"four", partition=0, on_delivery=lambda error, message: delivered.append((error, message.offset())))
            producer.poll(2)
            assert not delivered, "it is tried again and again"
        await_whole(cluster, strict)
        assert producer.flush(20) == 0 and delivered == [(None, 3)]
    # A busy machine may have too few in sync again, or another leader: what counts is that nothing refused has been appended.
    with Connection(cluster.brokers[served(cluster, strict)[0]].address) as connection:
        assert connection.produce(strict, batch([b"five"]), acks=1)["base_offset"] == 4


def test_epochs_end_where_the_next_leader_began(cluster, topic):
    """What a leader had taken and lost belongs to no epoch; what was committed ends where the next leader went on."""
    create(cluster, topic, partitions=3)
    for partition, count in enumerate([5, 0, 2]):
        leader, _ = served(cluster, topic, partition)
        with Connection(cluster.brokers[leader].address) as connection:
            for number in range(count):
                assert connection.produce(topic, batch([b"%d" % number, b"x"]), partition)["error"] == Error.NONE
    old, epoch = served(cluster, topic)
    with Connection(cluster.brokers[others(cluster, old)[0]].address) as connection:
        assert connection.epoch_end(topic, epoch)["error"] == Error.NOT_LEADER_OR_FOLLOWER
    with Connection(cluster.brokers[old].address) as connection:
        assert connection.epoch_end(topic, epoch, current=epoch) == {"error": 0, "index": 0, "epoch": epoch, "end_offset": 10}
        # Only this one has it, and it is cut off then.
        cluster.network.cut(f"b{old}", *(f"b{number}" for number in others(cluster, old)))
        lost = connection.produce(topic, batch([b"lost"] * 7), acks=1)
        assert lost["error"] == Error.NONE and lost["base_offset"] == 10
    await_leaders(cluster, topic, than=old)
    cluster.network.heal()
    new, next_epoch = served(cluster, topic)
    assert next_epoch > epoch
    with Connection(cluster.brokers[new].address) as connection:
        assert connection.produce(topic, batch([b"next"] * 3))["base_offset"] == 10
        for version in (2, 3, 4):
            for asked in range(epoch, next_epoch):
                assert connection.epoch_end(topic, asked, current=next_epoch, version=version)["end_offset"] == 10
            assert connection.epoch_end(topic, next_epoch, version=version)["end_offset"] == 13
            assert connection.epoch_end(topic, next_epoch + 1, version=version) == {"error": 0, "index": 0, "epoch": -1, "end_offset": -1}
        assert connection.epoch_end(topic, epoch, current=epoch)["error"] == Error.FENCED_LEADER_EPOCH
        assert connection.epoch_end(topic, epoch, current=next_epoch + 1)["error"] == Error.UNKNOWN_LEADER_EPOCH
    # The other partitions' ends are their own; and who led before says the same once it leads again.
    for partition, end in [(1, 0), (2, 4)]:
        leader, current = served(cluster, topic, partition)
        with Connection(cluster.brokers[leader].address) as connection:
            assert connection.epoch_end(topic, current, partition)["end_offset"] == end
    await_whole(cluster, topic)
    for number in others(cluster, old):
        cluster.brokers[number].stop()
        cluster.brokers[number].start()
    leader, _ = served(cluster, topic)
    with Connection(cluster.brokers[leader].address) as connection:
        assert connection.epoch_end(topic, epoch)["end_offset"] == 10
        assert connection.epoch_end(topic, next_epoch)["end_offset"] == 13


class Heard(logging.Handler):
    """What a client logs."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def test_librdkafka_checks_its_offsets_after_a_failover(cluster, topic):
    """A consumer that has read up to the end asks the next leader whether that is still so, and goes on with the next record."""
    create(cluster, topic, partitions=1)
    heard = Heard()
    logger = logging.Logger("librdkafka")
    logger.addHandler(heard)
    producer = confluent_kafka.Producer({"bootstrap.servers": cluster.servers, "enable.idempotence": True})
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": cluster.servers, "group.id": topic, "enable.auto.commit": False, "debug": "all",
         "topic.metadata.refresh.interval.ms": 500}, logger=logger)
    read = []
    try:
        consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])

        def read_until(count):
            deadline = time.monotonic() + 40
            while len(read) < count:
                assert time.monotonic() < deadline, f"{len(read)} of {count}\n{cluster.tail()}"
                message = consumer.poll(0.2)
                if message is not None and message.error() is None:
                    read.append((message.offset(), message.value()))

        def produce(first, count):
            for number in range(first, first + count):
                producer.produce(topic, b"%d" % number, partition=0)
            assert producer.flush(30) == 0

        produce(0, 100)
        read_until(100)
        leader, _ = served(cluster, topic)
        cluster.brokers[leader].kill()
        await_leaders(cluster, topic, than=leader)
        produce(100, 100)
        read_until(200)
    finally:
        consumer.close()
    assert read == [(number, b"%d" % number) for number in range(200)]
    said = [line for line in heard.lines if "OffsetForLeaderEpoch" in line]
    assert any("Received OffsetForLeaderEpochResponse" in line for line in said), f"it did not ask: {said[-20:]}"
    assert not any("truncation" in line.lower() and "detected" in line.lower() for line in heard.lines)


def test_a_follower_that_stood_still_catches_up(cluster, topic):
    """The others go on without it, the leader keeps nothing in memory for it, and it is in sync again soon after it goes on."""
    create(cluster, topic, partitions=1)
    await_isr(cluster, topic, cluster.ids, cluster.ids)
    # From then on it leads for good: who is to lead does.
    deadline = time.monotonic() + 30
    while (leader := served(cluster, topic)[0]) != metadata(cluster, topic)[0][2][0]:
        assert time.monotonic() < deadline, cluster.tail()
        time.sleep(0.1)
    victim, _ = others(cluster, leader)

    def memory():
        status = pathlib.Path(f"/proc/{cluster.brokers[leader].pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024

    load = subprocess.Popen(
        [*cluster.network.within("client"), *binary(), "bench", "produce", "--server", cluster.brokers[leader].server, "--topic", topic,
         "--partitions", "1", "--duration", "9", "--rate", "100000", "--ceiling", "0", "--json"], stdout=subprocess.PIPE, text=True)
    time.sleep(3)
    before = memory()
    most = before
    with Paused(cluster, victim):
        until = time.monotonic() + 5
        while time.monotonic() < until:
            most = max(most, memory())
            time.sleep(0.1)
    resumed = time.monotonic()
    await_isr(cluster, topic, cluster.ids, [leader], patience=40)
    caught_up = time.monotonic() - resumed
    card = load.communicate(timeout=60)[0]
    assert load.returncode == 0, f"an answer was wrong, or did not come\n{card}\n{cluster.tail()}"
    requests = json.loads(card)["requests"]
    logging.info("%d requests meanwhile; in sync again %.1f s after it went on; the leader's memory: %.0f MiB, at most %.0f MiB", requests,
                 caught_up, before, most)
    assert requests > 10_000
    assert most - before < 64, f"the leader's memory has grown from {before:.0f} to {most:.0f} MiB"
