"""The settings of topics and brokers, as admin clients ask for them."""

import shutil

import pytest
from batches import batch
from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AclOperation, AdminClient, ConfigResource, ConfigSource, NewTopic
from kafka.admin import KafkaAdminClient
from kafka.admin import ConfigResource as KafkaPythonResource
from kafka.admin import ConfigResourceType
from messages import (
    DELETE_RECORDS, DESCRIBE_CLUSTER, DESCRIBE_GROUPS, DESCRIBE_LOG_DIRS, DESCRIBE_PRODUCERS, METADATA, OFFSET_DELETE, Error)
from rawclient import Connection


@pytest.fixture
def admin(broker):
    return AdminClient({"bootstrap.servers": broker.server})


def describe(admin, kind, name):
    resource = ConfigResource(kind, name)
    return admin.describe_configs([resource])[resource].result(10)


def test_a_topic_tells_its_settings(admin, broker):
    admin.create_topics([NewTopic("described", 1, 1, config={"retention.bytes": "12345"})])["described"].result(10)
    configs = describe(admin, ConfigResource.Type.TOPIC, "described")
    given = configs["retention.bytes"]
    assert given.value == "12345" and given.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value and not given.is_default
    assert list(given.synonyms) == ["retention.bytes", "log.retention.bytes"]
    default = configs["max.message.bytes"]
    assert default.value == "1048588" and default.source == ConfigSource.DEFAULT_CONFIG.value and default.is_default
    assert configs["qos.all"].value == "durable" and configs["cleanup.policy"].value == "delete"


def test_a_broker_tells_what_is_in_force(admin, broker):
    configs = describe(admin, ConfigResource.Type.BROKER, "0")
    assert configs["io.backend"].value in ("io_uring", "epoll"), "not auto: what it has come to"
    assert configs["threads.layout"].value in ("single", "two", "group")
    assert configs["journal.segment.bytes"].value.isdigit(), "bytes, as clients read them"
    # The tests' brokers are told not to forget.
    given = configs["log.retention.ms"]
    assert given.value == "-1" and given.source == ConfigSource.STATIC_BROKER_CONFIG.value and not given.is_read_only
    assert configs["num.partitions"].is_read_only
    assert configs["advertised.listeners"].value.startswith(f"PLAINTEXT://{broker.host}:") and configs["listeners"].is_read_only


@pytest.mark.parametrize("kind, name", [("TOPIC", "nowhere"), ("GROUP", "g")])
def test_what_is_not_there_is_refused(admin, kind, name):
    with pytest.raises(KafkaException):
        describe(admin, ConfigResource.Type[kind], name)


def test_kafka_python_reads_them_too(broker):
    admin = KafkaAdminClient(bootstrap_servers=broker.server)
    try:
        asked = KafkaPythonResource(ConfigResourceType.BROKER, "0", {"broker.id": None, "num.partitions": None})
        answer = admin.describe_configs([asked], include_synonyms=True, config_filter="all")
        assert set(answer["broker"]["0"]) == {"broker.id", "num.partitions"}, "only what was asked for"
    finally:
        admin.close()


@pytest.mark.parametrize("version", [0, 1])
def test_the_cluster_is_described(broker, version):
    with Connection(broker.address) as connection:
        metadata = connection.metadata([])
        answer = connection.ask(DESCRIBE_CLUSTER, version)
        assert answer["error"] == Error.NONE and answer["cluster_id"] == metadata["cluster_id"] and answer["controller"] == metadata["controller_id"]
        assert [(each["id"], each["host"], each["port"]) for each in answer["brokers"]] == [
            (each["id"], each["host"], each["port"]) for each in metadata["brokers"]]
        if version >= 1:
            assert answer["endpoint_type"] == 1
            refused = connection.ask(DESCRIBE_CLUSTER, version, endpoint_type=2)
            assert refused["error"] == Error.MISMATCHED_ENDPOINT_TYPE and refused["brokers"] == [] and refused["message"]


