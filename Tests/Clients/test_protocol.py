"""What no well-behaved client says, and what only a raw connection sees: framing, versions, order, refusals."""

import struct
import threading

import pytest

from batches import Batch, batch, old_message, split
from messages import API_VERSIONS, LIST_OFFSETS, METADATA, PRODUCE, SERVED, Error
from rawclient import Closed, Connection, produce_topics


def open_connection(broker):
    return Connection(broker.address)


@pytest.fixture
def bystander(broker):
    """Another client, who must not notice what happens to the connection under test."""
    with open_connection(broker) as other:
        answer = other.ask(API_VERSIONS, 3)
        yield other
        assert other.ask(API_VERSIONS, 3) == answer


# ApiVersions


@pytest.mark.parametrize("version", range(5))
def test_api_versions(connection, version):
    answer = connection.ask(API_VERSIONS, version)
    assert answer["error"] == 0
    ranges = {api["key"]: (api["min"], api["max"]) for api in answer["apis"]}
    assert len(ranges) == len(answer["apis"]), "an API is there twice"
    for key, (low, high) in SERVED.items():
        assert key in ranges, f"API {key} is not advertised"
        assert ranges[key][0] <= low and ranges[key][1] >= high, f"API {key}: {ranges[key]}, wanted {low}..{high}"
    assert ranges[0][0] == 0, "old librdkafka compresses only when Produce is advertised from 0"
    assert not {71, 72} & set(ranges), "telemetry would be called by default"


def test_api_versions_unsupported(connection):
    """The answer to a version that nobody knows has to be one that everybody reads: header v0, body v0."""
    connection.send(API_VERSIONS, 99)
    answer = connection.receive(read_as=0)
    assert answer["error"] == Error.UNSUPPORTED_VERSION
    assert [api["key"] for api in answer["apis"]] == [18]
    assert answer["apis"][0]["max"] >= 4
    assert connection.ask(API_VERSIONS, answer["apis"][0]["max"])["error"] == 0, "the connection is good afterwards"


# Frames that are not requests


def request_header(key, version):
    return struct.pack(">hhih", key, version, 7, -1)


def with_length(data):
    return struct.pack(">i", len(data)) + data


BAD_FRAMES = {
    "api key never assigned": with_length(request_header(1234, 0)),
    "api key not advertised": with_length(request_header(71, 0)),
    "negative api key": with_length(request_header(-1, 0)),
    "version too new": with_length(request_header(3, 99) + bytes(16)),
    "version too old": with_length(request_header(1, 0) + bytes(32)),
    "negative version": with_length(request_header(3, -1) + bytes(16)),
    "length of 2 GiB": struct.pack(">i", 0x7FFFFFFF) + bytes(64),
    "length 0": struct.pack(">i", 0),
    "negative length": struct.pack(">i", -5),
    "least length": struct.pack(">i", -0x80000000),
    "length below the header's": with_length(b"\0\0\0"),
    "http": b"GET / HTTP/1.1\r\nHost: hutong\r\n\r\n",
    "tls": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "body cut off": with_length(request_header(3, 4)),
    "array longer than the frame": with_length(request_header(3, 4) + struct.pack(">i", 0x7FFFFFFF)),
    "negative array length": with_length(request_header(0, 7) + struct.pack(">hhii", -1, 1, 1000, -7)),
    "client id longer than the frame": with_length(struct.pack(">hhih", 3, 4, 7, 30_000) + b"abc"),
    "endless varint": with_length(request_header(3, 9) + b"\xff" * 64),
    "varint of an enormous length": with_length(request_header(3, 9) + b"\0\xff\xff\xff\xff\x0f"),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frame_closes_its_connection(broker, bystander, name):
    """At once, from what was read so far: nobody may make the broker wait for, or make room for, two gigabytes."""
    with open_connection(broker) as connection:
        connection.send_bytes(BAD_FRAMES[name])
        connection.expect_close()


@pytest.mark.parametrize("ask", [
    lambda connection: connection.frame(METADATA, 12, topics=None), lambda connection: connection.frame(API_VERSIONS, 3),
    lambda connection: connection.frame(LIST_OFFSETS, 7, topics=[])])
def test_bytes_behind_a_request_are_ignored(connection, ask):
    """As Kafka's brokers do: librdkafka 2.16 sends three with Metadata for all topics, as confluent-kafka's list_topics() asks for it."""
    connection.send_bytes(with_length(ask(connection)[4:] + b"\1\0\0"))
    connection.receive()
    assert connection.ask(API_VERSIONS, 3)["error"] == 0


def test_good_answers_come_before_the_close(broker, bystander):
    """What was asked before the garbage was asked properly."""
    with open_connection(broker) as connection:
        connection.send_bytes(connection.frame(API_VERSIONS, 0) + BAD_FRAMES["negative length"])
        assert connection.receive()["error"] == 0
        connection.expect_close()


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 12, -1])
def test_half_a_frame_then_close(broker, bystander, cut):
    with open_connection(broker) as connection:
        connection.send_bytes(connection.frame(METADATA, 4, topics=None)[:cut])


