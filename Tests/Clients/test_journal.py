"""What is kept and for how long, through stock clients; and the journal's tools on what a broker leaves behind."""

import re
import time

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaAdminClient
from kafka.structs import TopicPartition as KafkaPythonPartition

from broker import Broker, run, used
from monitoring import get, metrics

# Little segments and a little journal: the archives have their part in each test.
SMALL = {
    "journal.segment.bytes": 1 << 20, "journal.max.bytes": 4 << 20, "message.max.bytes": 100_000,
    "log.retention.check.interval.ms": 200,
}
VALUE = b"v" * 2000


@pytest.fixture
def small(tmp_path):
    broker = Broker(tmp_path, SMALL).start()
    yield broker
    broker.end()


def create(broker, topic, partitions=1, **configs):
    config = {name.replace("_", "."): str(value) for name, value in configs.items()}
    admin = AdminClient({"bootstrap.servers": broker.server})
    admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(30)


def produce(broker, topic, count, partitions=1, start=0, **settings):
    """Numbered records, one after the other round the partitions; all acknowledged."""
    failures = []
    producer = Producer({
        "bootstrap.servers": broker.server, "linger.ms": 1, "batch.size": 20_000, "queue.buffering.max.messages": 1_000_000,
        **settings})
    for number in range(start, start + count):
        producer.produce(
            topic, b"%d:" % number + VALUE, partition=number % partitions,
            on_delivery=lambda error, _: failures.append(error) if error else None)
        producer.poll(0)
    assert producer.flush(120) == 0
    assert not failures


def consume(broker, topic, partition=0, start=None, patience=60):
    """The numbers of all records of the partition, from `start` on or from the log's start, checked to be without a gap."""
    consumer = Consumer({"bootstrap.servers": broker.server, "group.id": "none", "enable.auto.commit": False})
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
    next_offset = low if start is None else start
    consumer.assign([TopicPartition(topic, partition, next_offset)])
    numbers = []
    deadline = time.monotonic() + patience
    while next_offset < high:
        assert time.monotonic() < deadline, f"{next_offset} of {high}"
        for message in consumer.consume(1000, timeout=1):
            if message.error():
                raise KafkaException(message.error())
            assert message.offset() == next_offset
            next_offset += 1
            number, value = message.value().split(b":", 1)
            assert value == VALUE
            numbers.append(int(number))
    consumer.close()
    return numbers


