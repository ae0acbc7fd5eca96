"""The command line: what it does, what it says when it can't, and its exit codes."""

import contextlib
import functools
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from broker import Broker, binary, die_with_the_tests, environment, free_port, run
from batches import batch, split
from rawclient import Connection

PATIENCE = 30


def fails(code, errors):
    """It failed with one sentence for people: no trap, no stack, and no success."""
    text = errors.decode(errors="replace")
    assert code > 0, f"exit code {code}: {text}"
    assert text.strip(), "it failed without a word"
    for word in ("Fatal error", "Stack dump", "Backtrace", "Thread 0 crashed"):
        assert word not in text, text
    return text



def serve_fails(tmp_path, *extra, settings=None, listen="127.0.0.1:0", data=None, prefix=()):
    """`hutong serve` that must not start: what it said on standard error."""
    data = data or tmp_path / "refused"
    code, output, errors = run("serve", "--data-dir", data, "--listen", listen, *extra, settings=settings,
                               timeout=PATIENCE, prefix=prefix)
    assert b"hutong ready" not in output
    return fails(code, errors)


# Starting and stopping


def test_ready_and_stop(make_broker):
    """The ready line has all that a script needs, and comes only when connections are taken."""
    broker = make_broker()
    assert broker.port > 0 and broker.ready["data"] == str(broker.data), broker.ready_line
    with Connection(broker.address) as connection:
        assert connection.metadata(None)["brokers"][0]["port"] == broker.port
        broker.stop()  # with a client that stays connected


def test_stop_drains(make_broker, topic):
    """What was asked before SIGTERM is answered or is not there; what was answered is there."""
    broker = make_broker()
    with Connection(broker.address) as connection:
        connection.create(topic)
        assert connection.produce(topic, batch([b"before"]))["error"] == 0
        connection.send_fetch(topic, 1, max_wait_ms=60_000)
        start = time.monotonic()
        broker.stop()
        assert time.monotonic() - start < 10, "a waiting fetch held up the end"
    broker.start()
    with Connection(broker.address) as connection:
        assert connection.list_offset(topic, -1)["offset"] == 1


def test_interrupt_stops_too(make_broker):
    broker = make_broker()
    broker.process.send_signal(signal.SIGINT)
    assert broker.process.wait(PATIENCE) == 0


def test_second_broker_on_the_same_data(broker, tmp_path):
    text = serve_fails(tmp_path, data=broker.data)
    assert str(broker.data) in text or "data-dir" in text, text
    with Connection(broker.address) as connection:
        assert connection.metadata(None)["brokers"], "the first one goes on"


def test_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = serve_fails(tmp_path, listen=f"127.0.0.1:{port}")
    assert str(port) in text and "use" in text, text


