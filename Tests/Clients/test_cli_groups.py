"""hutong group, and what hutong topic does to topics that are there already."""

import contextlib
import functools
import json
import signal
import subprocess
import time

import confluent_kafka
import pytest

from batches import batch
from broker import binary, die_with_the_tests, free_port
from rawclient import Connection
from test_cli import PATIENCE, broker_command, consume, fails, run, topic_command


group_command = functools.partial(broker_command, "group")


@pytest.fixture
def filled(broker, topic):
    """Two partitions of ten records each, with times from 1,000 on."""
    with Connection(broker.address) as connection:
        connection.create(topic, 2)
        for partition in range(2):
            for number in range(10):
                answer = connection.produce(topic, batch([b"%d" % number], timestamps=[1000 + number]), partition)
                assert answer["error"] == 0
    return topic


def offsets(broker, group):
    described, = json.loads(group_command(broker, "describe", group, "--json"))
    return {one["partition"]: (one.get("committed"), one["lag"] if "lag" in one else None) for one in described["partitions"]}


def test_a_group_is_told_of(broker, filled):
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": broker.server, "group.id": "told-" + filled, "client.id": "reader", "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([filled])
    seen = 0
    while seen < 20:
        message = consumer.poll(10)
        assert message is not None and message.error() is None
        seen += 1
    consumer.commit(offsets=[confluent_kafka.TopicPartition(filled, 0, 4)], asynchronous=False)
    text = group_command(broker, "describe", "told-" + filled)
    assert "Stable" in text and "/127.0.0.1" in text and "reader" in text
    found, = json.loads(group_command(broker, "describe", "told-" + filled, "--json"))
    assert found["lag"] == 6 and found["assignor"] == "range"
    assert [(one["partition"], one.get("committed"), one.get("lag"), one["end"], one["client"]) for one in found["partitions"]] == [
        (0, 4, 6, 10, "reader"), (1, None, None, 10, "reader")]
    listed = {one["group"]: one["state"] for one in json.loads(group_command(broker, "list", "--json"))}
    assert listed["told-" + filled] == "Stable"
    assert "has 1 member" in group_command(broker, "seek", "told-" + filled, "--to", "start", fail=True)
    assert "NON_EMPTY_GROUP" in group_command(broker, "delete", "told-" + filled, fail=True)
    consumer.close()
    assert "Empty" in group_command(broker, "list")
    assert "deleted" in group_command(broker, "delete", "told-" + filled)
    assert "told-" + filled not in group_command(broker, "list")
    assert "told-" + filled in group_command(broker, "describe", "told-" + filled, fail=True)
    assert "GROUP_ID_NOT_FOUND" in group_command(broker, "delete", "told-" + filled, fail=True)


@pytest.mark.parametrize("place, offset", [("start", 0), ("end", 10), ("7", 7), ("-3", 7), ("-99", 0), ("@1004", 4), ("@99999", 10)])
def test_a_group_is_moved(broker, filled, place, offset):
    group = "moved-" + filled
    group_command(broker, "seek", group, "--to", "1", "--topic", filled, "--partition", "1")
    assert offsets(broker, group) == {1: (1, 9)}
    group_command(broker, "seek", group, "--to", place)
    assert offsets(broker, group) == {1: (offset, 10 - offset)}, "only what it has committed"
    group_command(broker, "seek", group, "--to", place, "--topic", filled)
    assert offsets(broker, group) == {number: (offset, 10 - offset) for number in range(2)}


@pytest.mark.parametrize("place, now", [("500", 10), ("0", 4)])
def test_a_group_is_moved_no_further_than_the_log(broker, filled, place, now):
    """The nearest there is, with a warning, as Kafka's tool does it."""
    group = "clamped-" + filled
    topic_command(broker, "trim", filled, "--offset", "4", "--partition", "1")
    code, output, errors = run("group", "seek", group, "--to", place, "--topic", filled, "--partition", "1", "--json", "--server", broker.server)
    assert code == 0 and f"{filled} [1] has no offset {place}, only those from 4 to 10" in errors.decode()
    assert json.loads(output) == [{"topic": filled, "group": group, "partition": 1, "now": now}]
    assert offsets(broker, group) == {1: (now, 10 - now)}
    assert "has 2 partitions" in group_command(broker, "seek", group, "--to", place, "--topic", filled, "--partition", "2", fail=True)