def test_kafka_python_describes_the_cluster(broker):
    admin = KafkaAdminClient(bootstrap_servers=broker.server)
    try:
        answer = admin.describe_cluster()
        assert answer["cluster_id"] and len(answer["brokers"]) == 1, answer
        assert f"{answer['brokers'][0]['host']}:{answer['brokers'][0]['port']}" == broker.server
    finally:
        admin.close()


@pytest.mark.parametrize("version", [1, 4])
def test_what_partitions_take(broker, topic, version):
    def asked(topics):
        answer = connection.ask(DESCRIBE_LOG_DIRS, version, topics=topics)
        found, = answer["results"]
        assert found["error"] == Error.NONE and found["directory"] == str(broker.data)
        if version >= 4:
            total = shutil.disk_usage(broker.data).total
            assert found["total"] == total and 0 < found["usable"] <= total
        return {(one["name"], part["index"]): part["size"] for one in found["topics"] for part in one["partitions"]}

    with Connection(broker.address) as connection:
        connection.create(topic, 3)
        for _ in range(20):
            assert connection.produce(topic, batch([b"x" * 10_000]), 1)["error"] == Error.NONE
        sizes = asked([{"name": topic, "partitions": [0, 1, 1, 7]}, {"name": topic, "partitions": [0]}, {"name": "nowhere", "partitions": [0]}])
        assert set(sizes) == {(topic, 0), (topic, 1)}
        assert sizes[topic, 0] == 0 and 200_000 <= sizes[topic, 1] < 220_000
        assert {**sizes, (topic, 2): 0}.items() <= asked(None).items()
        assert asked([]) == {}


def test_kafka_python_asks_what_partitions_take(broker, topic):
    admin = KafkaAdminClient(bootstrap_servers=broker.server)
    try:
        with Connection(broker.address) as connection:
            connection.create(topic, 1)
        assert topic in str(admin.describe_log_dirs())
    finally:
        admin.close()


def test_producers_are_told_of(make_broker, topic):
    """By all groups that have partitions of what is asked for; in order, each once, with its last sequence number."""
    broker = make_broker({"partition.groups": 2})
    with Connection(broker.address) as connection:
        connection.create(topic, 4)
        for producer, partition, count in [(71, 0, 3), (72, 0, 1), (71, 1, 5), (73, 3, 2)]:
            for number in range(count):
                answer = connection.produce(topic, batch([b"a", b"b"], producer=(producer, 4, 2 * number), timestamps=[5000, 6000]), partition)
                assert answer["error"] == Error.NONE
        answer = connection.ask(DESCRIBE_PRODUCERS, 0, topics=[
            {"name": topic, "partitions": [0, 1, 2, 3, 9, 0]}, {"name": "nowhere", "partitions": [0]}])
        known, unknown = ([{one["index"]: one for one in found["partitions"][:5]} for found in answer["topics"]])
        assert {index: one["error"] for index, one in known.items()} == {0: 0, 1: 0, 2: 0, 3: 0, 9: Error.UNKNOWN_TOPIC_OR_PARTITION}
        assert answer["topics"][0]["partitions"][5]["error"] == Error.INVALID_REQUEST
        assert unknown[0]["error"] == Error.UNKNOWN_TOPIC_OR_PARTITION
        told = {index: [(one["id"], one["epoch"], one["last_sequence"]) for one in each["producers"]] for index, each in known.items()}
        assert told == {0: [(71, 4, 5), (72, 4, 1)], 1: [(71, 4, 9)], 2: [], 3: [(73, 4, 3)], 9: []}
        first = known[0]["producers"][0]
        assert (first["coordinator_epoch"], first["transaction_start"]) == (-1, -1) and first["last_timestamp"] > 0


# What a client may do, where it asks (KIP-430): without an authorizer all that Kafka knows for the kind of resource.

TOPIC_OPERATIONS = {3, 4, 5, 6, 7, 8, 10, 11}
CLUSTER_OPERATIONS = {5, 7, 8, 9, 10, 11, 12}
GROUP_OPERATIONS = {3, 6, 8, 10, 11}
NOT_ASKED = -2147483648