def test_no_permission(tmp_path):
    """As another user, since root may write everywhere."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    prefix = ()
    if os.getuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed, and root may write everywhere")
        prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        if subprocess.run([*prefix, "test", "-x", shutil.which(binary()[0])]).returncode:
            pytest.skip(f"another user may not run {binary()[0]}")
    else:
        locked.chmod(0o500)
    text = serve_fails(tmp_path, data=locked / "data", prefix=prefix)
    assert "permi" in text.lower() and str(locked) in text, text


@pytest.mark.parametrize("limit", [64 << 10, 8 << 20])
def test_too_little_memlock(tmp_path, limit):
    """The rings, or the cache that is to be locked, don't fit under the limit: the sentence names it. Root may lock as much
    as it likes, unless that right is taken away."""
    prefix = ("prlimit", f"--memlock={limit}")
    if os.getuid() == 0:
        prefix = ("setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock", *prefix)
    text = serve_fails(tmp_path, settings={"memory.lock": "true"}, prefix=prefix)
    assert "memlock" in text and "ulimit -l" in text, text


def test_data_directory_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("not a directory")
    assert str(path) in serve_fails(tmp_path, data=path)


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", ":"])
def test_bad_listen_address(tmp_path, listen):
    serve_fails(tmp_path, listen=listen)


# Settings: file below environment below flags


def test_unknown_setting_in_the_environment(tmp_path):
    text = serve_fails(tmp_path, settings={"num.partition": "3"})
    assert "num.partition" in text.replace("_", ".").lower()
    assert "num.partitions" in text.replace("_", ".").lower(), f"the nearest is not named: {text}"


def test_unknown_setting_in_the_file(tmp_path):
    path = tmp_path / "hutong.yaml"
    path.write_text("message.max.byte: 1000\n")
    text = serve_fails(tmp_path, "--config", path)
    assert "message.max.bytes" in text, f"the nearest is not named: {text}"


@pytest.mark.parametrize("name, value", [
    ("num.partitions", "many"), ("num.partitions", "-3"), ("threads.layout", "triple"), ("qos.all", "maybe"),
    ("journal.flush.method", "hope"), ("partition.groups", "0")])
def test_bad_value(tmp_path, name, value):
    text = serve_fails(tmp_path, settings={name: value})
    assert name in text.replace("_", ".").lower() and value in text, text


@pytest.mark.parametrize("content", ["num.partitions: [", "- a\n- b\n", "\0\1\2"])
def test_bad_file(tmp_path, content):
    path = tmp_path / "hutong.yaml"
    path.write_text(content)
    assert str(path) in serve_fails(tmp_path, "--config", path)


def test_missing_file(tmp_path):
    assert "missing.yaml" in serve_fails(tmp_path, "--config", tmp_path / "missing.yaml")


@pytest.mark.parametrize("environment_value, wanted", [(None, 3), ("5", 5)])
def test_file_below_environment(tmp_path, topic, environment_value, wanted):
    path = tmp_path / "hutong.yaml"
    path.write_text("num.partitions: 3\n")
    broker = Broker(tmp_path)
    broker.settings = {} if environment_value is None else {"num.partitions": environment_value}
    try:
        broker.start("--config", str(path))
        with Connection(broker.address) as connection:
            assert connection.produce(topic, batch([b"a"]))["error"] == 3
            for _ in range(50):
                found = connection.metadata([topic], auto_create=True)["topics"][0]
                if found["error"] == 0:
                    break
                time.sleep(0.05)
            assert len(found["partitions"]) == wanted
        broker.stop()
    finally:
        broker.end()


def test_auto_creation_can_be_off(make_broker, topic):
    broker = make_broker({"auto.create.topics.enable": "false"})
    with Connection(broker.address) as connection:
        for _ in range(3):
            assert connection.metadata([topic], auto_create=True)["topics"][0]["error"] == 3


# hutong topic, produce, consume


def broker_command(name, broker, *arguments, fail=False):
    code, output, errors = run(name, *arguments, "--server", broker.server)
    if fail:
        return fails(code, errors)
    assert code == 0, errors.decode(errors="replace")
    return output.decode()


topic_command = functools.partial(broker_command, "topic")


def test_topic_commands(broker, topic):
    topic_command(broker, "create", topic, "--partitions", "3", "--config", "qos.leader=received")
    assert topic in topic_command(broker, "list").split()
    described = topic_command(broker, "describe", topic)
    assert topic in described and "3" in described
    with Connection(broker.address) as connection:
        assert len(connection.metadata([topic])["topics"][0]["partitions"]) == 3
    topic_command(broker, "delete", topic)
    assert topic not in topic_command(broker, "list").split()


def test_topic_command_errors(broker, topic):
    assert topic in topic_command(broker, "describe", topic, fail=True)
    assert topic in topic_command(broker, "delete", topic, fail=True)
    topic_command(broker, "create", topic, "--partitions", "1")
    assert "exist" in topic_command(broker, "create", topic, "--partitions", "1", fail=True)
    topic_command(broker, "create", topic + "-0", "--partitions", "0", fail=True)
    topic_command(broker, "create", "not a name", "--partitions", "1", fail=True)
    text = topic_command(broker, "create", topic + "-1", "--partitions", "1", "--config", "qos.laeder=x", fail=True)
    assert "qos.laeder" in text
    topic_command(broker, "create", topic + "-2", "--partitions", "1", "--config", "no-equals-sign", fail=True)


@pytest.mark.parametrize("command", [["topic", "list"], ["produce", "t"], ["consume", "t", "-e"]])
def test_no_broker_there(command):
    """Says that nobody listens, and where; in bounded time."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it
        port = unused.getsockname()[1]
        code, _, errors = run(*command, "--server", f"127.0.0.1:{port}", timeout=PATIENCE, stdin=b"x\n")
    assert str(port) in fails(code, errors)


@pytest.mark.parametrize("arguments", [
    ["frobnicate"], ["topic", "frobnicate"], ["serve", "--frobnicate"], ["topic", "create"],
    ["topic", "create", "t", "--partitions", "x", "--server", "127.0.0.1:1"]])
def test_usage_errors(arguments):
    code, _, errors = run(*arguments, timeout=PATIENCE)
    fails(code, errors)


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["topic", "--help"], ["--version"]])
def test_help(arguments):
    code, output, errors = run(*arguments)
    assert code == 0 and output.strip(), errors