def test_what_fails_does_not_keep_the_rest_from_being_done(broker, filled):
    """Each is reported, and the exit code is 1."""
    groups = [f"several-{filled}-{number}" for number in range(2)]
    for group in groups:
        group_command(broker, "seek", group, "--to", "1", "--topic", filled)
    code, output, errors = run("group", "delete", groups[0], "none-such", groups[1], "--server", broker.server)
    assert code == 1 and "none-such" in errors.decode()
    assert output.decode().splitlines() == [f"deleted {group}" for group in groups]
    for action in (["alter", "--set", "flush.ms=5"], ["add-partitions", "--number", "1"]):
        code, output, errors = run("topic", action[0], "none-such", filled, *action[1:], "--server", broker.server)
        assert code == 1 and "none-such" in errors.decode() and filled in output.decode()
    with Connection(broker.address) as connection:
        assert connection.produce(filled, batch([b"x"] * 5), 2)["error"] == 0
    code, output, errors = run("topic", "trim", filled, "--offset", "7", "--server", broker.server)
    assert code == 1 and f"{filled} [2]" in errors.decode()
    assert output.decode().splitlines() == [f"{filled} [{number}] begins at 7" for number in range(2)]


def test_programs_are_told_what_became_of_each(broker, topic):
    def told(name, *arguments, code=0):
        done, output, errors = run(name, *arguments, "--json", "--server", broker.server)
        assert done == code, errors
        return json.loads(output)

    made = told("topic", "create", topic, topic + "-b", "no good name", "-p", "2", code=1)
    assert made[:2] == [{"topic": topic}, {"topic": topic + "-b"}] and "INVALID_TOPIC" in made[2]["error"]
    assert told("topic", "alter", topic, "--set", "retention.ms=5000") == [{"topic": topic}]
    assert told("topic", "add-partitions", topic, "--number", "1") == [{"topic": topic, "partitions": 3}]
    assert told("topic", "trim", topic, "--offset", "end", "-p", "1") == [{"topic": topic, "partition": 1, "startOffset": 0}]
    group = "told-of-" + topic
    assert told("group", "seek", group, "--to", "end", "--topic", topic, "-p", "0") == [{"topic": topic, "group": group, "partition": 0, "now": 0}]
    assert told("group", "seek", group, "--to", "end") == [{"topic": topic, "group": group, "partition": 0, "before": 0, "now": 0}]
    assert told("group", "delete", group) == [{"group": group}]
    deleted = told("topic", "delete", topic, "none-such", code=1)
    assert {"topic": topic} in deleted and any("UNKNOWN_TOPIC" in one.get("error", "") for one in deleted)


def test_a_topics_settings_are_shown(broker, topic):
    topic_command(broker, "create", topic, "--config", "max.message.bytes=7000")
    text = topic_command(broker, "describe", topic)
    assert ["max.message.bytes", "7000", "topic"] in [line.split() for line in text.splitlines()]
    assert "flush.ms" not in text and "flush.ms" in topic_command(broker, "describe", topic, "--all")
    found, = json.loads(topic_command(broker, "describe", topic, "--json"))
    settings = {one["name"]: one for one in found["settings"]}
    assert settings["max.message.bytes"] == {"name": "max.message.bytes", "value": "7000", "source": "topic", "isAlterable": True}
    assert settings["qos.all"]["source"] == "default"


cluster_command = functools.partial(broker_command, "cluster")


def test_brokers_settings_are_shown_and_changed(make_broker, topic):
    broker = make_broker()

    def rows(*arguments):
        shown = json.loads(cluster_command(broker, "config", "--json", *arguments))
        assert shown["broker"] == 0
        return {one["name"]: (one["value"], one["source"]) for one in shown["settings"]}

    assert rows()["message.max.bytes"] == ("1048588", "default") and "num.partitions" not in rows() and "num.partitions" in rows("--all")
    changed = json.loads(cluster_command(broker, "config", "--set", "message.max.bytes=3000", "--set", "qos.leader=received", "--json"))
    assert changed == [{"setting": "message.max.bytes", "value": "3000"}, {"setting": "qos.leader", "value": "received"}]
    assert rows()["message.max.bytes"] == ("3000", "brokers")
    with Connection(broker.address) as connection:
        connection.create(topic)
        assert connection.produce(topic, batch([b"x" * 5000]))["error"] == 10
    assert ["message.max.bytes", "3000", "brokers"] in [line.split() for line in cluster_command(broker, "config").splitlines()]
    assert "message.max.bytes" in cluster_command(broker, "config", "--delete", "message.max.bytes")
    assert rows("--broker", "0")["message.max.bytes"] == ("1048588", "default")
    for wrong, reason in [
            (["--set", "num.partitions=3"], "starts"), (["--set", "nonsense=3"], "nonsense"), (["--set", "num.io.threads=3"], "threads.layout"),
            (["--broker", "7"], "no broker 7"), (["--broker", "0", "--set", "qos.all=durable"], "--broker"), (["--set", "no-sign"], "no-sign")]:
        assert reason in cluster_command(broker, "config", *wrong, fail=True)


