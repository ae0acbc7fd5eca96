"""Fetch, ListOffsets, idempotence and topics over a raw connection: what the answers mean, not how they are framed."""

import time

import pytest

from batches import CODECS, batch, split
from messages import (
    CREATE_TOPICS, DELETE_TOPICS, FETCH, METADATA, PRODUCE, Error)
from rawclient import Connection, produce_topics
from records import generate

START = 1_700_000_000_000


# Fetch


def fetched_values(part):
    assert part["error"] == 0, part
    return [value for found in split(part["records"]) for _, _, _, value, _ in found.records()]


@pytest.mark.parametrize("version", range(4, 13))
def test_fetch_versions(connection, topic, version):
    connection.create(topic)
    connection.produce(topic, batch([b"a", b"b"]))
    part = connection.fetch(topic, 0, version=version)
    assert fetched_values(part) == [b"a", b"b"] and part["high_watermark"] == part["last_stable_offset"] == 2


def test_fetch_in_the_middle_of_a_batch(connection, topic):
    """The whole batch comes; the client skips what it did not ask for."""
    connection.create(topic)
    connection.produce(topic, batch([b"a"]))
    connection.produce(topic, batch([b"b", b"c", b"d"]))
    found = split(connection.fetch(topic, 2)["records"])
    assert [one.base_offset for one in found] == [1]


def test_fetch_out_of_range(connection, topic):
    connection.create(topic)
    connection.produce(topic, batch([b"a"]))
    for offset in (2, 1 << 40, -1, -7):
        start = time.monotonic()
        assert connection.fetch(topic, offset, max_wait_ms=5000)["error"] == Error.OFFSET_OUT_OF_RANGE, offset
        assert time.monotonic() - start < 2, "an error is not waited for"
    at_end = connection.fetch(topic, 1, max_wait_ms=0)
    assert at_end["error"] == 0 and not at_end["records"] and at_end["high_watermark"] == 1


def test_fetch_waits_when_there_is_nothing(connection, topic):
    connection.create(topic)
    start = time.monotonic()
    part = connection.fetch(topic, 0, max_wait_ms=700)
    waited = time.monotonic() - start
    assert part["error"] == 0 and not part["records"]
    assert 0.6 < waited < 2.5, f"waited {waited:.2f} s, asked for 0.7"


@pytest.mark.parametrize("acks", [-1, 1, 0])
def test_fetch_is_woken_by_a_produce(broker, connection, topic, acks):
    """By the commit and not by a timer: many rounds, each far below what it may wait."""
    connection.create(topic)
    with Connection(broker.address) as waiting:
        for offset in range(20):
            waiting.send_fetch(topic, offset, max_wait_ms=15_000)
            time.sleep(0.02)
            start = time.monotonic()
            data = produce_topics(topic, {0: batch([b"wake"])})
            connection.send(PRODUCE, 9, answered=acks != 0, acks=acks, topics=data)
            part = waiting.receive()["topics"][0]["partitions"][0]
            took = time.monotonic() - start
            assert took < 2.0, f"woken after {took:.2f} s"
            assert fetched_values(part) == [b"wake"]
            if acks:
                connection.receive()


def test_min_bytes(broker, connection, topic):
    """Too little keeps waiting, until it is enough together, over all partitions of the request."""
    connection.create(topic, 2)
    one = batch([b"m" * 1000])
    with Connection(broker.address) as waiting:
        waiting.send(FETCH, 12, max_wait_ms=15_000, min_bytes=2 * len(one), topics=[{"name": topic, "partitions": [
            {"index": 0, "offset": 0}, {"index": 1, "offset": 0}]}])
        connection.produce(topic, one, 0)
        waiting.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            waiting.socket.recv(1)
        waiting.socket.settimeout(5)
        connection.produce(topic, one, 1)
        parts = waiting.receive()["topics"][0]["partitions"]
        assert [len(fetched_values(part)) for part in sorted(parts, key=lambda part: part["index"])] == [1, 1]
    start = time.monotonic()
    part = connection.fetch(topic, 0, max_wait_ms=500, min_bytes=1 << 20)
    assert fetched_values(part) and time.monotonic() - start > 0.4, "what there is comes when the time is up"


