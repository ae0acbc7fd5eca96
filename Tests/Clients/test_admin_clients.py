"""What the admin clients of confluent-kafka and kafka-python can ask for of topics, partitions, settings and groups, call by call; those for transactions, ACLs, SCRAM, quotas and
KRaft are not served yet. Moving and electing on several brokers: test_spreading.py."""

import contextlib
import json
import subprocess

import confluent_kafka
import kafka
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, ElectionType, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType)
from kafka.admin import ConfigResource as PythonResource
from kafka.admin import ConfigResourceType, KafkaAdminClient, MemberToRemove
from kafka.admin import OffsetSpec as PythonSpec
from kafka.errors import GroupSubscribedToTopicError, NoError, UnknownMemberIdError
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as PythonPartition

from test_groups import PARTITIONS, PATIENCE, SETTINGS, await_that, produce

COUNT = 40


@pytest.fixture
def own(make_broker):
    return make_broker(SETTINGS)


@contextlib.contextmanager
def member(broker, topic, group, count):
    """A consumer that has read and committed so many records, and is a member of its group meanwhile."""
    consumer = kafka.KafkaConsumer(topic, bootstrap_servers=broker.server, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        found = 0

        def read():
            nonlocal found
            found += sum(len(records) for records in consumer.poll(timeout_ms=200).values())
            return found >= count  # more where it joined again in between, when the new partition was noticed

        await_that(read)
        consumer.commit()
        yield consumer
    finally:
        consumer.close(autocommit=False)


def test_kafka_python(own, topic):
    admin = KafkaAdminClient(bootstrap_servers=own.server)
    first = PythonPartition(topic, 0)
    described, = admin.describe_cluster()["brokers"]
    assert f"{described['host']}:{described['port']}" == own.server and str(admin.get_broker_version_data(0)) and admin.api_versions()
    created, = admin.create_topics({topic: {"num_partitions": PARTITIONS, "replication_factor": 1}})["topics"]
    admin.wait_for_topics([topic])
    assert admin.list_topics() == [topic]
    found, = admin.describe_topics([topic])
    assert len(found["partitions"]) == PARTITIONS and found["topic_id"] == created["topic_id"]
    produce(own, topic, range(COUNT))
    admin.create_partitions({topic: PARTITIONS + 1})
    assert len(admin.describe_topics([topic])[0]["partitions"]) == PARTITIONS + 1

    assert admin.list_partition_offsets({first: PythonSpec.LATEST})[first].offset == COUNT // PARTITIONS
    assert admin.delete_records({first: 3})[first]["low_watermark"] == 3
    assert admin.list_partition_offsets({first: PythonSpec.EARLIEST})[first].offset == 3
    producer, = admin.describe_producers([first])[first].active_producers
    assert producer.last_sequence == COUNT // PARTITIONS - 1
    assert topic in json.dumps(admin.describe_log_dirs())

    def setting():
        return admin.describe_configs([PythonResource(ConfigResourceType.TOPIC, topic)])["topic"][topic].get("retention.ms", {}).get("value")

    def resource(value):
        return PythonResource(ConfigResourceType.TOPIC, topic, {"retention.ms": value})

    assert setting() is None
    for incremental, value in [(True, "100000"), (False, "200000")]:
        assert admin.alter_configs([resource(value)], incremental=incremental)["topic"][topic] == "OK" and setting() == value
    assert admin.reset_configs([resource(None)])["topic"][topic] == "OK" and setting() is None
    elected, = admin.elect_leaders(0, {topic: [0]}).replica_election_results
    assert elected.partition_result[0].error_message == "broker 0 leads already"

    with member(own, topic, "g", COUNT - 3) as consumer:
        assert [(one["group_id"], one["group_state"]) for one in admin.list_groups()] == [("g", "Stable")]
        mine, = admin.describe_groups(["g"])["g"]["members"]
        assert mine["member_assignment"]["assigned_partitions"] == [{"topic": topic, "partitions": list(range(PARTITIONS + 1))}]
        assert admin.list_group_offsets("g")["g"][first].offset == COUNT // PARTITIONS
        assert admin.alter_group_offsets("g", {first: OffsetAndMetadata(5, "", -1)}) == {first: UnknownMemberIdError}
        assert admin.delete_group_offsets("g", [first]) == {first: GroupSubscribedToTopicError}
        assert admin.delete_groups(["g"]) == {"g": "NonEmptyGroupError"}
        assert list(admin.remove_group_members("g", [MemberToRemove(member_id=mine["member_id"])]).values()) == [NoError]
        assert consumer.assignment(), "it does not know yet"
    assert admin.alter_group_offsets("g", {first: OffsetAndMetadata(5, "note", -1)}) == {first: NoError}
    altered = admin.list_group_offsets("g")["g"][first]
    assert (altered.offset, altered.metadata) == (5, "note")
    assert admin.reset_group_offsets("g", {first: PythonSpec.EARLIEST})[first]["offset"] == 3
    assert admin.delete_group_offsets("g", [first]) == {first: NoError} and first not in admin.list_group_offsets("g")["g"]
    assert admin.delete_groups(["g"]) == {"g": "OK"} and admin.list_groups() == []
    admin.delete_topics([topic])
    assert admin.list_topics() == ["__consumer_offsets"]
    admin.close()


def test_confluent(own, topic):
    admin = AdminClient({"bootstrap.servers": own.server})
    first = TopicPartition(topic, 0)
    cluster = admin.describe_cluster().result(PATIENCE)
    assert [f"{node.host}:{node.port}" for node in cluster.nodes] == [own.server] and cluster.cluster_id
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(PATIENCE)
    assert set(admin.list_topics(timeout=PATIENCE).topics) == {topic}
    produce(own, topic, range(COUNT))
    admin.create_partitions([NewPartitions(topic, PARTITIONS + 1)])[topic].result(PATIENCE)
    described = admin.describe_topics(TopicCollection([topic]))[topic].result(PATIENCE)
    assert len(described.partitions) == PARTITIONS + 1 and described.partitions[0].leader.id == 0

    def offset(spec):
        return admin.list_offsets({first: spec})[first].result(PATIENCE).offset

    assert offset(OffsetSpec.latest()) == COUNT // PARTITIONS and 0 <= offset(OffsetSpec.max_timestamp()) < COUNT // PARTITIONS
    deleted, = admin.delete_records([TopicPartition(topic, 0, 3)]).values()
    assert deleted.result(PATIENCE).low_watermark == 3 and offset(OffsetSpec.earliest()) == 3 and offset(OffsetSpec.for_timestamp(0)) == 3

    resource = ConfigResource(ResourceType.TOPIC, topic)

    def setting():
        return admin.describe_configs([resource])[resource].result(PATIENCE)["retention.ms"].value

    def alter(call, *arguments, **entry):
        changed = ConfigResource(ResourceType.TOPIC, topic, *arguments, **entry)
        call([changed])[changed].result(PATIENCE)

    default = setting()
    alter(admin.incremental_alter_configs, incremental_configs=[ConfigEntry("retention.ms", "100000", incremental_operation=AlterConfigOpType.SET)])
    assert setting() == "100000"
    alter(admin.alter_configs, {"retention.ms": "200000"})
    assert setting() == "200000"
    alter(admin.incremental_alter_configs, incremental_configs=[ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE)])
    assert setting() == default
    assert admin.elect_leaders(ElectionType.PREFERRED, [first]).result(PATIENCE)[first].name() == "ELECTION_NOT_NEEDED"

    def offsets():
        asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("g")])["g"].result(PATIENCE)
        return {one.partition: one.offset for one in asked.topic_partitions}

    def set_offset(value):
        return admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions("g", [TopicPartition(topic, 0, value)])])["g"].result(PATIENCE)

    with member(own, topic, "g", COUNT - 3):
        assert [(one.group_id, one.state.name) for one in admin.list_consumer_groups().result(PATIENCE).valid] == [("g", "STABLE")]
        assert [one.id for one in admin.list_groups(timeout=PATIENCE)] == ["g"]
        group = admin.describe_consumer_groups(["g"])["g"].result(PATIENCE)
        assert len(group.members[0].assignment.topic_partitions) == PARTITIONS + 1
        assert offsets()[0] == COUNT // PARTITIONS
        assert set_offset(5).topic_partitions[0].error.name() == "UNKNOWN_MEMBER_ID"
        with pytest.raises(KafkaException, match="NON_EMPTY_GROUP"):
            admin.delete_consumer_groups(["g"])["g"].result(PATIENCE)
    # At once: that the last member has left may not be stored yet.
    assert set_offset(5).topic_partitions[0].error is None and offsets()[0] == 5
    admin.delete_consumer_groups(["g"])["g"].result(PATIENCE)
    assert admin.list_consumer_groups().result(PATIENCE).valid == []
    admin.delete_topics([topic])[topic].result(PATIENCE)
    assert set(admin.list_topics(timeout=PATIENCE).topics) == {"__consumer_offsets"}