@pytest.mark.parametrize("arguments", [
    ["seek", "g", "--to", "sideways"], ["seek", "g"], ["seek", "g", "--to", "start", "--partition", "1"], ["seek", "none-such", "--to", "start"],
    ["seek", "g", "--to", "end", "--topic", "no-such-topic"], ["describe"], ["delete"], ["describe", "none-such"]])
def test_group_command_errors(broker, arguments):
    assert group_command(broker, *arguments, fail=True)


@pytest.mark.parametrize("place, expected", [("-2", "89"), ("8", "89"), ("@1007", "789"), ("end", "")])
def test_consume_from_a_place(broker, filled, place, expected):
    code, output, errors = run("consume", filled, "-p", "0", "-o", place, "-e", "-f", "%s", "--server", broker.server)
    assert code == 0, errors
    assert output.decode() == expected


def test_a_topic_is_altered(broker, topic):
    topic_command(broker, "create", topic, "--config", "retention.ms=5000")
    assert topic in topic_command(broker, "alter", topic, "--set", "max.message.bytes=1000", "--delete", "retention.ms")
    with Connection(broker.address) as connection:
        assert connection.produce(topic, batch([b"x" * 2000]))["error"] == 10
    assert "max.message.bytes" in topic_command(broker, "alter", topic, "--set", "max.message.bytes=lots", fail=True)
    topic_command(broker, "alter", topic, fail=True)
    topic_command(broker, "alter", "no-such-topic", "--delete", "retention.ms", fail=True)


def test_partitions_are_added(broker, topic):
    topic_command(broker, "create", topic, "--partitions", "2")
    assert "5" in topic_command(broker, "add-partitions", topic, "--number", "3")
    with Connection(broker.address) as connection:
        assert len(connection.metadata([topic])["topics"][0]["partitions"]) == 5
    topic_command(broker, "add-partitions", topic, "--number", "0", fail=True)
    topic_command(broker, "add-partitions", "no-such-topic", "--number", "1", fail=True)


def test_a_topic_is_trimmed(broker, filled):
    assert f"{filled} [1] begins at 3" in topic_command(broker, "trim", filled, "--offset", "3", "--partition", "1")
    assert f"{filled} [0] begins at 6" in topic_command(broker, "trim", filled, "--offset", "@1006", "-p", "0")
    starts = {one["partition"]: one["startOffset"] for one in json.loads(topic_command(broker, "describe", filled, "--json"))[0]["partitions"]}
    assert starts == {0: 6, 1: 3}
    topic_command(broker, "trim", filled, "--offset", "99", fail=True)
    topic_command(broker, "trim", filled, "--offset", "end")
    code, output, _ = run("consume", filled, "-e", "--server", broker.server)
    assert code == 0 and output == b""


# hutong consume --group


@contextlib.contextmanager
def member(broker, topic, group, path):
    """`hutong consume --group` whose output goes to a file."""
    with open(path, "wb") as output:
        process = subprocess.Popen([*binary(), "consume", topic, "-G", group, "--server", broker.server],
                                   stdout=output, stderr=subprocess.PIPE, preexec_fn=die_with_the_tests)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def await_that(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def described(broker, group):
    found, = json.loads(group_command(broker, "describe", group, "--json"))
    return found


def partitions_of(broker, group):
    """How many each member has, once the group is stable."""
    with contextlib.suppress(AssertionError):
        found = described(broker, group)
        if found["state"] == "Stable":
            return sorted(one["partitions"] for one in found["members"])
    return []


def test_a_group_goes_on_where_it_was(broker, filled):
    group = "goes-on-" + filled
    first = consume(broker, filled, "-G", group, "-n", "7", "-f", "%p %o\\n").splitlines()
    assert len(first) == 7
    assert described(broker, group)["state"] == "Empty", "it has left"
    assert sum(committed or 0 for committed, _ in offsets(broker, group).values()) == 7
    rest = consume(broker, filled, "--group", group, "-f", "%p %o\\n").splitlines()
    assert sorted(first + rest) == [f"{partition} {offset}" for partition in range(2) for offset in range(10)]
    assert consume(broker, filled, "-G", group) == ""
    assert offsets(broker, group) == {0: (10, 0), 1: (10, 0)}
    assert consume(broker, filled, "-G", group + "-end", "-o", "end") == ""
    assert consume(broker, filled, "-G", group + "-last", "-o", "-1").split() == ["9", "9"]


@pytest.mark.parametrize("place, read", [("start", ["0 0", "0 1"]), ("-1", ["0 1"]), ("end", [])])
def test_a_group_that_is_ahead_of_the_log(broker, topic, place, read):
    """As of a topic that was made again: it begins as if it had committed nothing, and says so."""
    topic_command(broker, "create", topic, "--partitions", "1")
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.server, "group.id": "ahead-" + topic})
    consumer.commit(offsets=[confluent_kafka.TopicPartition(topic, 0, 500)], asynchronous=False)
    consumer.close()
    with Connection(broker.address) as connection:
        assert connection.produce(topic, batch([b"a", b"b"]))["error"] == 0
    code, output, errors = run("consume", topic, "-G", "ahead-" + topic, "-e", "-o", place, "-f", "%p %o\\n", "--server", broker.server)
    assert code == 0 and output.decode().splitlines() == read
    assert f"{topic} [0] has no offset 500, which the group was to read next, only those from 0 to 2" in errors.decode()
    assert offsets(broker, "ahead-" + topic) == {0: (2, 0)}