def test_max_bytes_brings_one_whole_batch(connection, topic):
    """A limit below the first batch's size must not stop a consumer for ever; above it, it holds."""
    connection.create(topic)
    sent = [batch([b"%d" % index * 5000]) for index in range(6)]
    for one in sent:
        connection.produce(topic, one)
    for limits in ({"partition_max_bytes": 1}, {"max_bytes": 1}):
        part = connection.fetch(topic, 0, **limits)
        assert [found.base_offset for found in split(part["records"])][:1] == [0], limits
        assert len(part["records"]) <= len(sent[0]), limits
    part = connection.fetch(topic, 0, partition_max_bytes=len(sent[0]) * 3 + 100)
    assert [found.base_offset for found in split(part["records"])] == [0, 1, 2]


def test_max_bytes_over_partitions(connection, topic):
    connection.create(topic, 4)
    one = batch([b"x" * 5000])
    for partition in range(4):
        connection.produce(topic, one, partition)
    answer = connection.ask(FETCH, 12, max_wait_ms=100, min_bytes=1, max_bytes=len(one) * 2 + 100, topics=[
        {"name": topic, "partitions": [{"index": index, "offset": 0} for index in range(4)]}])
    sizes = [len(part["records"] or b"") for part in answer["topics"][0]["partitions"]]
    assert len(sizes) == 4 and len(one) <= sum(sizes) <= 2 * len(one) + 100, sizes


def test_fetch_cold(make_broker, topic):
    """100 MB through a cache of 32 MB: the start has long left it, and comes from the disk."""
    broker = make_broker({"journal.segment.bytes": 8 << 20, "journal.cache.segments": 4})
    total, piece = 100 << 20, 500_000
    values = [record.value for _, record in generate(7, 1000) if record.value and len(record.value) > 100_000]
    sent = [batch([(b"%06d" % index + values[0])[:piece]]) for index in range(4)]
    count = total // piece
    with Connection(broker.address) as connection:
        connection.create(topic)
        for index in range(count):
            connection.send(PRODUCE, 9, acks=-1, topics=produce_topics(topic, {0: sent[index % 4]}))
            if len(connection.waiting) > 8:
                connection.receive()
        while connection.waiting:
            assert connection.receive()["topics"][0]["partitions"][0]["error"] == 0
        check_cold_read(connection, topic, sent, count)
    broker.restart(crash=True)
    with Connection(broker.address) as connection:
        check_cold_read(connection, topic, sent, count)


def check_cold_read(connection, topic, sent, count):
    offset = 0
    while offset < count:
        found = split(connection.fetch(topic, offset, partition_max_bytes=4 << 20)["records"])
        assert found and found[0].base_offset == offset, f"nothing at {offset}"
        for one in found:
            wanted = sent[one.base_offset % 4]
            assert one.data[16:] == wanted[16:], f"offset {one.base_offset} is not what was produced"
        offset = found[-1].next_offset


# ListOffsets


@pytest.mark.parametrize("version", range(1, 8))
def test_list_offsets_ends(connection, topic, version):
    connection.create(topic)
    assert connection.list_offset(topic, -2, version=version)["offset"] == 0
    assert connection.list_offset(topic, -1, version=version)["offset"] == 0
    connection.produce(topic, batch([b"a", b"b", b"c"]))
    assert connection.list_offset(topic, -2, version=version)["offset"] == 0
    assert connection.list_offset(topic, -1, version=version)["offset"] == 3


@pytest.mark.parametrize("codec", CODECS)
def test_list_offsets_by_timestamp(connection, topic, codec):
    """The first record that is not older, exactly, inside a batch, also when it has to be unpacked for that."""
    connection.create(topic)
    for first in (0, 100, 200):
        connection.produce(topic, batch([b"v"] * 10, codec=codec, timestamps=[START + first + 5 * i for i in range(10)]))
    for ask, offset, found in ((0, 0, 0), (1, 1, 5), (5, 1, 5), (45, 9, 45), (46, 10, 100), (111, 13, 115), (245, 29, 245)):
        answer = connection.list_offset(topic, START + ask)
        assert (answer["error"], answer["offset"], answer["timestamp"]) == (0, offset, START + found), ask
    answer = connection.list_offset(topic, START + 246)
    assert (answer["error"], answer["offset"], answer["timestamp"]) == (0, -1, -1)


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_list_offsets_max_timestamp(connection, topic, codec):
    """The newest record is neither the last batch's nor its batch's first or last."""
    connection.create(topic)
    assert connection.list_offset(topic, -3)["offset"] == -1
    connection.produce(topic, batch([b"a"] * 4, codec=codec, timestamps=[START, START + 5, START + 900, START + 7]))
    connection.produce(topic, batch([b"b"] * 3, codec=codec, timestamps=[START + 50, START + 51, START + 52]))
    answer = connection.list_offset(topic, -3)
    assert (answer["offset"], answer["timestamp"]) == (2, START + 900)


