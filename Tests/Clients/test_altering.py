"""Settings and partitions that are altered while the broker runs, as admin clients do it: validated, with effect, and there for good."""

import contextlib
import time

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource, NewPartitions
from kafka.admin import ConfigResource as KafkaPythonResource
from kafka.admin import ConfigResourceType, KafkaAdminClient
from kafka.admin import NewPartitions as KafkaPythonPartitions

from batches import batch
from broker import free_port
from messages import ALTER_CONFIGS, CREATE_PARTITIONS, DESCRIBE_CONFIGS, INCREMENTAL_ALTER_CONFIGS, Error
from rawclient import Connection
from test_cluster import await_leaders, create

TOPIC, BROKER = 2, 4
SET, DELETE, APPEND, SUBTRACT = range(4)
DYNAMIC_TOPIC, DYNAMIC_DEFAULT, STATIC, DEFAULT = 1, 3, 4, 5


@pytest.fixture
def connection(broker):
    with Connection(broker.address) as made:
        yield made


@pytest.fixture
def altered(connection, topic):
    connection.create(topic, 2)
    return topic


def resource(kind, name, *configs):
    return {"type": kind, "name": name, "configs": [
        {"name": config, "operation": operation, "value": value} for config, operation, value in configs]}


def alter(connection, *resources, validate_only=False, version=1):
    """The outcomes: an error's number and message each."""
    answer = connection.ask(INCREMENTAL_ALTER_CONFIGS, version, resources=list(resources), validate_only=validate_only)
    assert [(one["type"], one["name"]) for one in answer["responses"]] == [(one["type"], one["name"]) for one in resources]
    return [(one["error"], one["message"]) for one in answer["responses"]]


def described(connection, kind, name, version=4):
    """By name, value and source."""
    answer, = connection.ask(DESCRIBE_CONFIGS, version, resources=[{"type": kind, "name": name}], synonyms=True)["results"]
    assert answer["error"] == Error.NONE, answer
    return {one["name"]: one for one in answer["configs"]}


def send(connection, topic, size, partition=0):
    return connection.produce(topic, batch([b"x" * size]), partition)["error"]


@pytest.mark.parametrize("version", [0, 1])
def test_a_setting_has_effect_and_goes_back(connection, altered, version):
    assert send(connection, altered, 5000) == Error.NONE
    assert alter(connection, resource(TOPIC, altered, ("max.message.bytes", SET, "1000")), version=version) == [(Error.NONE, None)]
    one = described(connection, TOPIC, altered)["max.message.bytes"]
    assert (one["value"], one["source"]) == ("1000", DYNAMIC_TOPIC)
    assert [(each["value"], each["source"]) for each in one["synonyms"]] == [("1000", DYNAMIC_TOPIC), ("1048588", DEFAULT)]
    assert send(connection, altered, 5000) == Error.MESSAGE_TOO_LARGE
    assert alter(connection, resource(TOPIC, altered, ("max.message.bytes", DELETE, None)), version=version) == [(Error.NONE, None)]
    one = described(connection, TOPIC, altered)["max.message.bytes"]
    assert (one["value"], one["source"]) == ("1048588", DEFAULT)
    assert send(connection, altered, 5000) == Error.NONE


@pytest.mark.parametrize("configs, error", [
    ([("max.message.bytes", SET, "many")], Error.INVALID_CONFIG),
    ([("max.message.bytes", SET, None)], Error.INVALID_CONFIG),
    ([("retention.ms", SET, "-2")], Error.INVALID_CONFIG),
    ([("cleanup.policy", SET, "evaporate")], Error.INVALID_CONFIG),
    ([("min.insync.replicas", SET, "2")], Error.INVALID_CONFIG),
    ([("message.timestamp.type", SET, "Yesterday")], Error.INVALID_CONFIG),
    ([("unclean.leader.election.enable", SET, "true")], Error.INVALID_CONFIG),
    ([("no.such.setting", SET, "1")], Error.INVALID_CONFIG),
    ([("no.such.setting", DELETE, None)], Error.INVALID_CONFIG),
    ([("retention.ms", APPEND, "1")], Error.INVALID_CONFIG),
    ([("retention.ms", SET, "1"), ("retention.ms", SET, "2")], Error.INVALID_REQUEST),
    ([("retention.ms", 9, "1")], Error.INVALID_REQUEST),
])
def test_what_can_not_be_is_refused(connection, altered, configs, error):
    before = described(connection, TOPIC, altered)
    (found, message), = alter(connection, resource(TOPIC, altered, ("flush.ms", SET, "5"), *configs))
    assert found == error and message
    assert described(connection, TOPIC, altered) == before, "nothing of it is done"