def test_frame_in_single_bytes(connection):
    """TCP has no frames: a request may arrive a byte at a time."""
    for byte in connection.frame(API_VERSIONS, 3):
        connection.send_bytes(bytes([byte]))
    assert connection.receive()["error"] == 0


def test_half_a_produce_is_not_appended(broker, connection, topic):
    connection.create(topic)
    with open_connection(broker) as other:
        frame = other.frame(PRODUCE, 9, acks=-1, topics=produce_topics(topic, {0: batch([b"x" * 1000])}))
        other.send_bytes(frame[:-10])
    assert connection.list_offset(topic, -1)["offset"] == 0


def test_many_come_and_go(broker, bystander):
    """Connection slots are used again, and answers for those who left are dropped."""
    for _ in range(300):
        with open_connection(broker) as connection:
            connection.send(METADATA, 4, topics=None)


# Produce: what is refused


def corrupt(data, at=-1):
    data = bytearray(data)
    data[at] ^= 0x40
    return bytes(data)


def with_delta(data, delta):
    """Another last offset delta under a right checksum."""
    from batches import CRC_AT, CRC_FROM, crc32c

    data = bytearray(data)
    struct.pack_into(">i", data, 23, delta)
    struct.pack_into(">I", data, CRC_AT, crc32c(bytes(data[CRC_FROM:])))
    return bytes(data)


RECORD_REFUSALS = {
    "flipped bit in a value": (lambda: corrupt(batch([b"a" * 50])), {Error.CORRUPT_MESSAGE}),
    "flipped bit in the crc": (lambda: corrupt(batch([b"a" * 50]), 18), {Error.CORRUPT_MESSAGE}),
    "flipped bit in the attributes": (lambda: corrupt(batch([b"a" * 50]), 22), {Error.CORRUPT_MESSAGE}),
    "count too high": (lambda: batch([b"a", b"b"], count=3), {Error.INVALID_RECORD}),
    "count too low": (lambda: batch([b"a", b"b"], count=1), {Error.INVALID_RECORD}),
    "count zero": (lambda: batch([b"a"], count=0), {Error.INVALID_RECORD}),
    "count negative": (lambda: batch([b"a"], count=-1), {Error.INVALID_RECORD}),
    "delta not the count's": (lambda: with_delta(batch([b"a", b"b"]), 5), {Error.INVALID_RECORD}),
    "magic 1": (lambda: old_message(b"old", 1), {Error.INVALID_RECORD, Error.UNSUPPORTED_FOR_MESSAGE_FORMAT}),
    "magic 0": (lambda: old_message(b"old", 0), {Error.INVALID_RECORD, Error.UNSUPPORTED_FOR_MESSAGE_FORMAT}),
    "magic 3": (lambda: batch([b"a"], magic=3), {Error.INVALID_RECORD, Error.UNSUPPORTED_FOR_MESSAGE_FORMAT}),
    "batch cut off": (lambda: batch([b"a" * 50])[:-3], {Error.CORRUPT_MESSAGE, Error.INVALID_RECORD}),
    "less than a header": (lambda: batch([b"a"])[:30], {Error.CORRUPT_MESSAGE, Error.INVALID_RECORD}),
    "bytes behind the batch": (lambda: batch([b"a"]) + b"more", {Error.CORRUPT_MESSAGE, Error.INVALID_RECORD}),
    "no bytes": (lambda: b"", {Error.CORRUPT_MESSAGE, Error.INVALID_RECORD}),
    "too large": (lambda: batch([b"z" * 1_048_600]), {Error.MESSAGE_TOO_LARGE}),
    "too large compressed": (
        lambda: batch([bytes(range(256)) * 5000] * 2, codec="lz4")[:61] + bytes(1_100_000),
        {Error.MESSAGE_TOO_LARGE, Error.CORRUPT_MESSAGE}),
}