def test_partitions_that_are_added_are_noticed(broker, topic, tmp_path):
    topic_command(broker, "create", topic, "--partitions", "1")
    group, path = "notices-" + topic, tmp_path / "printed"
    with member(broker, topic, group, path):
        await_that(lambda: partitions_of(broker, group) == [1], "it has joined")
        topic_command(broker, "add-partitions", topic, "--number", "2")
        for partition in range(3):
            code, _, errors = run("produce", topic, "-p", str(partition), "--server", broker.server, stdin=b"to %d\n" % partition)
            assert code == 0, errors
        await_that(lambda: path.read_text().count("to ") == 3, "all are read")
        assert partitions_of(broker, group) == [3]
    assert sorted(path.read_text().splitlines()) == ["to 0", "to 1", "to 2"]


def test_a_deleted_beginning_is_passed_over(broker, filled):
    group = "passed-over-" + filled
    group_command(broker, "seek", group, "--to", "2", "--topic", filled)
    topic_command(broker, "trim", filled, "--offset", "8")
    code, output, errors = run("consume", filled, "-G", group, "-e", "--server", broker.server)
    assert code == 0 and sorted(output.split()) == [b"8", b"8", b"9", b"9"]
    assert f"{filled} [1] has no offset 2 any more, which the group was to read next: it goes on at 8" in errors.decode()


def test_members_share(broker, topic, tmp_path):
    """With a member of another client; whoever ends on a signal leaves at once, and nothing is read twice or not at all."""
    group = "share-" + topic
    topic_command(broker, "create", topic, "--partitions", "5")
    other = confluent_kafka.Consumer({
        "bootstrap.servers": broker.server, "group.id": group, "auto.offset.reset": "earliest", "partition.assignment.strategy": "range"})
    other.subscribe([topic])
    seen = []

    def read():
        for message in other.consume(100, 0.1):
            assert message.error() is None
            seen.append(message.value().decode())

    def produce(numbers):
        code, _, errors = run("produce", topic, "-K", ":", "--server", broker.server, stdin="".join(f"{n}:{n}\n" for n in numbers).encode())
        assert code == 0, errors

    def printed():
        return [line for path in paths for line in path.read_text().split()]

    def are_shared(*counts):
        read()
        return partitions_of(broker, group) == list(counts)

    paths = [tmp_path / "one", tmp_path / "two"]
    with member(broker, topic, group, paths[0]) as one, member(broker, topic, group, paths[1]) as two:
        await_that(lambda: are_shared(1, 2, 2), "three members")
        produce(range(300))
        await_that(lambda: read() or len(seen) + len(printed()) >= 300, "300 records")
        assert all(path.read_text() for path in paths) and seen
        for process, counts, numbers in [(one, (2, 3), range(300, 600)), (two, (5,), range(600, 900))]:
            process.send_signal(signal.SIGTERM if process is one else signal.SIGINT)
            assert process.wait(PATIENCE) == 0
            await_that(lambda: are_shared(*counts), f"{counts} are left")
            produce(numbers)
            await_that(lambda: read() or len(seen) + len(printed()) >= numbers.stop, f"{numbers.stop} records")
    other.close()
    assert sorted(map(int, seen + printed())) == list(range(900))


def test_a_member_outlives_its_broker(make_broker, topic, tmp_path):
    broker = make_broker(port=free_port())
    group = "outlives-" + topic
    topic_command(broker, "create", topic, "--partitions", "1")
    path = tmp_path / "read"
    with member(broker, topic, group, path) as process:
        for number in range(3):
            code, _, errors = run("produce", topic, "--server", broker.server, stdin=b"%d\n" % number)
            assert code == 0, errors
            await_that(lambda: f"{number}" in path.read_text(), f"{number} was not read")
            broker.restart(crash=number == 0)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    assert sorted(set(path.read_text().split())) == ["0", "1", "2"]
    assert offsets(broker, group) == {0: (3, 0)}


@pytest.mark.parametrize("arguments", [["-G", ""], ["-G", "g", "-p", "0"]])
def test_usage_errors_of_group_reading(broker, filled, arguments):
    fails(*run("consume", filled, "-e", *arguments, "--server", broker.server)[::2])
