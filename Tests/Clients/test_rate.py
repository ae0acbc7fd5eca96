"""Loads: every answer checked, and no allocation a request. No figure is asserted: these machines are shared; what is counted
does not drift."""

import json
import pathlib
import re
import signal
import subprocess
import time

import pytest

from broker import Broker, binary, free_port
from rawclient import Connection

COUNTER = pathlib.Path(__file__).parent / "malloc_counter.c"


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """The preloaded library that counts allocations."""
    library = tmp_path_factory.mktemp("counter") / "malloc_counter.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, COUNTER], check=True)
    return library


def bench(broker, command, *arguments):
    """Runs a load; what it prints."""
    done = subprocess.run(
        [*binary(), "bench", command, "--server", broker.server, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def generate(broker, *arguments):
    """Runs a produce load; its card."""
    return json.loads(bench(broker, "produce", "--json", "--ceiling", 0, *arguments))


@pytest.mark.parametrize("acks", [0, 1, -1])
def test_every_answer_is_right(broker_variant, acks):
    card = generate(broker_variant, "--acks", acks, "--duration", 1, "--warmup", 0.5)
    assert card["requestsPerSecond"] > 0 and card["brokerNsPerRequest"] > 0
    assert acks == 0 or 0 < card["latency"]["p50Ms"] <= card["latency"]["p99Ms"] <= card["latency"]["maxMs"]


def test_loads_of_other_shapes(broker):
    """More connections than partitions, more partitions than connections, large records, no producers, threads."""
    for arguments in [
        ["--connections", 6, "--partitions", 2, "--outstanding", 16],
        ["--connections", 3, "--topics", 20, "--partitions", 4, "--outstanding", 64, "--producers", 3],
        ["--connections", 2, "--outstanding", 4, "--record-size", 1000, "--records-per-request", 100, "--producers", 0],
        ["--connections", 4, "--outstanding", 8, "--threads", 2, "--topic-config", "retention.bytes=10000000"],
    ]:
        card = generate(broker, "--duration", 0.5, "--warmup", 0.2, *arguments)
        assert card["requests"] > 0


def test_a_given_rate(broker):
    card = generate(broker, "--rate", 2000, "--connections", 2, "--duration", 2, "--warmup", 0.5)
    # Where the machine stands still for a while, what was due meanwhile is answered late, and says so.
    assert 1500 < card["requestsPerSecond"] < 2500 or card["latency"]["maxMs"] > 200, card
    assert card["sendDelay"]["p50Ms"] <= card["latency"]["maxMs"]


def test_ceilings(broker):
    card = json.loads(bench(broker, "produce", "--json", "--ceiling", 0.5, "--duration", 0.5, "--warmup", 0.2))
    assert card["nullRequestsPerSecond"] > 0 and 0 < card["shareOfNull"]
    assert [figure["bytes"] for figure in card["drive"]] == [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20]
    assert all(figure["writesPerSecond"] > 0 for figure in card["drive"])
    text = bench(broker, "produce", "--ceiling", 0.5, "--duration", 0.5, "--warmup", 0.2)
    assert re.search(r"^\d+ records sent, [\d.]+ records/sec \([\d.]+ MB/sec\), .* 99\.9th\.$", text, re.M)
    assert "of the transport's" in text


def test_a_topic_that_is_there(broker, topic):
    for _ in range(2):
        generate(broker, "--topic", topic, "--duration", 0.3, "--warmup", 0.1, "--acks", 0)
        generate(broker, "--topic", topic, "--duration", 0.3, "--warmup", 0.1)
    with Connection(broker.address) as connection:
        assert connection.list_offset(topic, -1, partition=3)["offset"] > 0


@pytest.mark.parametrize("mode", ["cached", "cold", "tail"])
def test_consuming(broker, mode):
    for duration in (1.5, 6, 24):  # a shared drive may stand still for a second or two
        card = json.loads(bench(broker, "consume", "--json", "--mode", mode, "--size", 20, "--duration", duration, "--warmup", 0.2))
        if card["recordsPerSecond"] > 0:
            break
    assert card["recordsPerSecond"] > 0 and card["megabytesPerSecond"] > 0


def test_groups(make_broker):
    """Joined, committed for, asked and deleted; with --keep they stay."""
    broker = make_broker({"offsets.topic.num.partitions": 3, "group.initial.rebalance.delay.ms": 0})
    load = ["--json", "--groups", 12, "--topics", 5, "--partitions", 3, "--connections", 4, "--duration", 0.5, "--warmup", 0.1]
    for keeps in ([], ["--keep"]):
        card = json.loads(bench(broker, "groups", *load, *keeps))
        assert card["commitsPerSecond"] > 0 and card["verifiedOffsets"] == 36 and card["residentAfterMiB"] > 0
        listed = subprocess.run([*binary(), "group", "list", "--server", broker.server, "--json"], capture_output=True, text=True, timeout=60)
        assert len(json.loads(listed.stdout)) == (12 if keeps else 0), listed.stdout


def test_a_wrong_answer_stops_the_load(broker):
    """The null server knows no offsets: a load that checks them must not go on."""
    server = subprocess.Popen([*binary(), "bench", "null", "--listen", f"127.0.0.1:{free_port()}"], stdout=subprocess.PIPE, text=True)
    try:
        address = re.search(r"listening on (\S+),", server.stdout.readline())[1]
        done = subprocess.run(
            [*binary(), "bench", "produce", "--server", address, "--duration", "1"], capture_output=True, text=True, timeout=120)
        assert done.returncode != 0 and "requests/s" not in done.stdout
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("form", ["parts", "sentences", "reads", "batched", "ring"])
def test_the_old_men_meet(form):
    done = subprocess.run(
        [*binary(), "bench", "meet", "--meetings", "2000", "--form", form], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "sentences/s" in done.stdout, done.stderr


def test_each_in_a_house_of_his_own():
    address = f"127.0.0.1:{free_port()}"
    zhang = subprocess.Popen([*binary(), "bench", "meet", "--meetings", "5000", "--listen", address], stderr=subprocess.PIPE, text=True)
    try:
        assert "waiting" in zhang.stderr.readline()
        subprocess.run([*binary(), "bench", "meet", "--meetings", "5000", "--connect", address], check=True, timeout=60)
        assert zhang.wait(60) == 0
    finally:
        zhang.kill()
        zhang.wait()


def allocations(broker, count_file):
    """Asks the counter for its count."""
    count_file.unlink(missing_ok=True)
    broker.process.send_signal(signal.SIGUSR2)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if count_file.exists() and count_file.read_text().strip():
            return int(count_file.read_text())
        time.sleep(0.01)
    raise AssertionError("the counter did not answer")


@pytest.mark.parametrize("layout", ["single", "two", "group"])
def test_no_allocation_per_request(tmp_path, counter, layout):
    """Two runs of different length: what the second allocates more, divided by the requests it sends more."""
    count_file = tmp_path / "count"
    broker = Broker(
        tmp_path / "broker", {"threads.layout": layout},
        prefix=["env", f"LD_PRELOAD={counter}", f"MALLOC_COUNT_FILE={count_file}"])
    broker.directory.mkdir()
    broker.start()
    try:
        generate(broker, "--duration", 1, "--warmup", 1)
        before = allocations(broker, count_file)
        requests = generate(broker, "--duration", 4, "--warmup", 0)["requests"]
        after = allocations(broker, count_file)
        assert requests > 10_000
        assert (after - before) / requests < 0.02, f"{after - before} allocations for {requests} requests"
    finally:
        broker.stop()
