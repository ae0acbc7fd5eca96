"""Clients that are broken, slow, silent, greedy or hostile, while another works: it must not notice, and the broker's memory
must stay bounded. Deadlines are made short for it."""

import contextlib
import pathlib
import random
import re
import select
import shutil
import socket
import struct
import time

import pytest

from batches import batch, split
from broker import Broker
from messages import API_VERSIONS, FETCH, METADATA, PRODUCE
from rawclient import Connection, produce_topics
from traffic import PARTITIONS, Traffic
from wire import request_frame

MIB = 1 << 20
DEADLINE = 2.0  # seconds: every deadline of the broker's here
SLACK = 8.0  # seconds more until what should have been closed must be: other programs run on this host
SLOWEST = 3.0  # seconds that a record of the well-behaved client may take
DEADLINES = {
    "connection.first.byte.timeout.ms": 2000,
    "connection.request.timeout.ms": 2000,
    "connection.send.timeout.ms": 2000,
    "journal.segment.bytes": 8 * MIB,
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    shared = Broker(tmp_path_factory.mktemp("abused"), DEADLINES).start()
    try:
        yield shared
        shared.stop()
    finally:
        shared.end()
        shutil.rmtree(shared.data, ignore_errors=True)


@contextlib.contextmanager
def bystander(broker, topic):
    """Another client's work, before, during and after; and the broker's process afterwards is the one from before."""
    with Connection(broker.address) as connection:
        connection.create(topic, PARTITIONS)
    with Traffic(broker, topic) as traffic:
        yield traffic
        assert traffic.progress() < SLOWEST
    assert traffic.p99() < SLOWEST
    assert broker.alive(), broker.tail()


def rss(broker):
    """The broker's memory, in bytes."""
    status = pathlib.Path(f"/proc/{broker.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024


def connect(broker, source=None, small=False):
    opened = socket.socket()
    opened.settimeout(10)
    if small:  # the kernel takes little for a client that doesn't read
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    if source:
        opened.bind((source, 0))
    opened.connect(broker.address)
    return opened


@contextlib.contextmanager
def many(broker, count, **options):
    opened = [connect(broker, **options) for _ in range(count)]
    try:
        yield opened
    finally:
        for each in opened:
            each.close()


def is_closed(connection):
    """Whether the broker has ended the connection. Nothing is read: a client that reads would be another client."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(0))


def await_closed(connections, within=DEADLINE + SLACK):
    """Waits until the broker has ended all of them; the seconds that it took."""
    start = time.monotonic()
    left = connections
    while left:
        left = [each for each in left if not is_closed(each)]
        assert time.monotonic() - start < within, f"{len(left)} of {len(connections)} still open after {within} s"
        time.sleep(0.02)
    return time.monotonic() - start


def send_some(connection, data):
    with contextlib.suppress(OSError):
        connection.send(data)


# What can't be understood


def test_garbage(broker, topic):
    """Noise, and noise behind a good header: each costs its own connection."""
    dice = random.Random(4)
    served = [(0, 3, 11), (1, 4, 12), (2, 1, 7), (3, 0, 12), (18, 0, 4), (19, 2, 7), (20, 1, 6), (22, 0, 4)]
    with bystander(broker, topic):
        for round in range(300):
            with connect(broker) as connection:
                noise = dice.randbytes(dice.randrange(1, 2000))
                if round % 2:
                    key, low, high = dice.choice(served)
                    noise = struct.pack(">hhih", key, dice.randint(low, high), round, -1) + noise
                    noise = struct.pack(">i", len(noise)) + noise
                send_some(connection, noise)
                if round % 3 == 0:
                    connection.shutdown(socket.SHUT_WR)
                    await_closed([connection])


@pytest.mark.parametrize("length", [0x7FFFFFFF, 104_857_601, -1, -0x80000000, *range(8)])
def test_impossible_lengths(broker, length):
    """Refused from its four bytes, without memory for it."""
    before = rss(broker)
    with many(broker, 20) as connections:
        for connection in connections:
            send_some(connection, struct.pack(">i", length) + bytes(100))
        await_closed(connections, within=DEADLINE - 0.5)
    assert rss(broker) - before < 16 * MIB


# Who does not go on


def test_silence(broker, topic):
    with bystander(broker, topic), many(broker, 300) as connections:
        assert not any(map(is_closed, connections[:100]))
        assert await_closed(connections) > 1.0


@pytest.mark.parametrize("cut", [1, 3, 4, 9, -1])
def test_half_frames(broker, topic, cut):
    frame = request_frame(METADATA, 4, 1, {"topics": None})
    with bystander(broker, topic), many(broker, 100) as connections:
        for connection in connections:
            connection.sendall(frame[:cut])
        assert await_closed(connections) > 1.0


def test_half_a_frame_behind_good_ones(broker):
    """The deadline is the request's, not the connection's; and what was asked before is answered."""
    with Connection(broker.address) as connection:
        for _ in range(4):
            assert connection.ask(API_VERSIONS, 3)["error"] == 0
            time.sleep(DEADLINE / 3)
        connection.send_bytes(connection.frame(METADATA, 4, topics=None)[:-1])
        connection.expect_close(DEADLINE + SLACK)


def test_slowloris(broker, topic):
    """A byte now and then is no progress."""
    data = batch([b"slow" * 100])
    frame = request_frame(PRODUCE, 9, 1, {"acks": -1, "topics": produce_topics(topic, {0: data})})
    with bystander(broker, topic), many(broker, 300) as connections:
        start = time.monotonic()
        for byte in frame:
            for connection in connections:
                send_some(connection, bytes([byte]))
            left = [connection for connection in connections if not is_closed(connection)]
            if not left:
                break
            time.sleep(0.3)
        assert not left, f"{len(left)} of {len(connections)} may go on after {time.monotonic() - start:.1f} s"
        assert time.monotonic() - start > 1.0


def test_slow_but_steady(broker, topic):
    """A large request at a pace that is allowed, for longer than the deadline."""
    with Connection(broker.address) as connection:
        connection.create(topic)
        frame = connection.frame(PRODUCE, 9, acks=-1, topics=produce_topics(topic, {0: batch([bytes(40_000)])}))
        steps = 20
        for at in range(0, len(frame), len(frame) // steps + 1):
            connection.send_bytes(frame[at:at + len(frame) // steps + 1])
            time.sleep(2 * DEADLINE / steps)
        assert connection.receive()["topics"][0]["partitions"][0]["error"] == 0


def test_waiting_is_not_idle(make_broker, topic):
    """A client that waits for an answer keeps its connection; one that asks for nothing loses it."""
    broker = make_broker({"connections.max.idle.ms": 1000})
    with Connection(broker.address) as connection:
        connection.create(topic)
        start = time.monotonic()
        assert connection.fetch(topic, 0, max_wait_ms=4000)["error"] == 0
        assert time.monotonic() - start > 3.5, "the fetch was to wait"
        connection.expect_close(1.0 + SLACK)


# Who wants too much


def test_announcements(broker, topic):
    """What is only announced takes no memory, and keeps nobody from sending a large request."""
    with bystander(broker, topic) as traffic, many(broker, 50) as connections:
        before = rss(broker)
        for connection in connections:
            connection.sendall(struct.pack(">ihh", 100 * MIB, 0, 9) + bytes(10_000))
        with Connection(broker.address, timeout=DEADLINE - 0.5) as large:
            for _ in range(3):
                assert large.produce(topic + "-large", batch([bytes(900_000)]))["error"] in (0, 3)
        assert traffic.progress() < SLOWEST
        assert rss(broker) - before < 64 * MIB
        await_closed(connections)


def test_half_of_100_megabytes(broker, topic):
    """Who holds much and does not go on must give it up, so that others can have it."""
    with bystander(broker, topic), many(broker, 3) as connections:
        for connection in connections:
            connection.sendall(struct.pack(">ihh", 100 * MIB - 100, 0, 9))
            with contextlib.suppress(OSError):
                connection.settimeout(3)
                connection.sendall(bytes(70 * MIB))
        with Connection(broker.address) as large:
            assert large.produce(topic + "-large", batch([bytes(900_000)]))["error"] in (0, 3)
        await_closed(connections, within=3 * DEADLINE + SLACK)


def fill(broker, connection, topic, megabytes):
    connection.create(topic)
    for number in range(megabytes):
        data = batch([b"%d" % number, bytes(500_000), bytes(500_000)])
        answer = connection.produce(topic, data)
        assert answer["error"] == 0, (number, answer, broker.tail())


def test_consumers_that_never_read(broker, topic):
    """They hold a bounded part of the memory, for a bounded time; who reads gets everything meanwhile."""
    full = topic + "-full"
    with Connection(broker.address) as reader:
        fill(broker, reader, full, 48)
        with bystander(broker, topic) as traffic, many(broker, 40, small=True) as connections:
            before = rss(broker)
            fetch = {"max_wait_ms": 1000, "min_bytes": 1, "max_bytes": 50 * MIB, "topics": [
                {"name": full, "partitions": [{"index": 0, "offset": 0}]}]}
            frames = b"".join(request_frame(FETCH, 12, number, fetch) for number in range(40))
            for connection in connections:
                connection.sendall(frames)
            offset = 0
            start = time.monotonic()
            while offset < 48 * 3:
                answer = reader.fetch(full, offset)
                assert answer["error"] == 0
                for each in split(answer["records"]):
                    assert each.base_offset <= offset < each.next_offset and each.crc_holds()
                    offset = each.next_offset
            assert time.monotonic() - start < 45
            assert traffic.progress() < SLOWEST
            # 64 MiB of answers, and what the journal's cache was still to be filled with.
            assert rss(broker) - before < (64 + 48 + 32) * MIB
            time.sleep(DEADLINE)
            await_closed(connections, within=3 * DEADLINE + SLACK)


def test_metadata_that_nobody_reads(broker, topic):
    """The same with answers that no budget of fetches counts."""
    with Connection(broker.address) as connection:
        for number in range(30):
            connection.create(f"{topic}-{number}", 1000)
    with bystander(broker, topic), many(broker, 100, small=True) as connections:
        before = rss(broker)
        frames = b"".join(request_frame(METADATA, 7, number, {"topics": None}) for number in range(50))
        for connection in connections:
            send_some(connection, frames)
        with Connection(broker.address) as other:
            assert other.ask(API_VERSIONS, 3)["error"] == 0
        time.sleep(DEADLINE)
        assert rss(broker) - before < 128 * MIB
        await_closed(connections, within=3 * DEADLINE + SLACK)


# Too many


def test_more_than_max_connections(make_broker, topic):
    """Those beyond are closed at once; those that are there go on, and when some leave others can come."""
    broker = make_broker({"max.connections": 60, "connection.first.byte.timeout.ms": 20_000})
    with bystander(broker, topic) as traffic:
        with many(broker, 300) as connections:
            traffic.progress()
            closed = [connection for connection in connections if is_closed(connection)]
            assert 240 < len(closed) < 260
            await_closed(closed)
        traffic.progress()
        with Connection(broker.address) as connection:
            assert connection.ask(API_VERSIONS, 3)["error"] == 0
    log = broker.log()
    assert "connections already" in log and log.count("refused") < 200, "the log is not flooded"


def test_more_than_one_address_may_have(make_broker, topic):
    broker = make_broker({"max.connections.per.ip": 40, "connection.first.byte.timeout.ms": 20_000})
    with bystander(broker, topic) as traffic, many(broker, 100) as connections:
        traffic.progress()
        assert 60 < sum(map(is_closed, connections)) < 80
        with many(broker, 40, source="127.0.0.2") as others:
            traffic.progress(20)
            assert not any(map(is_closed, others))
            with connect(broker, source="127.0.0.2") as last:
                await_closed([last])


def test_a_flood(make_broker, topic):
    """Thousands that come and go at once."""
    broker = make_broker({"max.connections": 5000})
    with bystander(broker, topic) as traffic:
        for _ in range(3):
            with many(broker, 1500) as connections:
                for connection in connections[::2]:
                    send_some(connection, request_frame(API_VERSIONS, 3, 1, {}))
            traffic.progress(10)


def test_few_descriptors(make_broker, topic):
    """Connections take no descriptor that the journal needs: it goes on to new segments while all others are taken."""
    broker = make_broker(
        {"journal.segment.bytes": MIB, "message.max.bytes": 256 << 10, "connection.first.byte.timeout.ms": 60_000},
        prefix=("prlimit", "--nofile=128:160"))
    assert "at most 80 connections" in broker.log(), broker.tail()
    with bystander(broker, topic) as traffic, many(broker, 200) as connections:
        traffic.progress()
        assert 110 < sum(map(is_closed, connections)) < 130
        large = topic + "-large"
        kept = [connection for connection in connections if not is_closed(connection)]
        kept[0].close()
        time.sleep(0.5)
        with Connection(broker.address) as connection:
            connection.create(large)
            for number in range(60):
                assert connection.produce(large, batch([bytes(200_000)]))["base_offset"] == number
            offset = 0
            while offset < 60:
                offset = split(connection.fetch(large, offset)["records"])[-1].next_offset


def test_too_few_descriptors(tmp_path):
    broker = Broker(tmp_path, prefix=("prlimit", "--nofile=64:64"))
    with pytest.raises(AssertionError, match="only 64 files may be open"):
        broker.start()
