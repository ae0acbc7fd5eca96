"""What a broker shows of itself: metrics, health, counters in shared memory, receipts; and that they point at the stage that is wedged."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import confluent_kafka
import pytest

from broker import Broker, binary, die_with_the_tests, run
from cluster import Cluster
from monitoring import get, metrics
from rawclient import Connection
from test_cluster import create

HTTP = {"http.listen": "127.0.0.1:0"}
PATIENCE = 30


def top(broker):
    code, out, error = run("top", "--data-dir", broker.data, "--interval", 0.3, "--json")
    assert code == 0, error
    return json.loads(out)


def await_that(check, what):
    deadline = time.monotonic() + PATIENCE
    while not (found := check()):
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def shown(tmp_path_factory, io):
    """A broker with a topic, records and a consumer group."""
    broker = Broker(tmp_path_factory.mktemp("shown"), {**HTTP, "num.partitions": 2, "group.initial.rebalance.delay.ms": 0}, io=io).start()
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.server})
    for number in range(100):
        producer.produce("things", b"value %d" % number, key=b"key", partition=number % 2, headers={"h": b"v"})
    assert producer.flush(30) == 0
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.server, "group.id": "readers", "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.assign([confluent_kafka.TopicPartition("things", 0, 0)])
    assert len(consumer.consume(30, timeout=30)) == 30
    consumer.commit(asynchronous=False)
    consumer.close()
    yield broker
    broker.stop()


def test_metrics_are_as_prometheus_wants_them(shown):
    text = get(shown, "/metrics")[1]
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_metrics_count_what_came(shown):
    before = metrics(shown)
    with Connection(shown.address) as connection:
        for _ in range(5):
            connection.metadata(["things"])
    after = metrics(shown)
    assert after['hutong_requests_total{api="Metadata"}'] - before['hutong_requests_total{api="Metadata"}'] >= 5
    assert after["hutong_connections_accepted_total"] > before["hutong_connections_accepted_total"]
    assert after["hutong_received_bytes_total"] > before["hutong_received_bytes_total"]
    assert after["hutong_batches_appended_total"] > 0 and after["hutong_flush_seconds_count{stage=\"flush-0\"}"] > 0
    positions = [after[f'hutong_journal_position_bytes{{group="0",position="{name}"}}'] for name in ["journaled", "flushed", "replicated", "committed"]]
    assert len(set(positions)) == 1 and positions[0] > 0, "nothing is under way"


def test_lag_is_told(shown):
    name = 'hutong_consumer_group_lag_records{consumer_group="readers",topic="things"}'
    assert await_that(lambda: metrics(shown).get(name), name) == 20


def test_rules_and_dashboard(tmp_path):
    rules = tmp_path / "rules.yml"
    rules.write_bytes(run("generate", "alerts")[1])
    checked = subprocess.run(["promtool", "check", "rules", rules], capture_output=True, text=True)
    assert checked.returncode == 0 and re.search(r"[1-9]\d* rules found", checked.stdout), checked.stdout + checked.stderr
    dashboard = json.loads(run("generate", "grafana")[1])
    assert sum(panel["type"] != "row" for panel in dashboard["panels"]) > 10
    # What the panels ask for, as rules of which nobody needs the result.
    expressions = run("generate", "grafana", "--expressions")[1].decode().splitlines()
    lines = "".join(f"      - record: panel_{number}\n        expr: '{expression}'\n" for number, expression in enumerate(expressions))
    rules.write_text(f"groups:\n  - name: panels\n    rules:\n{lines}")
    checked = subprocess.run(["promtool", "check", "rules", rules], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    rules.write_text(rules.read_text().replace("rate(", "rat(", 1))
    assert subprocess.run(["promtool", "check", "rules", rules], capture_output=True).returncode != 0, "the check can fail"


def test_health(shown):
    assert get(shown, "/healthz") == (200, "ok\n") and get(shown, "/readyz") == (200, "ok\n")
    assert run("health", "--server", shown.server)[0] == 0
    code, _, error = run("health", "--server", "127.0.0.1:1", "--timeout", 1)
    assert code == 1 and b"does not serve clients" in error
    # As in a container.
    assert run("health", settings={"listen": f"0.0.0.0:{shown.port}", "advertise": "h:1"})[0] == 0


def test_what_scripts_are_told(shown):
    def ask(path):
        status, body = get(shown, path)
        assert status == 200, body
        return json.loads(body)
    assert ask("/api/broker")["partitionGroups"][0]["committed"] > 0
    assert [broker["id"] for broker in ask("/api/brokers")] == [0]
    assert {"name": "things", "partitions": 2, "replicas": 1, "isInternal": False, "withoutLeader": 0, "notInSync": 0} in ask("/api/topics")
    assert [each["end"] for each in ask("/api/topics/things")["partitions"]] == [50, 50]
    found = ask("/api/topics/things/messages?partition=1&offset=10&limit=3")
    assert [message["offset"] for message in found["messages"]] == [10, 11, 12]
    assert found["messages"][0]["value"]["text"] == "value 21" and found["messages"][0]["headers"][0]["key"] == "h"
    assert len(ask("/api/topics/things/messages")["messages"]) == 20, "the last ones"
    assert "readers" in [group["id"] for group in ask("/api/groups")]
    assert ask("/api/groups/readers")["lag"] == 20
    run("consume", "--server", shown.server, "things", "-G", "a b/ü?", "-n", "1")
    assert ask("/api/groups/" + urllib.parse.quote("a b/ü?", safe=""))["id"] == "a b/ü?"
    for path in ["/api/topics/nothing", "/api/groups/nobody", "/api/topics/things/messages?partition=9", "/nothing"]:
        assert get(shown, path)[0] == 404, path
    assert get(shown, "/api/topics/things/messages?partition=x&offset=y&limit=z")[0] == 200, "what can't be read counts as not said"
    assert shown.alive()


def test_bytes_that_are_no_request(shown):
    host, port = shown.ready["http"].rsplit(":", 1)
    for text in [b"\0\xff" * 500, b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n", b"POST /api/topics HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello"]:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(text)
            try:
                connection.recv(1000)
            except (ConnectionError, TimeoutError):
                pass
    assert get(shown, "/healthz")[0] == 200 and shown.alive()


def test_many_connections_cost_clients_nothing(make_broker):
    """More connections than the process may open files: it takes some, and clients notice nothing."""
    broker = make_broker(HTTP, prefix=["prlimit", "--nofile=600:600"])
    host, port = broker.ready["http"].rsplit(":", 1)
    held = []
    try:
        for _ in range(700):
            connection = socket.socket()
            connection.settimeout(0.05)
            held.append(connection)
            try:
                connection.connect((host, int(port)))
            except OSError:
                continue
        for _ in range(20):
            assert run("health", "--server", broker.server)[0] == 0
        assert "can't be accepted" not in broker.log()
    finally:
        for connection in held:
            connection.close()
    await_that(lambda: get(broker, "/healthz")[0] == 200, "served again")
    assert broker.alive()


def test_pages_of_others_are_not_answered(shown):
    for path, status in [("/api/topics", 421), ("/", 421), ("/metrics", 200), ("/healthz", 200)]:
        request = urllib.request.Request(f"http://{shown.ready['http']}{path}", headers={"host": "evil.example"})
        try:
            assert urllib.request.urlopen(request, timeout=10).status == status, path
        except urllib.error.HTTPError as error:
            assert error.code == status, path


def test_metrics_wait_for_nobody(make_broker):
    """Whatever the broker's own client is told of groups, metrics come at once."""
    broker = make_broker({**HTTP, "debug.wedge.stage": "respond:2"})
    time.sleep(3)
    # It is seen though nobody produces: the client's own questions wait for answers.
    name = 'hutong_stage_stuck{stage="respond-0",kind="respond"}'
    for _ in range(5):
        began = time.monotonic()
        metrics(broker)
        assert time.monotonic() - began < 3
        time.sleep(0.5)
    assert await_that(lambda: metrics(broker)[name], name) == 1
    broker.end()