@pytest.mark.parametrize("name", RECORD_REFUSALS)
@pytest.mark.parametrize("version", [3, 9])
def test_produce_refuses(connection, topic, name, version):
    """Refused with its reason, nothing of it readable, and the connection and the partition as good as before."""
    make, errors = RECORD_REFUSALS[name]
    connection.create(topic)
    answer = connection.produce(topic, make(), version=version)
    assert answer["error"] in errors, answer
    assert connection.list_offset(topic, -1)["offset"] == 0
    assert connection.produce(topic, batch([b"good"]), version=version)["base_offset"] == 0
    assert [value for _, _, _, value, _ in split(connection.fetch(topic, 0)["records"])[0].records()] == [b"good"]


@pytest.mark.parametrize("acks", [1, -1])
def test_unknown_topic_or_partition(connection, topic, acks):
    assert connection.produce(topic, batch([b"a"]), acks=acks)["error"] == Error.UNKNOWN_TOPIC_OR_PARTITION
    connection.create(topic, 2)
    for partition in (2, -1, 0x7FFFFFFF):
        answer = connection.produce(topic, batch([b"a"]), partition, acks)
        assert answer["error"] == Error.UNKNOWN_TOPIC_OR_PARTITION, partition
    assert connection.fetch(topic, 0, partition=7)["error"] == Error.UNKNOWN_TOPIC_OR_PARTITION
    assert connection.list_offset(topic, -1, partition=7)["error"] == Error.UNKNOWN_TOPIC_OR_PARTITION


def test_bad_and_good_partitions_in_one_request(connection, topic):
    connection.create(topic, 3)
    answer = connection.ask(PRODUCE, 9, acks=-1, topics=produce_topics(topic, {
        0: batch([b"a"]), 1: corrupt(batch([b"b" * 50])), 9: batch([b"c"]), 2: batch([b"d"])}))
    errors = {part["index"]: part["error"] for part in answer["topics"][0]["partitions"]}
    assert errors == {0: 0, 1: Error.CORRUPT_MESSAGE, 9: Error.UNKNOWN_TOPIC_OR_PARTITION, 2: 0}


# Produce: what is accepted


@pytest.mark.parametrize("version", range(3, 12))
def test_produce_versions(connection, topic, version):
    connection.create(topic)
    answer = connection.produce(topic, batch([b"a", b"b"]), version=version)
    assert (answer["error"], answer["base_offset"]) == (0, 0)
    assert connection.produce(topic, batch([b"c"]), version=version)["base_offset"] == 2


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_batch_is_stored_as_it_came(connection, topic, codec):
    """But for base offset and leader epoch, which the checksum leaves out; the base offset sent means nothing."""
    connection.create(topic)
    connection.produce(topic, batch([b"before"]))
    sent = batch([b"a" * 300, None, b"", b"z"], codec=codec, base_offset=77)
    connection.produce(topic, sent)
    got = split(connection.fetch(topic, 1)["records"])[0]
    assert got.base_offset == 1 and got.crc_holds()
    assert got.data[8:12] == sent[8:12] and got.data[16:] == sent[16:]
    assert got.leader_epoch >= 0