def test_list_offsets_unordered_timestamps(connection, topic):
    """Timestamps are the producers' and need not rise; the answer is the first in offset order that is not older."""
    connection.create(topic)
    connection.produce(topic, batch([b"a"] * 3, timestamps=[START + 50, START + 10, START + 70]))
    connection.produce(topic, batch([b"b"] * 2, timestamps=[START + 20, START + 90]))
    for ask, offset in ((0, 0), (20, 0), (51, 2), (71, 4)):
        assert connection.list_offset(topic, START + ask)["offset"] == offset, ask


# Idempotence


def idempotent(connection, topic, producer, sequence, count=1, value=b"v"):
    data = batch([b"%s-%d" % (value, sequence + index) for index in range(count)], producer=(*producer, sequence))
    answer = connection.produce(topic, data)
    return answer["error"], answer["base_offset"]


@pytest.mark.parametrize("version", range(5))
def test_producer_ids_are_fresh(connection, version):
    ids = [connection.producer_id(version) for _ in range(20)]
    assert len({one for one, _ in ids}) == 20 and all(one >= 0 and epoch == 0 for one, epoch in ids)


def test_duplicates_get_the_first_answer(connection, topic):
    """Up to five batches back, without an error, and nothing is appended."""
    connection.create(topic)
    producer = connection.producer_id()
    for index in range(7):
        assert idempotent(connection, topic, producer, index * 3, 3) == (0, index * 3)
    for index in range(2, 7):
        assert idempotent(connection, topic, producer, index * 3, 3) == (0, index * 3), f"batch {index} again"
    assert connection.list_offset(topic, -1)["offset"] == 21
    assert idempotent(connection, topic, producer, 21) == (0, 21)


def test_pipelined_duplicates(connection, topic):
    """The retry comes while the original is still on its way to the disk."""
    connection.create(topic)
    producer = connection.producer_id()
    for sequence in (0, 0, 1, 1, 0, 2, 2):
        connection.send(PRODUCE, 9, acks=-1, topics=produce_topics(
            topic, {0: batch([b"p"], producer=(*producer, sequence))}))
    offsets = []
    while connection.waiting:
        part = connection.receive()["topics"][0]["partitions"][0]
        assert part["error"] == 0
        offsets.append(part["base_offset"])
    assert offsets == [0, 0, 1, 1, 0, 2, 2]


def test_sequence_gap(connection, topic):
    connection.create(topic)
    producer = connection.producer_id()
    assert idempotent(connection, topic, producer, 0, 2) == (0, 0)
    assert idempotent(connection, topic, producer, 3)[0] == Error.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert idempotent(connection, topic, producer, 2) == (0, 2), "a refused batch moved the sequence"
    assert connection.list_offset(topic, -1)["offset"] == 3


def test_sequence_wraps_around(connection, topic):
    """After the largest sequence number comes 0. A new producer may begin anywhere, as after retention in Kafka."""
    connection.create(topic)
    producer = connection.producer_id()
    first = idempotent(connection, topic, producer, 0x7FFFFFFE, 2)
    if first[0] == Error.OUT_OF_ORDER_SEQUENCE_NUMBER:
        pytest.skip("this broker wants a new producer to begin at 0, so that the wrap can't be reached from outside")
    assert first == (0, 0)
    assert idempotent(connection, topic, producer, 0) == (0, 2)