def test_a_taken_port_costs_the_page_alone(make_broker):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        broker = make_broker({"http.listen": f"127.0.0.1:{taken.getsockname()[1]}"})
    assert broker.ready["http"] == "none" and "can't be listened on" in broker.log()
    assert run("health", "--server", broker.server)[0] == 0


# MARK: Counters that outlive the broker's attention


def test_a_stopped_broker_can_be_read(make_broker):
    broker = make_broker(HTTP)
    with Connection(broker.address) as connection:
        connection.create("t", 1)
    before = top(broker)
    assert before["requests"]["CreateTopics"] == 1 and "bottleneck" not in before
    broker.process.send_signal(signal.SIGSTOP)
    try:
        stopped = top(broker)
        assert stopped["requests"] == before["requests"] and stopped["processId"] == broker.pid
        code, out, _ = run("top", "--data-dir", broker.data, "--once", "--interval", 0.2)
        assert code == 0 and "write-0" in out.decode() and "group 0" in out.decode()
    finally:
        broker.process.send_signal(signal.SIGCONT)
    broker.kill()
    code, _, error = run("top", "--data-dir", broker.data, "--once")
    assert code != 0 and b"no broker runs" in error
    code, _, error = run("top", "--data-dir", "/nowhere", "--once")
    assert code != 0 and b"can't be read" in error


