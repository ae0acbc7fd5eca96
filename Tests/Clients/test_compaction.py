"""Topics of which of each key the latest record is kept, through stock clients, while brokers are killed and restarted."""

import collections
import random
import threading
import time

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from kafka import KafkaProducer
from kafka.errors import InvalidRecordError

from batches import batch
from broker import Broker, used
from messages import Error
from rawclient import Connection

MEGABYTE = 1 << 20
JOURNAL = 9 * MEGABYTE  # what the journal, with the segments made ready, may take
# So little a journal that nearly all goes through the archives.
SMALL = {
    "journal.segment.bytes": MEGABYTE, "journal.max.bytes": 4 * MEGABYTE, "message.max.bytes": 100_000, "log.retention.check.interval.ms": 200,
    "log.cleaner.min.cleanable.ratio": 0.3,
}
Found = collections.namedtuple("Found", "offset value")


@pytest.fixture
def small(tmp_path):
    broker = Broker(tmp_path, SMALL).start()
    yield broker
    broker.end()


def create(broker, topic, partitions=1, **configs):
    config = {"cleanup.policy": "compact"} | {name.replace("_", "."): str(value) for name, value in configs.items()}
    admin = AdminClient({"bootstrap.servers": broker.server})
    admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(30)


class Filler:
    """Produces records of a few keys, and remembers of each key what was acknowledged last, and what may have come behind that."""

    def __init__(self, topic, seed=1, keys=300, name=b"key", **settings):
        self.topic, self.keys, self.name, self.settings = topic, keys, name, settings
        self.dice = random.Random(seed)
        self.acknowledged = {}
        self.open = collections.defaultdict(list)
        self.sent = 0

    def fill(self, broker, count, size=1000, tombstones=0.0, patience=120):
        producer = Producer({
            "bootstrap.servers": broker.server, "linger.ms": 2, "batch.size": 30_000, "queue.buffering.max.messages": 1_000_000,
            "enable.idempotence": True, "message.timeout.ms": patience * 1000, **self.settings})
        for _ in range(count):
            self.send(producer, size, tombstones)
        assert producer.flush(patience) == 0

    def send(self, producer, size, tombstones=0.0):
        key = self.name + b" %d" % self.dice.randrange(self.keys)
        value = None if self.dice.random() < tombstones else b"%d:" % self.sent + self.dice.randbytes(size // 2).hex().encode()
        self.sent += 1
        self.open[key].append(value)
        producer.produce(self.topic, value, key, partition=0, on_delivery=self.delivered)
        producer.poll(0)

    def delivered(self, error, message):
        if error is None:
            waiting = self.open[message.key()]
            del waiting[: waiting.index(message.value()) + 1]
            self.acknowledged[message.key()] = Found(message.offset(), message.value())

    def check(self, found):
        """The latest of each key is there, at its offset; or a later one, which was not acknowledged."""
        for key, last in self.acknowledged.items():
            mine = found.get(key)
            if last.value is None and mine is None:
                continue
            assert mine is not None, f"{key}: acknowledged at {last.offset}, and is not there"
            assert mine == last or mine.offset > last.offset and mine.value in self.open[key], (
                f"{key}: {mine.offset} {str(mine.value)[:30]}, where {last.offset} {str(last.value)[:30]} was acknowledged")


def read_all(broker, topic, patience=60):
    """Of each key the last record of the first partition; how many records there are; and where its log ends."""
    consumer = Consumer({
        "bootstrap.servers": broker.server, "group.id": "none", "enable.auto.commit": False, "enable.partition.eof": True,
        "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found, count, last = {}, 0, -1
    deadline = time.monotonic() + patience
    try:
        while True:
            assert time.monotonic() < deadline, f"{count} records, up to {last}\n{broker.tail()}"
            for message in consumer.consume(1000, timeout=1):
                if message.error():
                    if message.error().code() == KafkaError._PARTITION_EOF:
                        return found, count
                    raise KafkaException(message.error())
                assert message.offset() > last
                last = message.offset()
                count += 1
                found[message.key()] = Found(last, message.value())
    finally:
        consumer.close()


def await_that(condition, broker, patience=60):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"it never comes to that\n{broker.tail()}"
        time.sleep(0.1)


def is_small(broker, limit):
    return lambda: used(broker.data / "group-0/archive") < limit


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_of_each_key_the_latest_is_left(small, compression):
    create(small, "t")
    filler = Filler("t", **{"compression.type": compression})
    filler.fill(small, 25_000)
    await_that(is_small(small, 2 * MEGABYTE), small)
    for crash in [True, False]:
        found, count = read_all(small, "t")
        filler.check(found)
        assert len(found) == filler.keys and count < 15_000
        small.restart(crash=crash)
    filler.fill(small, 5000)
    filler.check(read_all(small, "t")[0])


def test_tombstones_go_after_their_time(small):
    create(small, "t", delete_retention_ms=1000)
    filler = Filler("t", keys=50)
    filler.fill(small, 5000)
    producer = Producer({"bootstrap.servers": small.server, "batch.size": 30_000})
    failures = []

    def produce(records):
        for key, value in records:
            producer.produce("t", value, key, partition=0, on_delivery=lambda error, _: failures.append(error) if error else None)
            producer.poll(0)
        assert producer.flush(30) == 0 and not failures

    produce((b"key %d" % number, None) for number in range(25))

    def gone():
        produce((b"other %d" % (number % 10), b"%d" % number + b"x" * 1500) for number in range(3000))
        return not {b"key %d" % number for number in range(25)} & set(read_all(small, "t")[0])

    await_that(gone, small)
    found, _ = read_all(small, "t")
    for key, last in filler.acknowledged.items():
        if int(key.split()[1]) >= 25:
            assert found[key] == last


def test_records_without_a_key_are_refused(small):
    create(small, "t")
    with Connection(small.address) as connection:
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
            for keys, error in [([b"a", None], Error.INVALID_RECORD), ([b"a", b""], Error.NONE)]:
                records = batch([b"v"] * len(keys), keys=keys, codec=codec)
                assert connection.produce("t", records)["error"] == error, (codec, keys)
    producer = KafkaProducer(bootstrap_servers=small.server)
    with pytest.raises(InvalidRecordError):
        producer.send("t", b"v").get(30)
    producer.close()
    producer = KafkaProducer(bootstrap_servers=small.server)
    assert producer.send("t", b"v", b"k").get(30).offset == 10
    producer.close()


def test_records_of_compacted_topics_are_deleted_by_their_keys(small):
    create(small, "t")
    create(small, "both", cleanup_policy="compact,delete")
    admin = AdminClient({"bootstrap.servers": small.server})
    for topic in ["t", "both"]:
        Filler(topic).fill(small, 10)
    with pytest.raises(KafkaException, match="POLICY_VIOLATION"):
        admin.delete_records([TopicPartition("t", 0, 5)])[TopicPartition("t", 0, 5)].result(30)
    assert admin.delete_records([TopicPartition("both", 0, 5)])[TopicPartition("both", 0, 5)].result(30).low_watermark == 5
    with pytest.raises(KafkaException, match="min.compaction.lag.ms"):
        create(small, "wrong", min_compaction_lag_ms=10, max_compaction_lag_ms=5)


def test_both_policies_at_once(small):
    create(small, "t", cleanup_policy="delete,compact", retention_bytes=6 * MEGABYTE)
    filler = Filler("t", keys=100_000)
    filler.fill(small, 30_000)
    await_that(lambda: used(small.data) < 6 * MEGABYTE + JOURNAL, small)
    found, _ = read_all(small, "t")
    last = max(filler.acknowledged.values())
    assert last in found.values() and len(found) < 20_000


def test_a_topic_is_compacted_once_it_is_to_be(small):
    create(small, "t", cleanup_policy="delete")
    filler = Filler("t")
    filler.fill(small, 20_000)
    await_that(lambda: used(small.data / "group-0/archive") > 8 * MEGABYTE, small)
    admin = AdminClient({"bootstrap.servers": small.server})
    resource = ConfigResource(ResourceType.TOPIC, "t", incremental_configs=[
        ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET)])
    admin.incremental_alter_configs([resource])[resource].result(30)
    await_that(is_small(small, 2 * MEGABYTE), small)
    filler.check(read_all(small, "t")[0])


def test_young_records_are_left_alone(small):
    create(small, "t", min_compaction_lag_ms=3_600_000)
    filler = Filler("t")
    filler.fill(small, 12_000)
    await_that(lambda: used(small.data / "group-0/archive") > 4 * MEGABYTE, small)
    time.sleep(1)
    assert read_all(small, "t")[1] == 12_000


def test_what_must_not_wait_is_archived_and_compacted(small):
    """Though the journal has room for it, and little is dirty."""
    create(small, "t", max_compaction_lag_ms=1000, min_cleanable_dirty_ratio=1)
    filler = Filler("t", keys=5)
    filler.fill(small, 2500)
    # The segment that is written to stays, and one that a checkpoint needs.
    await_that(lambda: read_all(small, "t")[1] < 1800, small)
    filler.check(read_all(small, "t")[0])


def run_under_load(broker, seconds, kills):
    """Producers of one topic, each with keys of its own, while the broker is killed. What is on disk stays bounded."""
    create(broker, "t", delete_retention_ms=2000)
    fillers = [Filler("t", seed, name=b"%d" % seed) for seed in range(3)]
    end = time.monotonic() + seconds
    failures, most = [], 0

    def work(number, filler):
        try:
            producer = Producer({
                "bootstrap.servers": broker.server, "linger.ms": 2, "enable.idempotence": True, "message.timeout.ms": 120_000,
                "compression.type": ["none", "lz4", "zstd"][number]})
            while time.monotonic() < end:
                filler.send(producer, 1000, tombstones=0.05)
                producer.poll(0.001)
            assert producer.flush(120) == 0
        except Exception as error:  # told to the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=each) for each in enumerate(fillers)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        time.sleep(seconds / (kills + 1))
        most = max(most, used(broker.data))
        broker.restart(crash=True)
    for thread in threads:
        thread.join()
    assert not failures
    await_that(is_small(broker, 4 * MEGABYTE), broker)
    found, count = read_all(broker, "t", patience=300)
    for filler in fillers:
        filler.check(found)
    sent = sum(filler.sent for filler in fillers)
    print(f"{sent} records, {count} of them left; at most {most >> 20} MiB on disk")
    assert count < sent
    return most


def test_under_load_with_kills(small):
    run_under_load(small, 20, 4)


@pytest.mark.soak
def test_under_load_for_ten_minutes(small):
    assert run_under_load(small, 600, 30) < 64 * MEGABYTE