def test_producer_epochs(connection, topic):
    """A higher epoch begins again at 0 and fences the lower one."""
    connection.create(topic)
    producer, epoch = connection.producer_id()
    assert idempotent(connection, topic, (producer, epoch), 0, 3) == (0, 0)
    assert idempotent(connection, topic, (producer, epoch + 1), 5)[0] == Error.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert idempotent(connection, topic, (producer, epoch + 1), 0) == (0, 3)
    assert idempotent(connection, topic, (producer, epoch), 3)[0] == Error.INVALID_PRODUCER_EPOCH
    assert connection.list_offset(topic, -1)["offset"] == 4


def test_producers_and_partitions_are_separate(connection, topic):
    connection.create(topic, 2)
    one, two = connection.producer_id(), connection.producer_id()
    for partition in (0, 1):
        for producer in (one, two):
            answer = connection.produce(topic, batch([b"x"], producer=(*producer, 0)), partition)
            assert answer["error"] == 0
    assert connection.list_offset(topic, -1, partition=1)["offset"] == 2


@pytest.mark.parametrize("crash", [True, False], ids=["kill", "stop"])
def test_idempotence_survives_a_restart(make_broker, topic, crash):
    """Sequence state is part of the journal: what was a duplicate or a gap before is one afterwards; ids are not reused."""
    broker = make_broker()
    with Connection(broker.address) as connection:
        connection.create(topic)
        producer = connection.producer_id()
        for index in range(6):
            assert idempotent(connection, topic, producer, index * 2, 2) == (0, index * 2)
        assert idempotent(connection, topic, (producer[0] + 1000, 3), 0) == (0, 12)
    broker.restart(crash)
    with Connection(broker.address) as connection:
        for index in range(1, 6):
            assert idempotent(connection, topic, producer, index * 2, 2) == (0, index * 2), f"batch {index} again"
        # Soon after a start what comes before it may have been on its way.
        assert idempotent(connection, topic, producer, 14)[0] == Error.NOT_LEADER_OR_FOLLOWER
        assert idempotent(connection, topic, producer, 12) == (0, 13)
        assert idempotent(connection, topic, (producer[0] + 1000, 2), 1)[0] == Error.INVALID_PRODUCER_EPOCH
        assert connection.producer_id()[0] > producer[0]


# Topics


def create_error(connection, topic, version=7, **options):
    validate_only = options.pop("validate_only", False)
    answer = connection.ask(CREATE_TOPICS, version, validate_only=validate_only, topics=[{"name": topic, **options}])
    assert len(answer["topics"]) == 1 and answer["topics"][0]["name"] == topic
    return answer["topics"][0]["error"]


def exists(connection, topic):
    error = connection.metadata([topic])["topics"][0]["error"]
    assert error in (0, Error.UNKNOWN_TOPIC_OR_PARTITION)
    return error == 0


@pytest.mark.parametrize("version", range(2, 8))
def test_create_and_delete(connection, topic, version):
    assert create_error(connection, topic, version, partitions=3) == 0
    found = connection.metadata([topic])["topics"][0]
    assert sorted(part["index"] for part in found["partitions"]) == [0, 1, 2]
    assert create_error(connection, topic, version, partitions=3) == Error.TOPIC_ALREADY_EXISTS
    delete_version = version - 1
    names = {"topics": [{"name": topic}]} if delete_version == 6 else {"names": [topic]}
    for error in (0, Error.UNKNOWN_TOPIC_OR_PARTITION):
        assert connection.ask(DELETE_TOPICS, delete_version, **names)["topics"][0]["error"] == error
    assert not exists(connection, topic)
    assert connection.produce(topic, batch([b"a"]))["error"] == Error.UNKNOWN_TOPIC_OR_PARTITION


def test_deleted_topic_comes_back_empty(connection, topic):
    for value in (b"first", b"second"):
        connection.create(topic)
        assert connection.produce(topic, batch([value]))["base_offset"] == 0
        assert fetched_values(connection.fetch(topic, 0)) == [value]
        connection.ask(DELETE_TOPICS, 6, topics=[{"name": topic}])


CREATE_REFUSALS = {
    "no partitions": ({"partitions": 0}, Error.INVALID_PARTITIONS),
    "negative partitions": ({"partitions": -2}, Error.INVALID_PARTITIONS),
    "three replicas": ({"replication": 3}, Error.INVALID_REPLICATION_FACTOR),
    "no replicas": ({"replication": 0}, Error.INVALID_REPLICATION_FACTOR),
    "unknown config": ({"configs": [{"name": "no.such.config", "value": "1"}]}, Error.INVALID_CONFIG),
}