def test_top_in_a_terminal(make_broker, tmp_path):
    """In a real pseudo terminal: it draws, and q ends it."""
    import pty
    broker = make_broker()
    main, child = pty.openpty()
    process = subprocess.Popen(
        [*binary(), "top", "--data-dir", str(broker.data), "--interval", "0.2"], stdin=child, stdout=child, stderr=subprocess.PIPE, preexec_fn=die_with_the_tests)
    os.close(child)
    seen = b""
    try:
        deadline = time.monotonic() + PATIENCE
        while b"respond-0" not in seen or b"threads:" not in seen:
            assert time.monotonic() < deadline, seen
            seen += os.read(main, 65536)
        os.write(main, b"q")
        while process.poll() is None and time.monotonic() < deadline:
            try:
                seen += os.read(main, 65536)
            except OSError:
                break
        assert process.wait(10) == 0
        assert seen.startswith(b"\x1b[?1049h") and b"\x1b[?1049l" in seen, "the screen is given back"
    finally:
        process.kill()
        os.close(main)


@pytest.mark.parametrize("hang", [False, True], ids=["stands", "hangs"])
@pytest.mark.parametrize("stage", ["io", "write", "flush", "replicate", "respond", "loader"])
def test_a_wedged_stage_is_pointed_at(make_broker, stage, hang):
    """Clients go on asking: producers for all stages, and enough of them that segments are used up."""
    settings = {**HTTP, "threads.layout": "group", "debug.wedge.stage": f"{stage}:2" + (":hang" if hang else ""), "journal.segment.bytes": "1MiB", "message.max.bytes": 262144,
                "journal.cache.segments": 8, "journal.max.bytes": "16MiB", "health.stuck.ms": 1500}
    broker = make_broker(settings)
    load = subprocess.Popen(
        [*binary(), "bench", "produce", "--server", broker.server, "--ceiling", "0", "--connections", "2", "--outstanding", "64", "--record-size", "10000", "--duration", "60"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_the_tests)
    name = f"{stage}-0"
    try:
        metric = f'hutong_stage_stuck{{stage="{name}",kind="{stage}"}}'
        if stage == "io":
            # Nothing comes in any more; that somebody tries to connect is what waits.
            await_that(lambda: metrics(broker)["hutong_uptime_seconds"] > 3, "three seconds")
            with socket.create_connection(broker.address, timeout=5):
                await_that(lambda: metrics(broker)[metric] == 1, metric)
        else:
            await_that(lambda: metrics(broker)[metric] == 1, metric)
        seen = metrics(broker)
        assert sum(value for key, value in seen.items() if key.startswith("hutong_stage_stuck{")) == 1, "no other stage is blamed"
        found = top(broker)["bottleneck"]
        assert found["stage"] == name and found["isStuck"] and found["finding"] == ("hangs" if hang else "stands"), found
        status, text = get(broker, "/readyz")
        assert status == 503 and name in text
        # Who counts majorities, and who waits for them, may wait for other brokers: no reason to be started again.
        if stage in ["replicate", "respond"] and not hang:
            time.sleep(2)
            assert get(broker, "/healthz")[0] == 200
        else:
            await_that(lambda: get(broker, "/healthz")[0] == 503, "/healthz")
        assert "STUCK" in run("top", "--data-dir", broker.data, "--once", "--interval", 0.2)[1].decode()
    finally:
        load.kill()
        load.wait()
        broker.end()


def test_who_waits_for_other_brokers_is_well(tmp_path):
    """Two of three brokers stand still, under load: the third can acknowledge nothing by a majority, which is no reason to start it again."""
    cluster = Cluster(tmp_path, settings={"http.listen": "0.0.0.0:9644", "health.stuck.ms": 1500})
    try:
        with cluster.network.from_host("client"):
            cluster.start()
            for broker in cluster.brokers.values():
                broker.ready["http"] = f"{broker.host}:9644"
            create(cluster, "t", 6)
            producer = confluent_kafka.Producer({"bootstrap.servers": cluster.servers, "message.timeout.ms": 60_000})
            for number in range(600):
                producer.produce("t", b"x", partition=number % 6)
            assert producer.flush(30) == 0
            stopped = [cluster.brokers[2], cluster.brokers[3]]
            for broker in stopped:
                broker.process.send_signal(signal.SIGSTOP)
            end = time.monotonic() + 8
            while time.monotonic() < end:
                producer.produce("t", b"y")
                producer.poll(0.2)
                assert get(cluster.brokers[1], "/healthz") == (200, "ok\n")
            for broker in stopped:
                broker.process.send_signal(signal.SIGCONT)
            assert producer.flush(60) == 0
            leads = [metrics(broker) for broker in cluster.brokers.values()]
            assert all(sum(found[f'hutong_group_leading{{group="{group}"}}'] for found in leads) <= 1 for group in range(8))
    finally:
        cluster.end()


# MARK: Receipts

RECEIPT = re.compile(r"^(\S+) partition=(\d+) offset=(\d+) records=(\d+) position=(\d+) journaled=(\S+) flushed=(\S+) replicated=(\S+) committed=(\S+) answered=(\S+)$")


def produce(broker, *arguments, lines=b"one\n"):
    code, out, error = run("produce", "--server", broker.server, *arguments, stdin=lines)
    assert code == 0, error
    return out.decode().splitlines()


def nanoseconds(text):
    units = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
    match = re.fullmatch(r"([\d.]+)(ns|us|ms|s)", text)
    return float(match[1]) * units[match[2]]


def test_receipts_tell_what_each_stage_took(shown, topic):
    first, = produce(shown, "--receipt", topic)
    second, = produce(shown, "--receipt", topic, "-p", "0", lines=b"a\nb\nc\n")
    for line, records in [(first, 1), (second, 3)]:
        match = RECEIPT.match(line)
        assert match and match[1] == topic and int(match[4]) == records and int(match[5]) > 0, line
        journaled, flushed, replicated, committed, answered = [nanoseconds(match[number]) for number in range(6, 11)]
        # Printed with three digits.
        assert journaled <= flushed * 1.01 <= committed * 1.02 <= answered * 1.03 and replicated <= answered * 1.01, line


def test_receipts_of_weaker_answers(make_broker, topic):
    broker = make_broker({"qos.leader": "received"})
    line, = produce(broker, "--receipt", "--acks", "1", topic)
    match = RECEIPT.match(line)
    assert match and match[6] != "-" and match[10] != "-", line
    code, _, error = run("produce", "--server", broker.server, "--receipt", "--acks", "0", topic)
    assert code == 64 and b"--receipt" in error


def test_without_receipts_answers_are_as_before(shown, topic):
    assert produce(shown, topic) == []
    consumed = run("consume", "--server", shown.server, topic, "-o", "start", "-e")[1]
    assert consumed == b"one\n"


# MARK: systemd


def test_systemd_is_told(tmp_path, make_broker):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(PATIENCE)
        broker = make_broker({**HTTP, "debug.wedge.stage": "write:4", "health.stuck.ms": 1000}, start=False)
        os.environ.update(NOTIFY_SOCKET=path, WATCHDOG_USEC="1000000")
        try:
            broker.start()
        finally:
            for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC"]:
                del os.environ[name]
        assert listener.recv(1000).startswith(b"READY=1")
        began = time.monotonic()
        for _ in range(3):
            assert listener.recv(1000) == b"WATCHDOG=1"
        assert time.monotonic() - began < 5
        # A producer whose request waits for a stage that stands: it is not said any more that all is well.
        producer = confluent_kafka.Producer({"bootstrap.servers": broker.server, "message.timeout.ms": 60_000})
        deadline = time.monotonic() + PATIENCE
        while not (said := listener.recv(1000)).startswith(b"STATUS="):
            producer.produce("t", b"x")
            producer.poll(0)
            assert time.monotonic() < deadline
        assert b"write-0" in said
        broker.process.send_signal(signal.SIGTERM)
        while not (said := listener.recv(1000)).startswith(b"STOPPING=1"):
            assert time.monotonic() < deadline + PATIENCE
        producer.purge()
        broker.end()