def watermarks(broker, topic, partition=0):
    consumer = Consumer({"bootstrap.servers": broker.server, "group.id": "none"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
    finally:
        consumer.close()


def await_that(condition, patience=30):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it never comes to that"
        time.sleep(0.1)


def segments(broker):
    return sorted((broker.data / "group-0").glob("*.segment"))


def journal(command, broker, *arguments):
    """The exit code, and what was said."""
    code, out, err = run("journal", command, broker.data, *arguments)
    return code, (out + err).decode()


@pytest.mark.parametrize("crash", [False, True], ids=["stop", "kill"])
def test_archives_hold_what_the_journal_no_longer_does(small, crash):
    create(small, "t", 3)
    create(small, "idle")
    produce(small, "idle", 5)
    produce(small, "t", 9000, 3)
    await_that(lambda: len(segments(small)) <= 8)
    assert list((small.data / "group-0/archive").glob("*.frames"))
    for _ in range(2):
        for partition in range(3):
            assert consume(small, "t", partition) == list(range(partition, 9000, 3))
        assert consume(small, "idle") == list(range(5))
        small.restart(crash=crash)


def test_deleting_records(small):
    create(small, "t", 2)
    produce(small, "t", 2000, 2)
    admin = AdminClient({"bootstrap.servers": small.server})
    deleted = admin.delete_records([TopicPartition("t", 0, 300)])
    assert [future.result(30).low_watermark for future in deleted.values()] == [300]
    other = KafkaAdminClient(bootstrap_servers=small.server)
    answer = other.delete_records({KafkaPythonPartition("t", 1): 400})
    assert [part for part in answer.values()][0]["low_watermark"] == 400
    other.close()
    with pytest.raises(KafkaException, match="OFFSET_OUT_OF_RANGE"):
        for future in admin.delete_records([TopicPartition("t", 0, 5000)]).values():
            future.result(30)
    for crash in [True, False]:
        assert watermarks(small, "t", 0) == (300, 1000)
        assert watermarks(small, "t", 1) == (400, 1000)
        assert consume(small, "t", 0) == list(range(600, 2000, 2))
        small.restart(crash=crash)


def test_retention_bytes_bounds_the_disk(small):
    create(small, "t", retention_bytes=8 << 20)
    produce(small, "t", 20_000)
    await_that(lambda: used(small.data) <= 9 << 20)
    low, high = watermarks(small, "t")
    assert high == 20_000 and 10_000 < low < 19_500
    assert consume(small, "t") == list(range(low, 20_000))


def test_retention_ms_deletes_what_is_old(small):
    create(small, "t", retention_ms=3000)
    produce(small, "t", 3000)
    assert watermarks(small, "t")[1] == 3000
    await_that(lambda: watermarks(small, "t")[0] == 3000)
    produce(small, "t", 10, start=3000)
    assert consume(small, "t") == list(range(3000, 3010))


def test_a_deleted_topic_gives_its_space_back(small):
    create(small, "gone")
    create(small, "kept")
    produce(small, "kept", 100)
    produce(small, "gone", 10_000)
    await_that(lambda: len(segments(small)) <= 8)
    archive = small.data / "group-0/archive"
    assert used(archive) > 10 << 20
    admin = AdminClient({"bootstrap.servers": small.server})
    admin.delete_topics(["gone"])["gone"].result(30)
    await_that(lambda: used(archive) < 1 << 20)
    assert consume(small, "kept") == list(range(100))


def test_the_tools_on_a_sound_journal(small):
    create(small, "t", 3)
    produce(small, "t", 6000, 3)
    small.kill()
    before = {path: path.read_bytes() for path in small.data.rglob("*") if path.is_file()}
    for command in ["inspect", "verify", "explain-recovery"]:
        code, said = journal(command, small)
        assert code == 0, said
    frames = journal("inspect", small, "--frames", "50", "--partition", "1")[1]
    assert len(re.findall(r"^\d+ batch .* partition=1 offsets=", frames, re.M)) == 50
    _, story = journal("explain-recovery", small)
    end = int(re.search(r"frames would be taken, up to position (\d+)", story)[1])
    assert {path: path.read_bytes() for path in small.data.rglob("*") if path.is_file()} == before, "nothing is changed"
    small.start()
    assert f"up to position {end}," in small.log(), "it does what was foretold"


def test_damage_is_refused_and_the_rest_served(small):
    """A byte rots in the middle of acknowledged data: found by the tools, refused to readers, and only that."""
    create(small, "t")
    produce(small, "t", 1500)
    small.stop()
    # The segment that recovery goes through again.
    _, story = journal("explain-recovery", small)
    number = int(re.search(r"from segment (\d+) on", story)[1])
    path = small.data / "group-0" / f"{number:020}.segment"
    data = bytearray(path.read_bytes())
    at = data.index(b":vvvv", 100_000) + 500
    data[at] ^= 1
    path.write_bytes(data)
    assert journal("verify", small)[0] == 1
    code, story = journal("explain-recovery", small)
    assert code == 1 and "damage" in story
    small.start()
    assert "DAMAGED" in small.log()
    with pytest.raises(KafkaException, match="INVALID_MSG"):
        consume(small, "t")
    refused = int(re.search(r"offsets (\d+) to (\d+) (were lost|can't be read)", small.log())[2]) + 1
    assert consume(small, "t", start=refused) == list(range(refused, 1500))
    produce(small, "t", 1, start=1500)
    assert consume(small, "t", start=refused) == list(range(refused, 1501))


def test_at_the_reserve_producers_are_refused(tmp_path):
    """So much is to stay free that nothing new can be made: what stands ready is used, then producers are refused, readers not."""
    broker = Broker(tmp_path, {**SMALL, "disk.reserve.bytes": str(1 << 50), "http.listen": "127.0.0.1:0"}).start()
    try:
        create(broker, "t")
        produce(broker, "t", 50)
        with pytest.raises(AssertionError):
            produce(broker, "t", 5000, start=50, **{"message.timeout.ms": 3000})
        low, high = watermarks(broker, "t")
        assert (low, high) != (0, 5050)
        assert consume(broker, "t")[:50] == list(range(50))
        assert "disk.reserve.bytes" in broker.log()
        # It is no reason to start the broker again, which would change nothing.
        time.sleep(3)
        assert get(broker, "/healthz") == (200, "ok\n") and get(broker, "/readyz")[0] == 200
        assert metrics(broker)['hutong_group_has_space{group="0"}'] == 0
    finally:
        broker.end()