def test_produce_and_consume(broker, topic):
    """A line is a record, in and out; the last one need not end."""
    topic_command(broker, "create", topic, "--partitions", "1")
    lines = ["吃了没，您吶?", "", "刚吃。", "x" * 100_000, "no end of line"]
    code, _, errors = run("produce", topic, "--server", broker.server, stdin="\n".join(lines).encode())
    assert code == 0, errors
    with Connection(broker.address) as connection:
        found = [value for one in split(connection.fetch(topic, 0)["records"]) for _, _, _, value, _ in one.records()]
    assert [value.decode() for value in found] == lines
    code, output, errors = run("consume", topic, "-e", "--server", broker.server)
    assert code == 0, errors
    assert output.decode() == "\n".join(lines) + "\n"


def consume(broker, topic, *arguments):
    return broker_command("consume", broker, topic, "-e", *arguments)


def test_keys_headers_and_tombstones(broker, topic):
    topic_command(broker, "create", topic, "--partitions", "1")
    for arguments, text in [(["-K", ":", "-Z", "-H", "a=1=2", "--header", "b"], "k:v\nk:\nnone\n"), (["-k", "all", "-z", "lz4"], "\nx\n")]:
        code, _, errors = run("produce", topic, *arguments, "--server", broker.server, stdin=text.encode())
        assert code == 0, errors
    assert consume(broker, topic, "-f", "%K %k %S %s %h\\n") == "1 k 1 v a=1=2,b=NULL\n1 k -1  a=1=2,b=NULL\n-1  4 none a=1=2,b=NULL\n3 all 0  \n3 all 1 x \n"
    for arguments in (["-H", "=x"], ["-k", "a", "-K", ":"]):
        fails(*run("produce", topic, *arguments, "--server", broker.server, stdin=b"")[::2])


def test_long_work_shows_how_far_it_is(broker, topic):
    """On a terminal, in one line that is gone in the end; elsewhere it says nothing."""
    def produce(stderr):
        with subprocess.Popen([*binary(), "produce", topic, "--server", broker.server], stdin=subprocess.PIPE, stderr=stderr) as producing:
            for _ in range(8):
                producing.stdin.write(b"line\n" * 10)
                producing.stdin.flush()
                time.sleep(0.25)
        assert producing.returncode == 0

    terminal, child = pty.openpty()
    produce(child)
    os.close(child)
    shown = b""
    with contextlib.suppress(OSError):  # the other side has been closed
        while more := os.read(terminal, 4096):
            shown += more
    os.close(terminal)
    assert re.search(rb"\r[1-8]0 records sent\r {15}\s*\r$", shown), shown
    with tempfile.TemporaryFile() as silent:
        produce(silent)
        assert silent.tell() == 0
    consumed = subprocess.run([*binary(), "consume", topic, "--server", broker.server, "-e"], capture_output=True, timeout=60)
    assert consumed.stdout.count(b"line\n") == 160 and consumed.stderr == b""


def test_consume_waits_for_a_broker_that_is_away(make_broker, topic):
    """A restart is none of a reader's business; a broker that stays away is, in the end."""
    broker = make_broker(port=free_port())
    topic_command(broker, "create", topic)
    consumer = subprocess.Popen([*binary(), "consume", topic, "--timeout", "5", "--server", broker.server],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_the_tests)
    try:
        for line in (b"before\n", b"after\n"):
            code, _, errors = run("produce", topic, "--server", broker.server, stdin=line)
            assert code == 0, errors
            assert consumer.stdout.readline() == line
            broker.restart(crash=True)
        broker.kill()
        assert consumer.wait(PATIENCE) == 1
        assert broker.server.encode() in consumer.stderr.read()
    finally:
        consumer.kill()
        consumer.communicate()


def test_formats_for_programs(broker, topic):
    """Lengths as four bytes, bytes by their numbers; and JSON, a record in a line."""
    topic_command(broker, "create", topic, "--partitions", "1")
    values = [b"v\n\"\\\x01", "胡同".encode(), None, b"\xff\x00"]
    with Connection(broker.address) as connection:
        sent = batch(values, keys=[b"k", None, b"k", b"\xfe"], timestamps=[1000, 1001, 1002, 1003])
        assert connection.produce(topic, sent)["error"] == 0
    code, output, errors = run("consume", topic, "-e", "-f", "%R%s\\x7c\\xZZ", "--server", broker.server)
    assert code == 0, errors
    assert output == b"".join((len(value or b"") if value is not None else 2 ** 32 - 1).to_bytes(4, "big") + (value or b"") + b"|\\xZZ" for value in values)
    lines = [json.loads(line) for line in consume(broker, topic, "--json").splitlines()]
    assert [(one["topic"], one["partition"], one["offset"], one["timestamp"]) for one in lines] == [(topic, 0, number, 1000 + number) for number in range(4)]
    assert [one.get("value") for one in lines] == ["v\n\"\\\x01", "胡同", None, None] and lines[3]["valueBase64"] == "/wA="
    assert [one.get("key") for one in lines] == ["k", None, "k", None] and lines[3]["keyBase64"] == "/g==" and lines[0]["headers"] == []
    code, _, errors = run("produce", topic, "-H", "a=1", "-H", "b", "--server", broker.server, stdin=b"x")
    assert code == 0, errors
    last, = consume(broker, topic, "--json", "-o", "-1").splitlines()
    assert json.loads(last)["headers"] == [{"key": "a", "value": "1"}, {"key": "b", "value": None}]
    fails(*run("consume", topic, "-e", "--json", "-f", "%s", "--server", broker.server)[::2])