def test_acks_0_has_no_answer(connection, topic):
    connection.create(topic)
    for index in range(10):
        connection.send(PRODUCE, 9, answered=False, acks=0, topics=produce_topics(topic, {0: batch([b"%d" % index])}))
    assert connection.produce(topic, batch([b"last"]))["base_offset"] == 10, "in order, and nothing answered before"


def test_pipelined_answers_keep_request_order(broker, topic):
    """500 requests in one go, of both qualities: each answer in its turn, each with its own offset."""
    with open_connection(broker) as connection:
        connection.create(topic)
        frames = [connection.frame(PRODUCE, 9, acks=1 if index % 3 else -1, topics=produce_topics(
            topic, {0: batch([b"value-%d" % index])})) for index in range(500)]
        sender = threading.Thread(target=connection.send_bytes, args=(b"".join(frames),))
        sender.start()
        for index in range(500):
            part = connection.receive()["topics"][0]["partitions"][0]
            assert (part["error"], part["base_offset"]) == (0, index)
        sender.join()


def test_pipelined_kinds_keep_request_order(connection, topic):
    """Quick answers wait for slow ones that were asked for before them; `receive` checks whose turn it is."""
    connection.create(topic)
    for index in range(50):
        connection.send(PRODUCE, 9, acks=-1, topics=produce_topics(topic, {0: batch([b"%d" % index])}))
        connection.send(API_VERSIONS, 3)
        connection.send(PRODUCE, 9, answered=False, acks=0, topics=produce_topics(topic, {0: batch([b"zero"])}))
        connection.send_fetch(topic, 0, max_wait_ms=0)
    while connection.waiting:
        connection.receive()
    # The last acks=0 batch has no answer to wait for; what is durable behind it says that it is, too.
    assert connection.produce(topic, batch([b"last"]))["base_offset"] == 100
    assert connection.list_offset(topic, -1)["offset"] == 101


def check_many_partitions(broker, topic):
    with open_connection(broker) as connection:
        connection.create(topic, 64)
        for acks in (1, -1):
            sent = {index: batch([b"p%d" % index]) for index in range(64)}
            answer = connection.ask(PRODUCE, 9, acks=acks, topics=produce_topics(topic, sent))
            parts = answer["topics"][0]["partitions"]
            assert sorted(part["index"] for part in parts) == list(range(64))
            assert {part["error"] for part in parts} == {0}
        for index in range(64):
            data = connection.fetch(topic, 0, partition=index)["records"]
            assert [next(b.records())[3] for b in split(data)] == [b"p%d" % index] * 2


def test_one_answer_for_many_partitions(broker, topic):
    check_many_partitions(broker, topic)


def test_one_answer_for_many_groups(broker_variant, topic):
    """A request that touches several partition groups counts down; its last part answers."""
    check_many_partitions(broker_variant, topic)


def test_leaving_before_the_answer_harms_nobody(broker, bystander, topic):
    bystander.create(topic)
    for _ in range(50):
        with open_connection(broker) as connection:
            connection.send(PRODUCE, 9, acks=-1, topics=produce_topics(topic, {0: batch([b"x"])}))
    assert bystander.produce(topic, batch([b"y"]))["error"] == 0


def test_unread_answers_do_not_stop_others(broker, bystander, topic):
    """A client that asks and never reads is held back itself, alone."""
    bystander.create(topic)
    bystander.produce(topic, batch([b"q" * 500_000]))
    with Connection(broker.address, timeout=1.0) as greedy:
        try:
            for _ in range(400):
                greedy.send_fetch(topic, 0)
        except (TimeoutError, Closed, ConnectionError):
            pass
        assert Batch(bystander.fetch(topic, 0)["records"]).count == 1
