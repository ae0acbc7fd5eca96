"""The settings of topics and brokers, as admin clients ask for them."""

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ConfigSource, NewTopic
from kafka.admin import KafkaAdminClient
from kafka.admin import ConfigResource as KafkaPythonResource
from kafka.admin import ConfigResourceType


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
    assert given.value == "-1" and given.source == ConfigSource.STATIC_BROKER_CONFIG.value and given.is_read_only


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