@pytest.mark.parametrize("name", CREATE_REFUSALS)
@pytest.mark.parametrize("validate_only", [False, True])
def test_create_refuses(connection, topic, name, validate_only):
    options, error = CREATE_REFUSALS[name]
    assert create_error(connection, topic, validate_only=validate_only, **options) == error
    assert not exists(connection, topic)


def test_a_topic_that_is_named_twice_is_not_made(connection, topic):
    """One answer, as in Kafka; the others are made."""
    answer = connection.ask(CREATE_TOPICS, 7, topics=[{"name": topic}, {"name": topic + "-other"}, {"name": topic, "partitions": 3}, {"name": topic}])
    assert sorted((one["name"], one["error"]) for one in answer["topics"]) == [(topic, Error.INVALID_REQUEST), (topic + "-other", Error.NONE)]
    assert not exists(connection, topic) and exists(connection, topic + "-other")


@pytest.mark.parametrize("version", [5, 6])
def test_a_topic_that_is_named_twice_is_not_deleted(connection, topic, version):
    def asked(*names):
        return {"topics": [{"name": name} for name in names]} if version == 6 else {"names": list(names)}

    connection.create(topic)
    connection.create(topic + "-other")
    answer = connection.ask(DELETE_TOPICS, version, **asked(topic, topic + "-other", topic, "nowhere", "nowhere"))
    assert sorted((one["name"], one["error"]) for one in answer["topics"]) == [
        ("nowhere", Error.INVALID_REQUEST), (topic, Error.INVALID_REQUEST), (topic + "-other", Error.NONE)]
    assert exists(connection, topic) and not exists(connection, topic + "-other")


def test_a_topic_is_deleted_by_name_or_by_id(connection, topic):
    connection.create(topic)
    identity = connection.metadata([topic])["topics"][0]["id"]
    wrong = [{"name": topic, "id": identity}, {"name": None, "id": bytes(16)}]
    answer = connection.ask(DELETE_TOPICS, 6, topics=wrong)
    assert [one["error"] for one in answer["topics"]] == [Error.INVALID_REQUEST] * 2 and all(one["message"] for one in answer["topics"])
    answer = connection.ask(DELETE_TOPICS, 6, topics=[{"name": topic, "id": bytes(16)}, {"name": None, "id": identity}])
    assert [one["error"] for one in answer["topics"]] == [Error.INVALID_REQUEST] and exists(connection, topic)
    answer = connection.ask(DELETE_TOPICS, 6, topics=[{"name": None, "id": identity}, {"name": None, "id": b"x" * 16}])
    assert [(one["name"], one["error"]) for one in answer["topics"]] == [(topic, Error.NONE), (None, Error.UNKNOWN_TOPIC_ID)]


def test_assignments_say_how_many_partitions(connection, topic):
    assignments = [{"index": number, "brokers": [0]} for number in range(2)]
    for wrong in ({"partitions": 2, "replication": -1}, {"partitions": -1, "replication": 1}):
        assert create_error(connection, topic, assignments=assignments, **wrong) == Error.INVALID_REQUEST
        assert not exists(connection, topic)
    assert create_error(connection, topic, assignments=assignments, partitions=-1, replication=-1) == Error.NONE
    assert len(connection.metadata([topic])["topics"][0]["partitions"]) == 2


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "胡同", "a" * 250, "a\0b"])
def test_invalid_names(connection, name):
    assert create_error(connection, name) == Error.INVALID_TOPIC
    answer = connection.metadata([name], auto_create=True)["topics"]
    assert [topic["error"] for topic in answer] == [Error.INVALID_TOPIC]


def test_validate_only_creates_nothing(connection, topic):
    assert create_error(connection, topic, validate_only=True) == 0
    assert not exists(connection, topic)


def test_default_partitions(broker, connection, topic):
    """-1 is the broker's own number (CreateTopics 4 and later); so is automatic creation's."""
    assert create_error(connection, topic, partitions=-1, replication=-1) == 0
    wanted = broker.settings["num.partitions"]
    assert len(connection.metadata([topic])["topics"][0]["partitions"]) == wanted