def test_resources_are_altered_one_by_one(connection, altered):
    good, twice = resource(TOPIC, altered, ("retention.ms", SET, "77")), resource(BROKER, "", ("log.retention.ms", SET, "-1"))
    outcomes = alter(
        connection, good, resource(TOPIC, "nowhere", ("retention.ms", SET, "1")), twice, twice, resource(8, "0"), resource(BROKER, "0", ("qos.all", SET, "durable")))
    assert [error for error, _ in outcomes] == [
        Error.NONE, Error.UNKNOWN_TOPIC_OR_PARTITION, *[Error.INVALID_REQUEST] * 4]
    assert described(connection, TOPIC, altered)["retention.ms"]["value"] == "77"


def test_validating_alone_changes_nothing(connection, altered):
    before = described(connection, TOPIC, altered)
    assert alter(connection, resource(TOPIC, altered, ("retention.ms", SET, "9")), validate_only=True) == [(Error.NONE, None)]
    (error, _), = alter(connection, resource(TOPIC, altered, ("retention.ms", SET, "x")), validate_only=True)
    assert error == Error.INVALID_CONFIG
    assert described(connection, TOPIC, altered) == before


def test_a_list_gets_more_and_less(connection, altered):
    for step, policy, value in [(APPEND, "delete", "delete"), (APPEND, "compact", "delete,compact"), (SUBTRACT, "compact", "delete")]:
        assert alter(connection, resource(TOPIC, altered, ("cleanup.policy", step, policy))) == [(Error.NONE, None)]
        assert described(connection, TOPIC, altered)["cleanup.policy"]["value"] == value
    (error, message), = alter(connection, resource(TOPIC, altered, ("cleanup.policy", SUBTRACT, "delete")))
    assert error == Error.INVALID_CONFIG and "cleanup.policy" in message


@pytest.mark.parametrize("version", [0, 1, 2])
def test_all_settings_are_given_anew(connection, altered, version):
    """AlterConfigs: what it does not name goes back."""
    def give(**configs):
        wanted = [{"name": name.replace("_", "."), "value": value} for name, value in configs.items()]
        answer, = connection.ask(ALTER_CONFIGS, version, resources=[{"type": TOPIC, "name": altered, "configs": wanted}])["responses"]
        return answer["error"]

    assert give(retention_ms="5", flush_ms="6") == Error.NONE
    assert give(retention_ms="7", segment_bytes="100000") == Error.NONE
    given = {name: one["value"] for name, one in described(connection, TOPIC, altered).items() if one["source"] == DYNAMIC_TOPIC}
    assert given == {"retention.ms": "7", "segment.bytes": "100000"}
    assert give(retention_ms="no number") == Error.INVALID_CONFIG
    assert give() == Error.NONE
    assert all(one["source"] != DYNAMIC_TOPIC for one in described(connection, TOPIC, altered).values())


def test_what_kafka_has_and_has_no_meaning_here_says_so(connection, altered):
    configs = described(connection, TOPIC, altered)
    answer, = connection.ask(DESCRIBE_CONFIGS, 4, resources=[{"type": TOPIC, "name": altered}], documentation=True)["results"]
    documented = {one["name"]: one["documentation"] for one in answer["configs"]}
    for name, value in {"segment.ms": "604800000", "flush.messages": str(2 ** 63 - 1), "index.interval.bytes": "4096"}.items():
        assert configs[name]["value"] == value and documented[name].startswith("Without effect")
    assert all(documented.values())


def test_version_0_says_what_is_a_default(connection, altered):
    alter(connection, resource(TOPIC, altered, ("retention.ms", SET, "77")))
    defaults = {name: one["default"] for name, one in described(connection, TOPIC, altered, version=0).items()}
    assert not defaults.pop("retention.ms") and all(defaults.values())


