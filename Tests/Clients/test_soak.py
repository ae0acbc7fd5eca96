"""Long runs, only with --soak: many kills, minutes at full speed, large journals, a thousand partitions, an idle hour's share of CPU.

Each prints its figures (pytest -s).
"""

import collections
import json
import os
import pathlib
import re
import subprocess
import threading
import time

import pytest

from batches import batch, split
from broker import VARIANTS, binary, free_port, used
from crash_worker import value_of
from messages import PRODUCE
from rawclient import Closed, Connection, produce_topics
from test_crash import PARTITIONS, check_acknowledged, check_once_and_in_order, crash_rounds, read_all

pytestmark = pytest.mark.soak
MIB = 1 << 20
KILL_RATE = 500  # records a second of each producer: all that was acknowledged has to be kept in mind
DRIVE_READ = 1 << 30  # bytes that are read to measure the drive


def minutes(default):
    return float(os.environ.get("HUTONG_SOAK_MINUTES", default))


def resident(pid):
    """Bytes of memory that the process has now."""
    return int(re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def allocated(path):
    """Bytes that the directory's files take."""
    return used(path, lambda stat: stat.st_blocks * 512)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(broker, seconds):
    """Starts a load on the topic `load`."""
    return subprocess.Popen(
        [*binary(), "bench", "produce", "--server", broker.server, "--topic", "load", "--duration", str(int(seconds)), "--ceiling", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


class PlainProducer(threading.Thread):
    """Sends each record once, whatever becomes of it, and writes down what was acknowledged, as a worker does."""

    def __init__(self, broker, topic):
        super().__init__(daemon=True)
        self.broker, self.topic, self.ends = broker, topic, False
        self.events = []

    def run(self):
        number = 0
        while not self.ends:
            try:
                with Connection(self.broker.address) as connection:
                    while not self.ends:
                        partition = number % PARTITIONS
                        number += 1
                        time.sleep(1 / KILL_RATE)
                        answer = connection.produce(
                            self.topic, batch([value_of("plain", number)]), partition, acks=(1, -1)[number % 2])
                        if answer["error"] == 0:
                            self.events.append(("ack", partition, answer["base_offset"], number))
            except (OSError, Closed):
                time.sleep(0.05)


def test_two_hundred_kills(make_broker, topic, tmp_path):
    """Idempotent and plain producers, segments and a journal so small that archives and retention have their part in it."""
    settings = {
        **VARIANTS["default"], "journal.segment.bytes": MIB, "journal.max.bytes": 6 * MIB, "message.max.bytes": 100_000,
    }
    broker = make_broker(settings, port=free_port())
    plain = PlainProducer(broker, topic)
    plain.start()
    workers = crash_rounds(broker, topic, int(os.environ.get("HUTONG_SOAK_KILLS", 200)), tmp_path, KILL_RATE)
    plain.ends = True
    plain.join(30)
    found = read_all(broker, topic)
    check_once_and_in_order(found)
    acknowledged = check_acknowledged("plain", plain.events, found)
    for worker in workers:
        acknowledged += check_acknowledged(worker.client, worker.events(), found)
        assert not [event for event in worker.events() if event[0] not in ("ack", "implied")]
    archived = list((broker.data / "group-0/archive").glob("*.frames"))
    print(f"{acknowledged} acknowledged records, {sum(map(len, found))} there, {len(archived)} archive files")
    assert archived and len(plain.events) > 100


def test_minutes_at_full_speed(make_broker):
    """Memory and disk stay where they are, with a consumer that asks and never reads."""
    retention, connections = 512 * MIB, 4
    segment = 64 * MIB
    broker = make_broker({"log.retention.bytes": retention, "journal.max.bytes": 8 << 30, "num.partitions": 1})
    seconds = minutes(10) * 60
    producer = load(broker, seconds)
    memory, disk = [], []
    deadline = time.monotonic() + seconds
    greedy, asked = None, 0
    time.sleep(2)
    while time.monotonic() < deadline:
        try:
            if greedy is None:
                with Connection(broker.address) as asking:
                    offset = asking.list_offset("load", -1)["offset"] - 1000
                greedy = Connection(broker.address)
                for _ in range(2):
                    greedy.send_fetch("load", offset, 0, partition_max_bytes=8 << 20, max_bytes=8 << 20)
                asked += 1
            greedy.socket.getpeername()
        except (OSError, Closed):
            greedy = None
        time.sleep(2)
        memory.append(resident(broker.pid))
        disk.append(allocated(broker.data))
    said = producer.communicate(timeout=60)[0]
    settled = memory[len(memory) // 5:]
    print(said)
    print(f"resident MiB: after a fifth {settled[0] // MIB}, at most {max(settled) // MIB}, at the end {settled[-1] // MIB}")
    print(f"disk MiB: retention {connections * retention // MIB}, at most {max(disk) // MIB}, at the end {disk[-1] // MIB}")
    assert "requests/s" in said and producer.returncode == 0 and asked > 0
    assert max(settled) <= 1.1 * settled[0]
    assert max(disk) <= connections * retention + segment


def started(broker):
    began = time.monotonic()
    broker.start()
    return time.monotonic() - began


def test_four_gigabytes_are_recovered(make_broker):
    broker = make_broker({"journal.max.bytes": 16 << 30, "num.partitions": 1})
    while allocated(broker.data) < 4 << 30:
        load(broker, 5).communicate(timeout=120)
    broker.kill()
    size = allocated(broker.data) / MIB
    crashed = started(broker)
    broker.stop()
    stopped = started(broker)
    broker.kill()
    for checkpoint in (broker.data / "group-0").glob("checkpoint-*"):
        checkpoint.unlink()
    whole = started(broker)
    print(f"{size:.0f} MiB: started after kill -9 in {crashed:.2f} s, after a clean stop in {stopped:.2f} s, "
          f"without checkpoints (every frame read) in {whole:.2f} s, {size / whole:.0f} MiB/s")
    assert stopped < 1


def drive_speed(path):
    """What the drive reads in order, past the page cache, in bytes a second."""
    file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    memory = __import__("mmap").mmap(-1, 4 * MIB)
    began, total = time.monotonic(), 0
    try:
        while total < DRIVE_READ and (count := os.preadv(file, [memory], total)):
            total += count
    finally:
        os.close(file)
    return total / (time.monotonic() - began)


def test_one_of_a_thousand_partitions(make_broker, tmp_path):
    """An idle partition's data survives among busy ones, the disk stays bounded, and reading one partition from the archives is not
    much slower than the drive."""
    partitions, rounds = 1000, int(os.environ.get("HUTONG_SOAK_ROUNDS", 220))
    broker = make_broker({
        "journal.max.bytes": 512 * MIB, "log.retention.bytes": 4 * MIB, "partition.groups": 1, "log.retention.check.interval.ms": 500})
    value = os.urandom(16_000)
    one, many = batch([value]), batch([value] * 50)
    with Connection(broker.address) as connection:
        connection.create("idle", 1, configs={"retention.bytes": "-1"})
        connection.create("kept", 1, configs={"retention.bytes": "-1"})
        connection.create("busy", partitions)
        for number in range(100):
            assert connection.produce("idle", batch([b"%d" % number]))["error"] == 0
        kept = 0
        for turn in range(rounds):
            for partition in range(partitions):
                connection.send(PRODUCE, 9, acks=-1, topics=produce_topics("busy", {partition: one}))
            for _ in range(4):
                connection.send(PRODUCE, 9, acks=-1, topics=produce_topics("kept", {0: many}))
                kept += 50
            for _ in range(partitions + 4):
                assert connection.receive()["topics"][0]["partitions"][0]["error"] == 0
        end = time.monotonic() + 60
        while len(list((broker.data / "group-0").glob("*.segment"))) > 16 and time.monotonic() < end:
            time.sleep(1)
        bound = partitions * 4 * MIB + 512 * MIB + 6 * 64 * MIB + kept * 16_200
        print(f"disk MiB {allocated(broker.data) // MIB}, bound {bound // MIB}")
        assert allocated(broker.data) <= bound
        idle = connection.fetch("idle", 0, 0)
        assert [one for each in split(idle["records"]) for _, _, _, one, _ in each.records()] == [b"%d" % n for n in range(100)]
        # By bytes the largest is that of `kept`.
        archives = collections.Counter()
        for path in (broker.data / "group-0/archive").glob("*.frames"):
            archives[path.name.split("-")[0]] += path.stat().st_size
        archived = archives.most_common(1)[0][1]
        os.system("sync")
        drive = drive_speed(max((broker.data / "group-0").glob("*.segment")))
        assert archived > 500 * MIB, "more than the broker's memory holds"
        done = subprocess.run(
            [*binary(), "bench", "consume", "--server", broker.server, "--topic", "kept", "--connections", "1", "--mode", "cold",
             "--fetch-bytes", str(8 << 20), "--duration", "5", "--warmup", "1", "--json"],
            capture_output=True, text=True, timeout=120, check=True)
        speed = json.loads(done.stdout)["megabytesPerSecond"] * 1e6
    print(f"cold read of one partition of {partitions}: {speed / MIB:.0f} MiB/s, drive in order {drive / MIB:.0f} MiB/s, ratio {speed / drive:.2f}")
    assert speed >= drive / 2


def test_idle(make_broker):
    broker = make_broker()
    connections = [Connection(broker.address) for _ in range(100)]
    for connection in connections:
        connection.metadata([])
    time.sleep(2)
    before = cpu_seconds(broker.pid)
    time.sleep(60)
    spent = cpu_seconds(broker.pid) - before
    print(f"{spent:.2f} s of CPU in a minute with 100 connections")
    for connection in connections:
        connection.close()
    assert spent <= 0.05