def test_short_options_are_joined_as_kcats(broker, topic):
    topic_command(broker, "create", topic, "--partitions", "2")
    code, _, errors = run("produce", topic, "-K:", "-p1", "-zlz4", "--server", broker.server, stdin=b"a:1\nb:2\nc:3\nd:4\n")
    assert code == 0, errors
    assert consume(broker, topic, "-p1", "-o-3", "-n2", "-f%k%s,") == "b2,c3,"
    assert consume(broker, topic, "-p1", "-o1", "-f%s") == "234"


def test_consume_from_where_there_is_nothing(broker, topic):
    topic_command(broker, "create", topic, "--partitions", "1")
    assert "the topic has 1 partition" in fails(*run("consume", topic, "-e", "-p", "9", "--server", broker.server)[::2])
    assert "has none, and 0 is the next" in fails(*run("consume", topic, "-e", "-o", "500", "--server", broker.server)[::2])
    with Connection(broker.address) as connection:
        assert connection.produce(topic, batch([b"a", b"b", b"c"]))["error"] == 0
    topic_command(broker, "trim", topic, "--offset", "1")
    for offset in ("0", "500"):
        code, output, errors = run("consume", topic, "-e", "-o", offset, "--server", broker.server)
        assert code == 1 and output == b"" and f"{topic} [0] has no offset {offset}, only those from 1 to 2" in errors.decode()
    assert consume(broker, topic, "-o", "3") == "" and consume(broker, topic, "-o", "1") == "b\nc\n"


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_consume_unpacks(broker, topic, codec):
    topic_command(broker, "create", topic, "--partitions", "1")
    with Connection(broker.address) as connection:
        connection.produce(topic, batch([b"packed-%d" % index for index in range(50)], codec=codec))
    code, output, errors = run("consume", topic, "-e", "--server", broker.server)
    assert code == 0, errors
    assert output.decode().split() == [f"packed-{index}" for index in range(50)]


def test_consume_many_partitions(broker, topic):
    topic_command(broker, "create", topic, "--partitions", "5")
    with Connection(broker.address) as connection:
        for partition in range(5):
            connection.produce(topic, batch([b"p%d-%d" % (partition, index) for index in range(20)]), partition)
    code, output, errors = run("consume", topic, "-e", "--server", broker.server)
    assert code == 0, errors
    lines = output.decode().split()
    assert sorted(lines) == sorted(f"p{p}-{i}" for p in range(5) for i in range(20))
    for partition in range(5):
        mine = [line for line in lines if line.startswith(f"p{partition}-")]
        assert mine == [f"p{partition}-{index}" for index in range(20)], "order within a partition"


def test_consume_an_unknown_topic(broker, topic):
    code, _, errors = run("consume", topic, "-e", "--server", broker.server, timeout=PATIENCE)
    assert topic in fails(code, errors)


def test_consume_into_a_closed_pipe(broker, topic):
    """`hutong consume t | head -1` is no crash."""
    topic_command(broker, "create", topic, "--partitions", "1")
    with Connection(broker.address) as connection:
        for _ in range(20):
            connection.produce(topic, batch([b"y" * 1000] * 200))
    consumer = subprocess.Popen([*binary(), "consume", topic, "-e", "--server", broker.server],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment({}))
    try:
        assert consumer.stdout.read(10) == b"y" * 10
        consumer.stdout.close()
        code = consumer.wait(PATIENCE)
        assert code in (0, 1, -signal.SIGPIPE, 128 + signal.SIGPIPE), code
        assert b"Fatal error" not in consumer.stderr.read()
    finally:
        consumer.stderr.close()
        if consumer.poll() is None:
            consumer.kill()
        consumer.wait()