def test_defaults_of_all_brokers(make_broker, topic):
    broker = make_broker({"message.max.bytes": 3000}, port=free_port())
    with Connection(broker.address) as connection:
        connection.create(topic, 1)
        connection.create("own", 1, configs={"max.message.bytes": "2000"})
        assert send(connection, topic, 5000) == Error.MESSAGE_TOO_LARGE
        assert alter(connection, resource(BROKER, "", ("message.max.bytes", SET, "9000"))) == [(Error.NONE, None)]
        assert send(connection, topic, 5000) == Error.NONE
        assert send(connection, "own", 5000) == Error.MESSAGE_TOO_LARGE
        (error, message), = alter(connection, resource(BROKER, "", ("journal.segment.bytes", SET, "9000")))
        assert error == Error.INVALID_CONFIG and "starts" in message
        (error, message), = alter(connection, resource(BROKER, "", ("message.max.bytes", SET, "-9")))
        assert error == Error.INVALID_CONFIG and "message.max.bytes" in message
    broker.kill()
    broker.start()
    with Connection(broker.address) as connection:
        assert send(connection, topic, 5000) == Error.NONE
        one = described(connection, BROKER, "0")["message.max.bytes"]
        assert (one["value"], one["source"], one["read_only"]) == ("9000", DYNAMIC_DEFAULT, False)
        sources = [DYNAMIC_DEFAULT, STATIC, DEFAULT]
        assert [each["source"] for each in one["synonyms"]] == sources
        assert [each["source"] for each in described(connection, TOPIC, topic)["max.message.bytes"]["synonyms"]] == sources
        assert {name: each["value"] for name, each in described(connection, BROKER, "").items()} == {"message.max.bytes": "9000"}
        assert alter(connection, resource(BROKER, "", ("message.max.bytes", DELETE, None))) == [(Error.NONE, None)]
        assert send(connection, topic, 5000) == Error.MESSAGE_TOO_LARGE
        assert described(connection, BROKER, "") == {}


def test_a_lone_broker_is_altered_by_its_number(make_broker, topic):
    """Clients can name one broker only; where it is alone, that is all brokers."""
    broker = make_broker({"broker.id": 5})
    with Connection(broker.address) as connection:
        connection.create(topic, 1)
        assert alter(connection, resource(BROKER, "5", ("message.max.bytes", SET, "3000"))) == [(Error.NONE, None)]
        assert send(connection, topic, 5000) == Error.MESSAGE_TOO_LARGE
        assert {name: one["value"] for name, one in described(connection, BROKER, "").items()} == {"message.max.bytes": "3000"}
        (error, message), = alter(connection, resource(BROKER, "7", ("message.max.bytes", SET, "3000")))
        assert error == Error.INVALID_REQUEST and "no broker 7" in message
        (error, message), = alter(connection, resource(BROKER, "5", ("num.io.threads", SET, "3")))
        assert error == Error.INVALID_CONFIG and "threads.layout" in message
        (error, message), = alter(connection, resource(BROKER, "5", ("min.insync.replicas", SET, "2")))
        assert error == Error.INVALID_CONFIG and "min.insync.replicas" in message
        both = alter(connection, *[resource(BROKER, name, ("message.max.bytes", SET, "4000")) for name in ("", "5")])
        assert [error for error, _ in both] == [Error.INVALID_REQUEST] * 2, "they are the same"
        assert alter(connection, resource(BROKER, "5", ("message.max.bytes", DELETE, None))) == [(Error.NONE, None)]
        assert send(connection, topic, 5000) == Error.NONE and described(connection, BROKER, "") == {}


def test_clients_alter_a_lone_broker(make_broker):
    broker = make_broker()
    with Connection(broker.address) as connection:
        wanted = ConfigResource(ConfigResource.Type.BROKER, "0", incremental_configs=[
            ConfigEntry("log.retention.ms", "5000", incremental_operation=AlterConfigOpType.SET)])
        confluent = AdminClient({"bootstrap.servers": broker.server})
        confluent.incremental_alter_configs([wanted])[wanted].result(10)
        assert described(connection, BROKER, "0")["log.retention.ms"]["value"] == "5000"
        admin = KafkaAdminClient(bootstrap_servers=broker.server)
        admin.alter_configs([KafkaPythonResource(ConfigResourceType.BROKER, "0", {"log.retention.ms": "6000"})])
        admin.close()
        assert described(connection, BROKER, "0")["log.retention.ms"]["value"] == "6000"


