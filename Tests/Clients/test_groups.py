"""Consumer groups, as stock clients use them: through restarts, rebalances and kills of the broker."""

import asyncio
import contextlib
import subprocess
import threading
import time

import aiokafka
import confluent_kafka
import kafka
import pytest
from confluent_kafka.admin import AdminClient
from kafka.admin import KafkaAdminClient

from broker import free_port
from rawclient import Connection
from test_cluster import create

PATIENCE = 30
FAILOVER = 100  # a lease, an election, the members' session, and the backing off of clients
# Who leaves just before the broker is killed may be a member again after its start, until its session is over: as in Kafka, a LeaveGroup is answered
# before it is stored.
SESSION = 6000
PARTITIONS = 4
# A group that was empty need not wait for more members here.
SETTINGS = {"group.initial.rebalance.delay.ms": 0, "offsets.topic.num.partitions": 4}


def servers(broker):
    """Of one broker, or of all of a cluster."""
    return getattr(broker, "servers", None) or broker.server


def start(make_broker, topic):
    """A broker with the topic, which keeps its address when it is started again."""
    broker = make_broker(SETTINGS, port=free_port())
    with Connection(broker.address) as connection:
        connection.create(topic, PARTITIONS)
    return broker


def produce(broker, topic, values):
    producer = confluent_kafka.Producer({"bootstrap.servers": servers(broker), "enable.idempotence": True, "linger.ms": 2})
    for number in values:
        producer.produce(topic, str(number).encode(), partition=number % PARTITIONS)
    assert producer.flush(PATIENCE) == 0


def await_that(what, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.05)


class Confluent:
    """A member of a group, in a thread of its own, which takes down all that it gets, and commits it.

    librdkafka forgets commits that it has put off while its coordinator was away: what nobody has answered is committed again when there is nothing to do."""

    def __init__(self, broker, topic, group, strategy="range"):
        self.topic, self.values, self.assigned, self.ends, self.error = topic, [], set(), False, None
        self.positions, self.acknowledged = {}, {}
        self.consumer = confluent_kafka.Consumer({
            "bootstrap.servers": servers(broker), "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
            "partition.assignment.strategy": strategy, "session.timeout.ms": SESSION, "heartbeat.interval.ms": 500,
            "reconnect.backoff.max.ms": 200, "on_commit": self.note})
        self.consumer.subscribe([topic], on_assign=self.take, on_revoke=self.give, on_lost=self.give)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def take(self, _, partitions):
        self.assigned |= {one.partition for one in partitions}

    def give(self, _, partitions):
        self.assigned -= {one.partition for one in partitions}
        for one in partitions:
            self.positions.pop(one.partition, None)

    def note(self, error, partitions):
        if error is None:
            self.acknowledged |= {one.partition: one.offset for one in partitions if one.error is None}

    def unanswered(self):
        return [confluent_kafka.TopicPartition(self.topic, number, offset)
                for number, offset in self.positions.items() if self.acknowledged.get(number) != offset]

    def run(self):
        try:
            while not self.ends:
                message = self.consumer.poll(0.1)
                if message is not None and message.error() is None:
                    self.values.append(int(message.value()))
                    self.positions[message.partition()] = message.offset() + 1
                    self.consumer.commit(message, asynchronous=True)
                elif message is None and (rest := self.unanswered()):
                    self.consumer.commit(offsets=rest, asynchronous=True)
        except Exception as error:  # the test asks for it
            self.error = error

    def close(self):
        self.ends = True
        self.thread.join(PATIENCE)
        self.consumer.close()
        assert self.error is None, self.error
        return self.values


def read_with_confluent(broker, topic, group, count):
    """Reads so many records, commits, leaves. Gives their values."""
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": servers(broker), "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
        "session.timeout.ms": SESSION})
    consumer.subscribe([topic])
    values = []
    deadline = time.monotonic() + PATIENCE
    while len(values) < count:
        assert time.monotonic() < deadline, f"{len(values)} of {count}"
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            values.append(int(message.value()))
            consumer.commit(message, asynchronous=False)
    consumer.close()
    return values