@pytest.mark.parametrize("version", [0, 3, 4, 8, 9, 10, 12])
def test_auto_creation(broker, connection, topic, version):
    """Metadata makes the topic, at once or by the time that it is asked for again; before version 4 it can't be told not to."""
    for _ in range(100):
        found = connection.metadata([topic], version, auto_create=True)["topics"][0]
        if found["error"] == 0:
            break
        assert found["error"] in (Error.UNKNOWN_TOPIC_OR_PARTITION, 5), found
        time.sleep(0.05)
    assert len(found["partitions"]) == broker.settings["num.partitions"]
    assert connection.produce(topic, batch([b"a"]), 11)["error"] == 0


@pytest.mark.parametrize("version", [4, 9, 12])
def test_auto_creation_declined(connection, topic, version):
    for _ in range(3):
        answer = connection.metadata([topic], version, auto_create=False)
        assert answer["topics"][0]["error"] == Error.UNKNOWN_TOPIC_OR_PARTITION
    assert topic not in [one["name"] for one in connection.metadata(None)["topics"]]


@pytest.mark.parametrize("version", range(13))
def test_metadata_versions(broker, connection, topic, version):
    connection.create(topic, 2)
    wanted = None if version else ()
    answer = connection.ask(METADATA, version, topics=wanted)
    assert [(one["host"], one["port"]) for one in answer["brokers"]] == [broker.address]
    found = {one["name"]: one for one in answer["topics"]}[topic]
    leader = answer["brokers"][0]["id"]
    assert all(part["leader"] == leader and part["isr"] == part["replicas"] == [leader] for part in found["partitions"])
    if version:
        assert answer["controller_id"] == leader
        assert connection.ask(METADATA, version, topics=())["topics"] == [], "an empty list is none"


def test_topics_survive_a_restart(make_broker, topic):
    broker = make_broker()
    with Connection(broker.address) as connection:
        connection.create(topic, 5)
        connection.create(topic + "-deleted", 1)
        connection.ask(DELETE_TOPICS, 6, topics=[{"name": topic + "-deleted"}])
        before = {one["name"]: one for one in connection.metadata(None)["topics"]}
    for crash in (True, False):
        broker.restart(crash)
        with Connection(broker.address) as connection:
            after = {one["name"]: one for one in connection.metadata(None)["topics"]}
            assert set(after) == {topic} and after[topic]["id"] == before[topic]["id"]
            assert len(after[topic]["partitions"]) == 5


@pytest.mark.parametrize("version", range(13, 18))
def test_fetch_by_id(connection, topic, version):
    """From version 13 on topics have no names."""
    connection.create(topic, 2)
    known = connection.metadata([topic])["topics"][0]["id"]
    assert connection.produce(topic, batch([b"one", b"two"]), 1)["error"] == Error.NONE

    def fetch(*wanted):
        answer = connection.ask(FETCH, version, max_wait_ms=2000, min_bytes=1, topics=[
            {"id": asked, "partitions": [{"index": index, "offset": 0} for index in indexes]} for asked, indexes in wanted])
        assert answer["error"] == Error.NONE
        return [(one["id"], [(part["index"], part["error"], part["high_watermark"]) for part in one["partitions"]]) for one in answer["topics"]], answer

    found, answer = fetch((known, [1]))
    assert found == [(known, [(1, Error.NONE, 2)])]
    assert fetched_values(answer["topics"][0]["partitions"][0]) == [b"one", b"two"]
    other = bytes(15) + b"\x09"
    found, _ = fetch((known, [0, 7]), (other, [0]), (bytes(16), [0]))
    assert found == [
        (known, [(0, Error.NONE, 0), (7, Error.UNKNOWN_TOPIC_OR_PARTITION, -1)]), (other, [(0, Error.UNKNOWN_TOPIC_ID, -1)]),
        (bytes(16), [(0, Error.UNKNOWN_TOPIC_ID, -1)])]


def test_the_earliest_on_this_disk(connection, topic):
    connection.create(topic)
    for _ in range(3):
        connection.produce(topic, batch([b"one"]))
    found = connection.list_offset(topic, -4, version=8)
    assert (found["error"], found["offset"]) == (Error.NONE, 0)