def test_kafkas_settings_without_meaning_say_so(connection):
    answer, = connection.ask(DESCRIBE_CONFIGS, 4, resources=[{"type": BROKER, "name": "0"}], documentation=True)["results"]
    one = {each["name"]: each for each in answer["configs"]}["num.network.threads"]
    assert one["documentation"].startswith("Without effect here. ") and one["read_only"] and one["value"] == "3"


def test_an_empty_list_asks_for_all(connection, altered):
    """As in Kafka."""
    for kind, name in [(TOPIC, altered), (BROKER, "0")]:
        answer, = connection.ask(DESCRIBE_CONFIGS, 4, resources=[{"type": kind, "name": name, "keys": []}])["results"]
        assert len(answer["configs"]) == len(described(connection, kind, name)) > 10


def test_loggers_are_refused_with_a_reason(connection):
    answer, = connection.ask(DESCRIBE_CONFIGS, 4, resources=[{"type": 8, "name": "0"}])["results"]
    assert answer["error"] == Error.INVALID_REQUEST and "log.level" in answer["message"]
    (error, message), = alter(connection, resource(8, "0", ("root", SET, "DEBUG")))
    assert error == Error.INVALID_REQUEST and "log.level" in message


@pytest.mark.parametrize("version", [0, 3])
def test_partitions_are_added(make_broker, topic, version):
    def add(connection, name, count, **more):
        answer, = connection.ask(CREATE_PARTITIONS, version, topics=[{"name": name, "count": count, **more}])["results"]
        return answer["error"]

    broker = make_broker({"partition.groups": 2}, port=free_port())
    with Connection(broker.address) as connection:
        connection.create(topic, 2)
        assert [send(connection, topic, 10, partition) for partition in (0, 1, 2)] == [0, 0, Error.UNKNOWN_TOPIC_OR_PARTITION]
        assert add(connection, topic, 5) == Error.NONE
        assert [send(connection, topic, 10, partition) for partition in range(5)] == [Error.NONE] * 5
        for count in (5, 3, 0, -1, 10_001):
            assert add(connection, topic, count) == Error.INVALID_PARTITIONS
        assert add(connection, "nowhere", 5) == Error.UNKNOWN_TOPIC_OR_PARTITION
        assert add(connection, topic, 7, assignments=[{"brokers": [0]}]) == Error.INVALID_REPLICA_ASSIGNMENT
        assert add(connection, topic, 6, assignments=[{"brokers": [3]}]) == Error.INVALID_REPLICA_ASSIGNMENT
        assert add(connection, topic, 6, assignments=[{"brokers": [0]}]) == Error.NONE
        answer = connection.ask(CREATE_PARTITIONS, version, topics=[{"name": topic, "count": 9}], validate_only=True)
        assert answer["results"][0]["error"] == Error.NONE
        twice = connection.ask(CREATE_PARTITIONS, version, topics=[{"name": topic, "count": 8}, {"name": topic, "count": 9}])
        assert [one["error"] for one in twice["results"]] == [Error.INVALID_REQUEST], "one answer, as in Kafka"
    broker.kill()
    broker.start()
    with Connection(broker.address) as connection:
        assert len(connection.metadata([topic])["topics"][0]["partitions"]) == 6
        assert [len(connection.fetch(topic, 0, partition)["records"] or b"") > 0 for partition in range(6)] == [True] * 5 + [False]
        assert connection.fetch(topic, 0, 0)["high_watermark"] == 2


def test_groups_partitions_stay_as_many(make_broker, topic):
    broker = make_broker({"offsets.topic.num.partitions": 3})
    admin = AdminClient({"bootstrap.servers": broker.server})
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.server, "group.id": "group"})
    with Connection(broker.address) as connection:
        connection.create(topic)
        consumer.commit(offsets=[confluent_kafka.TopicPartition(topic, 0, 5)], asynchronous=False)
        with pytest.raises(KafkaException):
            admin.create_partitions([NewPartitions("__consumer_offsets", 5)])["__consumer_offsets"].result(10)
        assert described(connection, TOPIC, "__consumer_offsets")["cleanup.policy"]["value"] == "compact"
        deleted = ("cleanup.policy", SET, "compact,delete"), ("retention.ms", SET, "1")
        (error, _), = alter(connection, resource(TOPIC, "__consumer_offsets", *deleted))
        assert error == Error.INVALID_CONFIG
    consumer.close()