def read_with_kafka_python(broker, topic, group, count):
    consumer = kafka.KafkaConsumer(
        topic, bootstrap_servers=servers(broker), group_id=group, auto_offset_reset="earliest", enable_auto_commit=False, max_poll_records=1,
        session_timeout_ms=SESSION, heartbeat_interval_ms=500)
    values = []
    deadline = time.monotonic() + PATIENCE
    while len(values) < count:
        assert time.monotonic() < deadline, f"{len(values)} of {count}"
        for records in consumer.poll(500).values():
            values += [int(record.value) for record in records]
        consumer.commit()
    consumer.close()
    return values


def read_with_aiokafka(broker, topic, group, count):
    async def read():
        consumer = aiokafka.AIOKafkaConsumer(
            topic, bootstrap_servers=servers(broker), group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
            session_timeout_ms=SESSION, heartbeat_interval_ms=500)
        await consumer.start()
        values = []
        try:
            while len(values) < count:
                record = await asyncio.wait_for(consumer.getone(), PATIENCE)
                values.append(int(record.value))
                await consumer.commit({aiokafka.TopicPartition(topic, record.partition): record.offset + 1})
        finally:
            await consumer.stop()
        return values

    return asyncio.run(read())


def read_with_kcat(broker, topic, group, count):
    """It commits what it has printed when it leaves."""
    done = subprocess.run(
        ["kcat", "-b", servers(broker), "-G", group, "-q", "-u", "-X", "auto.offset.reset=earliest", "-X", f"session.timeout.ms={SESSION}", "-c", str(count), topic],
        capture_output=True, text=True, timeout=2 * PATIENCE, check=True)
    return [int(line) for line in done.stdout.split()]


READERS = {"confluent": read_with_confluent, "kafka-python": read_with_kafka_python, "aiokafka": read_with_aiokafka, "kcat": read_with_kcat}


