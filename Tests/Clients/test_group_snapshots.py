"""Snapshots of what consumer groups have committed: a start reads them and little of the log; one that can't be believed, or tells of another log, does no harm."""

import contextlib
import pathlib
import shutil
import time

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient

from broker import free_port
from rawclient import Connection
from test_cluster import await_whole, create
from test_groups import FAILOVER, PATIENCE, await_that, coordinator_of

GROUP = "g"
PARTITIONS = 100
# A snapshot is worth it after 10,000 changes; a commit here changes all partitions' offsets.
COMMITS = 105
SETTINGS = {"offsets.topic.num.partitions": 1, "log.level": "debug"}


class Committer:
    """Commits the same offset for all partitions, and reads what is committed."""

    def __init__(self, servers, topic):
        self.topic = topic
        self.consumer = confluent_kafka.Consumer({
            "bootstrap.servers": servers, "group.id": GROUP, "enable.auto.commit": False, "reconnect.backoff.max.ms": 200})

    def partitions(self, offset=confluent_kafka.OFFSET_INVALID):
        return [confluent_kafka.TopicPartition(self.topic, number, offset) for number in range(PARTITIONS)]

    def commit(self, offset, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while True:
            try:
                return self.consumer.commit(offsets=self.partitions(offset), asynchronous=False)
            except confluent_kafka.KafkaException:
                assert time.monotonic() < deadline, f"offset {offset} can't be committed"

    def committed(self, patience=PATIENCE):
        """Of all partitions, the different offsets that there are."""
        deadline = time.monotonic() + patience
        while True:
            with contextlib.suppress(confluent_kafka.KafkaException):
                return {one.offset for one in self.consumer.committed(self.partitions(), timeout=PATIENCE)}
            assert time.monotonic() < deadline, "nobody says what is committed"

    def close(self):
        self.consumer.close()


def start(make_broker, topic):
    broker = make_broker(SETTINGS, port=free_port())
    with Connection(broker.address) as connection:
        connection.create(topic, PARTITIONS)
    return broker


def snapshots(broker):
    return list(pathlib.Path(broker.data).glob("group-*/offsets-*.snapshot"))


def commit_until_snapshot(committer, broker, first=1):
    """The last offset that was committed."""
    last = first + COMMITS
    for offset in range(first, last + 1):
        committer.commit(offset)
    await_that(lambda: snapshots(broker))
    return last


@pytest.mark.parametrize("crash", [False, True])
def test_a_start_reads_little(make_broker, topic, crash):
    broker = start(make_broker, topic)
    committer = Committer(broker.server, topic)
    last = commit_until_snapshot(committer, broker)
    committer.commit(last + 1)
    for _ in range(2):
        before = len(broker.log())
        broker.restart(crash)
        assert committer.committed() == {last + 1}
        assert f"a snapshot of {PARTITIONS} records, up to offset " in broker.log()[before:]
    # The next tells of what has come since.
    told = snapshots(broker)[0].read_bytes()
    last = commit_until_snapshot(committer, broker, last + 2)
    await_that(lambda: snapshots(broker)[0].read_bytes() != told)
    broker.restart(crash)
    assert committer.committed() == {last}
    committer.close()


def damage(snapshot):
    data = bytearray(snapshot.read_bytes())
    data[1000] ^= 1
    snapshot.write_bytes(data)


def cut(snapshot):
    snapshot.write_bytes(snapshot.read_bytes()[:4096])


def empty(snapshot):
    snapshot.write_bytes(b"")


@pytest.mark.parametrize("spoil", [damage, cut, empty])
def test_what_can_not_be_believed_is_not(make_broker, topic, spoil):
    broker = start(make_broker, topic)
    committer = Committer(broker.server, topic)
    last = commit_until_snapshot(committer, broker)
    broker.stop()
    spoil(snapshots(broker)[0])
    before = len(broker.log())
    broker.start()
    assert committer.committed() == {last}
    assert "a snapshot of" not in broker.log()[before:]
    committer.close()


def test_a_snapshot_of_another_log(make_broker, topic):
    """Another broker's, of another topic of that name; and one of a log that was longer: what the log says counts."""
    other = start(make_broker, topic)
    committer = Committer(other.server, topic)
    commit_until_snapshot(committer, other)
    committer.close()
    other.stop()
    broker = start(make_broker, topic)
    committer = Committer(broker.server, topic)
    committer.commit(7)
    broker.stop()
    shutil.copy(snapshots(other)[0], broker.data / "group-0")
    shutil.copytree(broker.data, broker.directory / "before")
    broker.start()
    assert committer.committed() == {7}
    commit_until_snapshot(committer, broker, 8)
    snapshots(broker)[0].unlink()  # the other broker's may have been there still
    commit_until_snapshot(committer, broker, 8)
    broker.stop()
    snapshot = snapshots(broker)[0].read_bytes()
    shutil.rmtree(broker.data)
    shutil.copytree(broker.directory / "before", broker.data)
    (broker.data / "group-0/offsets-0.snapshot").write_bytes(snapshot)
    before = len(broker.log())
    broker.start()
    assert committer.committed() == {7}
    assert "a snapshot of" in broker.log()[before:], "it was read, and found to be of another log"
    committer.close()


@pytest.mark.timeout(600)
def test_an_old_snapshot_of_a_coordinator_that_is_back(cluster, topic):
    """Coordinators are killed one after the other; each that is back has a snapshot of long ago, and a log that has gone on."""
    create(cluster, topic, PARTITIONS)
    committer = Committer(cluster.servers, topic)
    admin = AdminClient({"bootstrap.servers": cluster.servers})
    last = 0

    def commit():
        nonlocal last
        last += 1
        committer.commit(last, FAILOVER)

    def coordinator_with_snapshot():
        """On a busy machine another one may take over in between: then that one is asked to make one."""
        for _ in range(5):
            coordinator = coordinator_of(admin, GROUP)
            for _ in range(COMMITS):
                commit()
            with contextlib.suppress(AssertionError):
                await_that(lambda: snapshots(cluster.brokers[coordinator]), 10)
                return coordinator
        raise AssertionError("no coordinator makes a snapshot")

    commit()
    for _ in range(3):
        coordinator = coordinator_with_snapshot()
        cluster.brokers[coordinator].kill()
        assert committer.committed(FAILOVER) == {last}
        commit()
        cluster.brokers[coordinator].start()
        await_whole(cluster, topic)
        assert committer.committed(FAILOVER) == {last}
    committer.close()


def test_without_what_is_damaged(make_broker, topic):
    """A batch that is damaged and has no copy keeps the groups away, until the operator says that they may do without."""
    broker = start(make_broker, topic)

    def group(name):
        return confluent_kafka.Consumer({"bootstrap.servers": broker.server, "group.id": name, "enable.auto.commit": False, "reconnect.backoff.max.ms": 200})

    def committed(name, patience=PATIENCE):
        consumer = group(name)
        try:
            return consumer.committed([confluent_kafka.TopicPartition(topic, 0)], timeout=patience)[0].offset
        finally:
            consumer.close()

    for number, name in enumerate(["before", "spoilt", "after"], 1):
        consumer = group(name)
        consumer.commit(offsets=[confluent_kafka.TopicPartition(topic, 0, number, f"of {name}")], asynchronous=False)
        consumer.close()
    broker.stop()
    spoilt = [file for file in pathlib.Path(broker.data).glob("group-0/*.segment") if b"of spoilt" in file.read_bytes()]
    with open(spoilt[0], "r+b") as file:
        file.seek(file.read().index(b"of spoilt"))
        file.write(b"oF")
    broker.start()
    with pytest.raises(confluent_kafka.KafkaException):
        committed("before", 8)
    assert "offsets.skip.damaged=true" in broker.log()
    broker.stop()

    broker.settings["offsets.skip.damaged"] = "true"
    broker.start()
    assert [committed(name) for name in ["before", "spoilt", "after"]] == [1, confluent_kafka.OFFSET_INVALID, 3]
    assert "is forgotten" in broker.log()
    await_that(lambda: snapshots(broker))
    broker.stop()

    del broker.settings["offsets.skip.damaged"]
    broker.start()
    assert [committed(name) for name in ["before", "spoilt", "after"]] == [1, confluent_kafka.OFFSET_INVALID, 3]
