"""What consumers and producers of confluent-kafka, kafka-python and aiokafka can ask for besides reading and writing, call by call: topics by pattern, places in the log by time,
pauses, positions, metadata of all topics."""

import asyncio
import time

import aiokafka
import confluent_kafka
import kafka
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from test_groups import PATIENCE, SETTINGS, await_that

COUNT = 20
BEGIN = 1_700_000_000_000  # milliseconds; each record a second later than the one before


@pytest.fixture
def filled(make_broker, topic):
    """A broker with three topics, two of which a pattern finds; each with records of known times in one partition."""
    broker = make_broker(SETTINGS)
    names = [f"{topic}-a", f"{topic}-b", f"other-{topic}"]
    admin = AdminClient({"bootstrap.servers": broker.server})
    for future in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        future.result(PATIENCE)
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.server})
    assert set(producer.list_topics(timeout=PATIENCE).topics) == set(names)
    for name in names:
        for number in range(COUNT):
            producer.produce(name, str(number).encode(), timestamp=BEGIN + 1000 * number)
    assert producer.flush(PATIENCE) == 0
    return broker, names


def test_confluent(filled):
    broker, names = filled
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": broker.server, "group.id": "g", "auto.offset.reset": "earliest", "enable.auto.commit": False,
        "enable.auto.offset.store": False})
    assert set(consumer.list_topics(timeout=PATIENCE).topics) >= set(names)
    one = confluent_kafka.TopicPartition(names[0], 0)
    assert consumer.get_watermark_offsets(one, timeout=PATIENCE) == (0, COUNT)

    def at(milliseconds):
        found, = consumer.offsets_for_times([confluent_kafka.TopicPartition(names[0], 0, milliseconds)], timeout=PATIENCE)
        return found.offset

    assert (at(0), at(BEGIN + 4500), at(BEGIN + 1000 * COUNT)) == (0, 5, confluent_kafka.OFFSET_END)
    consumer.subscribe([f"^{names[0][:-1]}.*"])
    read = []

    def take():
        message = consumer.poll(0.2)
        if message is not None and not message.error():
            read.append((message.topic(), int(message.value())))
            consumer.store_offsets(message)
        return len(read) >= 2 * COUNT

    await_that(take)
    assert sorted(read) == [(name, number) for name in names[:2] for number in range(COUNT)]
    consumer.commit(asynchronous=False)
    assert consumer.committed([one], timeout=PATIENCE)[0].offset == consumer.position([one])[0].offset == COUNT
    consumer.pause([one])
    consumer.seek(confluent_kafka.TopicPartition(names[1], 0, COUNT - 1))
    await_that(lambda: take() and len(read) == 2 * COUNT + 1)
    assert read[-1] == (names[1], COUNT - 1)
    consumer.resume([one])
    consumer.seek(confluent_kafka.TopicPartition(names[0], 0, COUNT - 2))
    await_that(lambda: take() and len(read) == 2 * COUNT + 3)
    assert read[-2:] == [(names[0], COUNT - 2), (names[0], COUNT - 1)]
    assert consumer.memberid() and consumer.consumer_group_metadata()
    consumer.close()
    alone = confluent_kafka.Consumer({"bootstrap.servers": broker.server, "group.id": "none"})
    alone.assign([confluent_kafka.TopicPartition(names[2], 0, -2001)])  # librdkafka: the last one
    assert alone.poll(PATIENCE).value() == b"%d" % (COUNT - 1)
    alone.close()
    transactional = confluent_kafka.Producer({"bootstrap.servers": broker.server, "transactional.id": "t"})
    with pytest.raises(confluent_kafka.KafkaException):
        transactional.init_transactions(5)


def test_kafka_python(filled):
    broker, names = filled
    consumer = kafka.KafkaConsumer(bootstrap_servers=broker.server, group_id="g", auto_offset_reset="earliest", enable_auto_commit=False)
    assert consumer.topics() == set(names)
    one, other = (kafka.TopicPartition(name, 0) for name in names[:2])
    assert consumer.partitions_for_topic(names[0]) == {0}
    assert consumer.beginning_offsets([one]) == {one: 0} and consumer.end_offsets([one]) == {one: COUNT}
    assert consumer.offsets_for_times({one: BEGIN + 4500})[one].offset == 5 and consumer.offsets_for_times({one: BEGIN + 1000 * COUNT})[one] is None
    consumer.subscribe(pattern=f"^{names[0][:-1]}.*")
    read = []

    def take():
        for records in consumer.poll(timeout_ms=200).values():
            read.extend((record.topic, int(record.value)) for record in records)
        return len(read)

    await_that(lambda: take() >= 2 * COUNT)
    assert sorted(set(read)) == [(name, number) for name in names[:2] for number in range(COUNT)]
    consumer.commit()
    assert consumer.committed(one) == consumer.position(one) == COUNT and consumer.highwater(one) == COUNT
    del read[:]
    consumer.pause(one)
    assert consumer.paused() == {one}
    consumer.seek(one, 0)
    consumer.seek(other, COUNT - 1)
    await_that(lambda: take() == 1)
    assert read == [(names[1], COUNT - 1)]
    consumer.resume(one)
    consumer.seek_to_end(one)
    consumer.seek(one, consumer.position(one) - 1)
    await_that(lambda: take() == 2)
    consumer.seek_to_beginning(other)
    await_that(lambda: take() == COUNT + 2)
    consumer.close(autocommit=False)


def test_aiokafka(filled):
    broker, names = filled

    async def run():
        consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=broker.server, group_id="g", auto_offset_reset="earliest", enable_auto_commit=False, metadata_max_age_ms=1000)
        await consumer.start()
        try:
            assert set(names) <= await consumer.topics()
            consumer.subscribe(pattern=f"^{names[0][:-1]}.*")
            read = []

            async def take(count):
                deadline = time.monotonic() + PATIENCE
                while len(read) < count:
                    assert time.monotonic() < deadline, read
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        read.extend((record.topic, int(record.value)) for record in records)

            await take(2 * COUNT)
            assert sorted(set(read)) == [(name, number) for name in names[:2] for number in range(COUNT)]
            one = aiokafka.TopicPartition(names[0], 0)
            assert await consumer.beginning_offsets([one]) == {one: 0} and await consumer.end_offsets([one]) == {one: COUNT}
            assert (await consumer.offsets_for_times({one: BEGIN + 4500}))[one].offset == 5
            await consumer.commit()
            assert await consumer.committed(one) == await consumer.position(one) == COUNT
            del read[:]
            await consumer.seek_to_beginning(one)
            await take(COUNT)
            assert {name for name, _ in read} == {names[0]}
        finally:
            await consumer.stop()

    asyncio.run(run())
