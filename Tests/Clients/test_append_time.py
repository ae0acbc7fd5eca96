"""message.timestamp.type=LogAppendTime: records have the time at which the leader wrote them, which is the one case in which a batch is changed."""

import contextlib
import time

import confluent_kafka
import kafka
import pytest

from batches import CODECS, CRC_AT, CRC_FROM, batch, crc32c, split
from broker import free_port
from messages import PRODUCE, Error
from rawclient import Connection, produce_topics
from test_altering import BROKER, DELETE, SET, TOPIC, alter, described, resource

APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
LOG_APPEND_TIME = 8  # the attributes' bit
OLD = [1000, 5000, 3000]  # the producer's times


def now():
    return time.time() * 1000


@contextlib.contextmanager
def meanwhile():
    """The times before and after, a little wider: the broker's clock is read now and then only."""
    span = [now() - 1000]
    yield span
    span.append(now() + 1000)


def stamped(connection, topic, records, partition=0):
    """Produces a batch to a topic of append time; checks the answer, and gives its offset and the time."""
    with meanwhile() as span:
        answer = connection.produce(topic, records, partition)
    assert answer["error"] == Error.NONE
    assert span[0] <= answer["log_append_time"] <= span[1]
    return answer["base_offset"], answer["log_append_time"]


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_gets_the_time(connection, topic, codec):
    connection.create(topic, configs=APPEND_TIME)
    sent = batch([b"a", b"b", b"c"], timestamps=OLD, codec=codec)
    offset, appended = stamped(connection, topic, sent)
    found, = split(connection.fetch(topic, 0)["records"])
    assert (offset, found.base_offset) == (0, 0) and found.crc_holds()
    assert found.attributes == CODECS.index(codec) | LOG_APPEND_TIME
    assert (found.max_time, found.base_time) == (appended, OLD[0])
    assert [value for _, _, _, value, _ in found.records()] == [b"a", b"b", b"c"]
    assert found.data[CRC_FROM + 2:35] + found.data[43:] == sent[CRC_FROM + 2:35] + sent[43:], "nothing else is changed"


def test_the_producers_time_stands_else(connection, topic):
    connection.create(topic)
    answer = connection.produce(topic, batch([b"a"], timestamps=[1000]))
    assert (answer["error"], answer["log_append_time"]) == (Error.NONE, -1)
    found, = split(connection.fetch(topic, 0)["records"])
    assert (found.attributes, found.max_time) == (0, 1000)


@pytest.mark.parametrize("configs", [{}, APPEND_TIME])
def test_whose_time_it_is_is_not_the_producers_to_say(connection, topic, configs):
    connection.create(topic, configs=configs)
    claimed = bytearray(batch([b"a"]))
    claimed[CRC_FROM + 1] |= LOG_APPEND_TIME
    claimed[CRC_AT:CRC_FROM] = crc32c(bytes(claimed[CRC_FROM:])).to_bytes(4, "big")
    assert connection.produce(topic, bytes(claimed))["error"] == Error.INVALID_TIMESTAMP


def test_several_partitions_in_a_request(connection, topic):
    """By the answer's other form."""
    connection.create(topic, 2, configs=APPEND_TIME)
    with meanwhile() as span:
        answer = connection.ask(PRODUCE, 9, acks=-1, topics=produce_topics(topic, {0: batch([b"a"]), 1: batch([b"b"]), 7: batch([b"c"])}))
    times = {one["index"]: one["log_append_time"] for one in answer["topics"][0]["partitions"]}
    assert times.pop(7) == -1 and all(span[0] <= one <= span[1] for one in times.values())