def test_confluent_alters(broker, topic, connection):
    connection.create(topic, 1)
    admin = AdminClient({"bootstrap.servers": broker.server})

    def altering(*entries):
        wanted = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=list(entries))
        return admin.incremental_alter_configs([wanted])[wanted].result(10)

    def value(name):
        asked = ConfigResource(ConfigResource.Type.TOPIC, topic)
        return admin.describe_configs([asked])[asked].result(10)[name]

    altering(ConfigEntry("retention.ms", "5000", incremental_operation=AlterConfigOpType.SET))
    assert value("retention.ms").value == "5000" and value("retention.ms").source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    altering(ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE))
    assert value("retention.ms").value == "-1"
    with pytest.raises(KafkaException) as refused:
        altering(ConfigEntry("retention.ms", "soon", incremental_operation=AlterConfigOpType.SET))
    assert refused.value.args[0].code() == KafkaError.INVALID_CONFIG
    whole = ConfigResource(ConfigResource.Type.TOPIC, topic, set_config={"max.message.bytes": "5000"})
    admin.alter_configs([whole])[whole].result(10)
    assert value("max.message.bytes").value == "5000"
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(10)
    assert len(admin.list_topics(topic).topics[topic].partitions) == 3


def test_kafka_python_alters(broker, topic, connection):
    connection.create(topic, 1)
    admin = KafkaAdminClient(bootstrap_servers=broker.server)
    try:
        admin.alter_configs([KafkaPythonResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "5000"})])
        assert described(connection, TOPIC, topic)["retention.ms"]["value"] == "5000"
        admin.create_partitions({topic: KafkaPythonPartitions(4)})
        assert len(connection.metadata([topic])["topics"][0]["partitions"]) == 4
    finally:
        admin.close()


def test_brokers_of_a_cluster_know_of_it_all(cluster, topic):
    """What one broker is told, all do; also one that was away."""
    def everywhere(holds):
        deadline = time.monotonic() + 30
        while not all(holds(connection) for connection in connections):
            assert time.monotonic() < deadline, cluster.tail()
            time.sleep(0.05)

    create(cluster, topic, 2)
    with contextlib.ExitStack() as opened:
        connections = [opened.enter_context(Connection(cluster.brokers[number].address)) for number in cluster.ids]
        assert alter(connections[0], resource(TOPIC, topic, ("max.message.bytes", SET, "1000"))) == [(Error.NONE, None)]
        assert alter(connections[1], resource(BROKER, "", ("log.retention.ms", SET, "86400000"))) == [(Error.NONE, None)]
        everywhere(lambda one: described(one, TOPIC, topic)["max.message.bytes"]["value"] == "1000")
        everywhere(lambda one: described(one, TOPIC, topic)["retention.ms"]["value"] == "86400000")
        (error, message), = alter(connections[1], resource(BROKER, str(cluster.ids[1]), ("log.retention.ms", SET, "5")))
        assert error == Error.INVALID_REQUEST and "hutong cluster config" in message, "of one broker alone, it would count nowhere else"
        (error, message), = alter(connections[2], resource(TOPIC, topic, ("min.insync.replicas", SET, "4")))
        assert error == Error.INVALID_CONFIG and "4" in message
    victim = cluster.ids[-1]
    cluster.brokers[victim].kill()
    with Connection(cluster.brokers[cluster.ids[0]].address) as connection:
        answer, = connection.ask(CREATE_PARTITIONS, 3, topics=[{"name": topic, "count": 5}])["results"]
        assert answer["error"] == Error.NONE, answer
    await_leaders(cluster, topic, than=victim)
    producer = confluent_kafka.Producer({"bootstrap.servers": cluster.servers, "linger.ms": 1})
    for number in range(5):
        producer.produce(topic, b"%d" % number, partition=number)
    assert producer.flush(30) == 0
    cluster.brokers[victim].start()
    with Connection(cluster.brokers[victim].address) as connection:
        connections = [connection]
        everywhere(lambda one: len(one.metadata([topic])["topics"][0]["partitions"]) == 5)
        assert described(connection, TOPIC, topic)["max.message.bytes"]["value"] == "1000"