@pytest.mark.parametrize("client", READERS)
@pytest.mark.parametrize("crash", [True, False], ids=["kill", "stop"])
def test_goes_on_where_it_was(make_broker, topic, client, crash):
    """Members come and go one after the other, and the broker in between: each record is read once."""
    broker = start(make_broker, topic)
    produce(broker, topic, range(200))
    values = []
    for count in (50, 100, 50):
        values += READERS[client](broker, topic, "g", count)
        broker.restart(crash)
    assert sorted(values) == list(range(200))


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_members_share(make_broker, topic, strategy):
    """Partitions are divided, and taken over from who leaves; nothing is skipped."""
    broker = start(make_broker, topic)
    first = Confluent(broker, topic, "g", strategy)
    await_that(lambda: len(first.assigned) == PARTITIONS)
    produce(broker, topic, range(100))
    second = Confluent(broker, topic, "g", strategy)
    await_that(lambda: len(first.assigned) == len(second.assigned) == PARTITIONS // 2 and not first.assigned & second.assigned)
    produce(broker, topic, range(100, 200))
    await_that(lambda: set(first.values) | set(second.values) == set(range(200)))
    second.close()
    await_that(lambda: len(first.assigned) == PARTITIONS)
    produce(broker, topic, range(200, 300))
    await_that(lambda: set(range(200, 300)) <= set(first.values))
    first.close()


def test_mixed_clients_share(make_broker, topic):
    """Two kinds of clients in one group, by the assignor that both know."""
    broker = start(make_broker, topic)
    produce(broker, topic, range(100))
    one = Confluent(broker, topic, "g")
    await_that(lambda: len(one.assigned) == PARTITIONS)
    other = kafka.KafkaConsumer(
        topic, bootstrap_servers=servers(broker), group_id="g", auto_offset_reset="earliest",
        partition_assignment_strategy=[kafka.coordinator.assignors.range.RangePartitionAssignor])
    values = []

    def poll():
        for records in other.poll(100).values():
            values.extend(int(record.value) for record in records)
        return len(other.assignment()) == len(one.assigned) == PARTITIONS // 2

    await_that(poll)
    produce(broker, topic, range(100, 200))
    await_that(lambda: poll() and set(one.values) | set(values) == set(range(200)))
    other.close()
    one.close()


class Committer(threading.Thread):
    """Commits one offset after the other for a group of its own, and remembers what was answered."""

    def __init__(self, broker, topic, group):
        super().__init__(daemon=True)
        options = {"bootstrap.servers": servers(broker), "group.id": group, "enable.auto.commit": False, "reconnect.backoff.max.ms": 200}
        self.topic, self.acknowledged, self.ends = topic, -1, False
        self.consumer, self.other = confluent_kafka.Consumer(options), confluent_kafka.Consumer(options)
        self.start()

    def run(self):
        number = 0
        while not self.ends:
            with contextlib.suppress(confluent_kafka.KafkaException):
                self.consumer.commit(offsets=[confluent_kafka.TopicPartition(self.topic, 0, number)], asynchronous=False)
                self.acknowledged = number
            number += 1

    def committed(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(confluent_kafka.KafkaException):
                return self.other.committed([confluent_kafka.TopicPartition(self.topic, 0)], timeout=PATIENCE)[0].offset
            assert time.monotonic() < deadline

    def finish(self):
        self.ends = True
        self.join(2 * PATIENCE)
        assert self.committed() == self.acknowledged
        self.consumer.close()
        self.other.close()


def commits_through_kills(make_broker, topic, groups, kills):
    broker = start(make_broker, topic)
    committers = [Committer(broker, topic, f"g{number}") for number in range(groups)]
    for _ in range(kills):
        before = [committer.acknowledged for committer in committers]
        await_that(lambda: all(committer.acknowledged > count + 10 for committer, count in zip(committers, before)))
        broker.kill()
        told = [committer.acknowledged for committer in committers]
        broker.start()
        for committer, number in zip(committers, told):
            assert committer.committed() >= number, "a committed offset is gone"
    print(f"{groups} groups, {kills} kills, {sum(committer.acknowledged + 1 for committer in committers)} commits at most")
    for committer in committers:
        committer.finish()


def test_no_commit_goes_back(make_broker, topic):
    """The broker is killed while offsets are committed: what was answered is there, and no less."""
    commits_through_kills(make_broker, topic, 2, 5)


@pytest.mark.soak
def test_no_commit_goes_back_for_long(make_broker, topic):
    commits_through_kills(make_broker, topic, 8, 100)


def test_administration(make_broker, topic):
    broker = start(make_broker, topic)
    produce(broker, topic, range(20))
    member = Confluent(broker, topic, "lively")
    await_that(lambda: len(member.values) == 20)
    read_with_confluent(broker, topic, "quiet", 20)
    admin = AdminClient({"bootstrap.servers": servers(broker)})
    listed = {one.group_id: one.state.name for one in admin.list_consumer_groups().result().valid}
    assert listed == {"lively": "STABLE", "quiet": "EMPTY"}
    described = {name: future.result() for name, future in admin.describe_consumer_groups(["lively", "quiet", "none"]).items()}
    assert {name: one.state.name for name, one in described.items()} == {"lively": "STABLE", "quiet": "EMPTY", "none": "DEAD"}
    assert sorted(one.partition for one in described["lively"].members[0].assignment.topic_partitions) == list(range(PARTITIONS))
    assert described["lively"].members[0].host == "/127.0.0.1"
    asked = admin.list_consumer_group_offsets([confluent_kafka.ConsumerGroupTopicPartitions("quiet")])
    assert sorted((one.partition, one.offset) for one in asked["quiet"].result().topic_partitions) == [(number, 5) for number in range(PARTITIONS)]
    with pytest.raises(confluent_kafka.KafkaException, match="NON_EMPTY_GROUP"):
        admin.delete_consumer_groups(["lively"])["lively"].result()
    # The groups' own topic is shown as such, can be read, and not be written or deleted.
    shown = admin.list_topics("__consumer_offsets").topics["__consumer_offsets"]
    assert len(shown.partitions) == SETTINGS["offsets.topic.num.partitions"]
    with pytest.raises(confluent_kafka.KafkaException, match="INVALID_TOPIC|TOPIC_EXCEPTION"):
        admin.delete_topics(["__consumer_offsets"])["__consumer_offsets"].result()
    python = KafkaAdminClient(bootstrap_servers=servers(broker))
    assert {one["group_id"] if isinstance(one, dict) else one[0] for one in python.list_groups()} == {"lively", "quiet"}
    admin.alter_consumer_group_offsets(
        [confluent_kafka.ConsumerGroupTopicPartitions("quiet", [confluent_kafka.TopicPartition(topic, 1, 2)])])["quiet"].result()
    assert sorted(read_with_confluent(broker, topic, "quiet", 3)) == [9, 13, 17]
    admin.delete_consumer_groups(["quiet"])["quiet"].result()
    assert {one.group_id for one in admin.list_consumer_groups().result().valid} == {"lively"}
    member.close()
    broker.restart(True)
    # While the groups are being read, it says so instead.
    again = AdminClient({"bootstrap.servers": servers(broker)})
    await_that(lambda: {one.group_id for one in again.list_consumer_groups().result().valid} == {"lively"})


@pytest.mark.timeout(600)
def test_coordinator_moves(cluster, topic):
    """The broker that coordinates a group is killed: another one goes on, with all that was committed and the members that there were."""
    brokers = cluster.brokers
    create(cluster, topic, PARTITIONS)
    admin = AdminClient({"bootstrap.servers": cluster.servers})
    produced = 0

    def more():
        nonlocal produced
        produce(cluster, topic, range(produced, produced + 100))
        produced += 100

    member = Confluent(cluster, topic, "moving")
    other = confluent_kafka.Consumer({"bootstrap.servers": cluster.servers, "group.id": "moving", "reconnect.backoff.max.ms": 200})
    more()
    await_that(lambda: set(member.values) == set(range(produced)), FAILOVER)
    for _ in range(2):
        coordinator = coordinator_of(admin, "moving")
        told = sum(member.acknowledged.values())
        brokers[coordinator].kill()
        found = []
        await_that(lambda: found.append(committed(other, topic)) or found[-1] >= 0, FAILOVER)
        assert found[-1] >= told, "a commit that was acknowledged is lost"
        more()
        await_that(lambda: set(member.values) == set(range(produced)), FAILOVER)
        brokers[coordinator].start()
        await_that(lambda: all(len(one.isrs) == 3 for one in admin.list_topics(topic).topics[topic].partitions.values()), FAILOVER)
        # Who asks anew goes on behind all that was committed.
        await_that(lambda: committed(other, topic) == produced, FAILOVER)
    other.close()
    values = member.close()
    assert len(values) < 2 * produced, "what had been committed was read again and again"


def coordinator_of(admin, group):
    """The leader of the partition that the group belongs to, by Java's hash of its id."""
    number = 0
    for letter in group:
        number = (31 * number + ord(letter)) & 0xFFFFFFFF
    number -= (number & 0x80000000) << 1
    partitions = admin.list_topics("__consumer_offsets").topics["__consumer_offsets"].partitions
    return partitions[abs(number) % len(partitions)].leader


def committed(consumer, topic):
    """The sum of the group's offsets; -1 while nobody says."""
    with contextlib.suppress(confluent_kafka.KafkaException):
        partitions = [confluent_kafka.TopicPartition(topic, number) for number in range(PARTITIONS)]
        return sum(max(one.offset, 0) for one in consumer.committed(partitions, timeout=5))
    return -1