@pytest.mark.parametrize("crash", [False, True])
def test_it_is_found_by_that_time(make_broker, topic, crash):
    """Also after a restart, when indexes are made from the journal."""
    broker = make_broker(port=free_port())
    with Connection(broker.address) as connection:
        connection.create(topic, configs=APPEND_TIME)
        _, first = stamped(connection, topic, batch([b"a", b"b", b"c"], timestamps=[9_000_000_000_000] * 3))
        time.sleep(0.05)
        _, second = stamped(connection, topic, batch([b"d"], timestamps=[1000]))
    assert first < second
    for restarted in (False, True):
        if restarted:
            broker.restart(crash)
        with Connection(broker.address) as connection:
            for asked, offset, timestamp in [(0, 0, first), (first, 0, first), (first + 1, 3, second), (second, 3, second), (second + 1, -1, -1), (-3, 3, second)]:
                found = connection.list_offset(topic, asked)
                assert (found["error"], found["offset"], found["timestamp"]) == (Error.NONE, offset, timestamp)


def test_what_is_sent_again_says_no_time(connection, topic):
    """It is the first one's, which is not kept."""
    connection.create(topic, configs=APPEND_TIME)
    producer = connection.producer_id()
    again = batch([b"a"], producer=(*producer, 0))
    stamped(connection, topic, again)
    answer = connection.produce(topic, again)
    assert (answer["error"], answer["base_offset"], answer["log_append_time"]) == (Error.NONE, 0, -1)


def test_the_setting_counts_for_what_comes_then(make_broker, topic):
    """Of the topic, and of all brokers for topics that don't say it."""
    broker = make_broker()
    with Connection(broker.address) as connection:
        connection.create(topic)

        def kind():
            end = connection.list_offset(topic, -1)["offset"]
            assert connection.produce(topic, batch([b"a"]))["error"] == Error.NONE
            return split(connection.fetch(topic, end)["records"])[0].attributes

        assert kind() == 0
        for kind_of, name, key in [(TOPIC, topic, "message.timestamp.type"), (BROKER, "", "log.message.timestamp.type")]:
            assert alter(connection, resource(kind_of, name, (key, SET, "LogAppendTime"))) == [(Error.NONE, None)]
            assert described(connection, TOPIC, topic)["message.timestamp.type"]["value"] == "LogAppendTime"
            assert kind() == LOG_APPEND_TIME
            assert alter(connection, resource(kind_of, name, (key, DELETE, None))) == [(Error.NONE, None)]
            assert kind() == 0
    broker = make_broker({"log.message.timestamp.type": "LogAppendTime"})
    with Connection(broker.address) as connection:
        connection.create(topic)
        stamped(connection, topic, batch([b"a"]))


def test_clients_are_told(broker, topic):
    with Connection(broker.address) as connection:
        connection.create(topic, configs=APPEND_TIME)
    delivered = []
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.server})
    with meanwhile() as span:
        for number in range(3):
            producer.produce(topic, b"%d" % number, timestamp=1000, on_delivery=lambda error, message: delivered.append((error, message.timestamp())))
        assert producer.flush(30) == 0
    assert [error for error, _ in delivered] == [None] * 3
    assert all(kind == confluent_kafka.TIMESTAMP_LOG_APPEND_TIME and span[0] <= at <= span[1] for _, (kind, at) in delivered)

    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.server, "group.id": "g", "enable.auto.commit": False})
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    messages = [consumer.poll(30) for _ in range(3)]
    consumer.close()
    assert all(message.timestamp()[0] == confluent_kafka.TIMESTAMP_LOG_APPEND_TIME and span[0] <= message.timestamp()[1] <= span[1] for message in messages)

    with meanwhile() as later:
        sender = kafka.KafkaProducer(bootstrap_servers=broker.server, compression_type="gzip")
        sent = sender.send(topic, b"3", timestamp_ms=1000).get(30)
        sender.close()
    assert later[0] <= sent.timestamp <= later[1]
    reader = kafka.KafkaConsumer(bootstrap_servers=broker.server, auto_offset_reset="earliest", consumer_timeout_ms=30_000)
    one = kafka.TopicPartition(topic, 0)
    reader.assign([one])
    reader.seek(one, 0)
    records = [next(reader) for _ in range(4)]
    assert all(record.timestamp_type == 1 for record in records)
    assert [span[0] <= record.timestamp <= span[1] for record in records[:3]] == [True] * 3 and later[0] <= records[3].timestamp <= later[1]
    assert reader.offsets_for_times({one: records[3].timestamp})[one].timestamp == records[3].timestamp
    reader.close()