def test_kcat_in_a_group(own, topic):
    """Two members share the partitions; who comes after them goes on where they were."""
    admin = AdminClient({"bootstrap.servers": own.server})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(PATIENCE)

    def kcat(*arguments):
        return subprocess.Popen(
            ["kcat", "-b", own.server, "-u", "-q", "-G", "g", "-X", "auto.offset.reset=earliest", "-X", "auto.commit.interval.ms=100",
             "-X", "session.timeout.ms=6000", "-f", "%p %s\\n", *arguments, topic], stdout=subprocess.PIPE, text=True)

    members = [kcat("-c", str(COUNT // 2)) for _ in range(2)]
    await_that(lambda: len(admin.describe_consumer_groups(["g"])["g"].result(PATIENCE).members) == 2)
    await_that(lambda: admin.describe_consumer_groups(["g"])["g"].result(PATIENCE).state.name == "STABLE")
    produce(own, topic, range(COUNT))
    read = [one.communicate(timeout=PATIENCE)[0].splitlines() for one in members]
    assert sorted(int(line.split()[1]) for lines in read for line in lines) == list(range(COUNT))
    shares = [{line.split()[0] for line in lines} for lines in read]
    assert [len(share) for share in shares] == [2, 2] and shares[0].isdisjoint(shares[1])
    produce(own, topic, range(COUNT, COUNT + 4))
    again, _ = kcat("-c", "4").communicate(timeout=PATIENCE)
    assert sorted(int(line.split()[1]) for line in again.splitlines()) == list(range(COUNT, COUNT + 4))