def bits(operations):
    return sum(1 << one for one in operations)


@pytest.mark.parametrize("version", range(8, 13))
def test_authorized_operations_of_topics(broker, topic, version):
    with Connection(broker.address) as connection:
        connection.create(topic)
        for asked in (False, True):
            answer = connection.ask(METADATA, version, topics=[{"name": topic}], topic_operations=asked, cluster_operations=asked)
            assert answer["topics"][0]["operations"] == (bits(TOPIC_OPERATIONS) if asked else NOT_ASKED)
            if version <= 10:
                assert answer["operations"] == (bits(CLUSTER_OPERATIONS) if asked else NOT_ASKED)


def test_authorized_operations_of_cluster_and_groups(make_broker, topic):
    broker = make_broker({"group.initial.rebalance.delay.ms": 0})
    with Connection(broker.address) as connection:
        connection.create(topic)
        consumer = Consumer({"bootstrap.servers": broker.server, "group.id": "g"})
        consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
        consumer.close()
        for asked in (False, True):
            answer = connection.ask(DESCRIBE_CLUSTER, 1, operations=asked)
            assert answer["operations"] == (bits(CLUSTER_OPERATIONS) if asked else NOT_ASKED)
            group, = connection.ask(DESCRIBE_GROUPS, 5, groups=["g"], operations=asked)["groups"]
            assert group["error"] == 0 and group["operations"] == (bits(GROUP_OPERATIONS) if asked else NOT_ASKED)
    admin = AdminClient({"bootstrap.servers": broker.server})

    def told(described):
        return {one.value for one in described.authorized_operations}

    assert told(admin.describe_cluster(include_authorized_operations=True).result(10)) == CLUSTER_OPERATIONS
    assert told(admin.describe_topics(TopicCollection([topic]), include_authorized_operations=True)[topic].result(10)) == TOPIC_OPERATIONS
    assert told(admin.describe_consumer_groups(["g"], include_authorized_operations=True)["g"].result(10)) == GROUP_OPERATIONS
    assert AclOperation.READ.value in GROUP_OPERATIONS


# Deleting


@pytest.mark.parametrize("timeout_ms", [0, 1])
def test_records_are_deleted_by_who_does_not_wait(broker, topic, timeout_ms):
    """What takes effect at once in Kafka is answered when it has done so, however short the time."""
    with Connection(broker.address) as connection:
        connection.create(topic, 2)
        for _ in range(5):
            assert connection.produce(topic, batch([b"x"]))["error"] == Error.NONE
        for offset in (2, 4, -1):
            answer = connection.ask(DELETE_RECORDS, 2, timeout_ms=timeout_ms, topics=[{"name": topic, "partitions": [{"index": 0, "offset": offset}]}])
            found, = answer["topics"][0]["partitions"]
            assert (found["error"], found["low_watermark"]) == (Error.NONE, offset if offset >= 0 else 5)
            assert connection.list_offset(topic, -2)["offset"] == found["low_watermark"]


def test_offsets_of_what_there_is_not_are_not_deleted(make_broker, topic):
    broker = make_broker()
    with Connection(broker.address) as connection:
        connection.create(topic)
        consumer = Consumer({"bootstrap.servers": broker.server, "group.id": "g"})
        consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
        consumer.close()
        answer = connection.ask(OFFSET_DELETE, 0, group="g", topics=[
            {"name": topic, "partitions": [{"index": 0}, {"index": 7}, {"index": -1}]}, {"name": "nowhere", "partitions": [{"index": 0}]}])
        assert answer["error"] == Error.NONE
        assert [[one["error"] for one in each["partitions"]] for each in answer["topics"]] == [
            [Error.NONE, *[Error.UNKNOWN_TOPIC_OR_PARTITION] * 2], [Error.UNKNOWN_TOPIC_OR_PARTITION]]
