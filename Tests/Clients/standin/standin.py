#!/usr/bin/env python3
"""A stand-in for the broker, in memory but for one append-only file, to test the tests and nothing else.

HUTONG_BIN="python .../standin.py" runs the suite against it. STANDIN_FAULT names one mistake that it makes on purpose
(see faults.sh): a test that stays green with a fault that it is for is worth nothing.
"""

import argparse
import asyncio
import ctypes
import fcntl
import os
import pathlib
import re
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from batches import HEADER, crc32c, split  # noqa: E402
from messages import APIS, SERVED  # noqa: E402
from plan import apply_plan, print_plan  # noqa: E402
from wire import Reader, read_fields  # noqa: E402

try:
    from aiokafka.record.util import calc_crc32c as crc32c  # noqa: F811  the quick one
except ImportError:
    pass

FAULT = os.environ.get("STANDIN_FAULT", "")
MAX_BYTES = 1_048_588
LONGEST = 100 << 20
CONFIGS = {"retention.ms", "qos.leader", "qos.all", "max.message.bytes", "cleanup.policy"}


class Close(Exception):
    """This connection is to be closed."""


class Log:
    """One partition."""

    def __init__(self, group):
        self.batches = []
        self.next = 0
        self.group = group
        self.producers = {}
        self.changed = asyncio.Event()

    def check(self, data):
        """(error, the batch's first offset when it is a duplicate)."""
        if len(data) < HEADER.size or data[16] != 2:
            return 87, -1
        if len(data) > MAX_BYTES:
            return (0, -1) if FAULT == "size" else (10, -1)
        found = split(data)
        if len(found) != 1 or len(found[0].data) != len(data) or (crc32c(data[21:]) != found[0].crc and FAULT != "crc"):
            return 2, -1
        batch = found[0]
        if batch.last_delta + 1 != batch.count or batch.count < 1:
            return 87, -1
        if batch.attributes & 7 == 0 and FAULT != "count":
            try:
                if len(list(batch.records())) != batch.count:
                    return 87, -1
                start = 61
                count = 0
                while start < len(data):
                    reader = Reader(data[start:], False)
                    size = reader.varint()
                    start += reader.at + (size >> 1)
                    count += 1
                if count != batch.count:
                    return 87, -1
            except IndexError:
                return 87, -1
        return self.check_sequence(batch)

    def check_sequence(self, batch):
        if batch.producer_id < 0:
            return 0, -1
        known = self.producers.get(batch.producer_id)
        if known is None:
            return (0, -1)
        epoch, recent = known
        if batch.producer_epoch < epoch:
            return (0, -1) if FAULT == "epoch" else (47, -1)
        if batch.producer_epoch > epoch:
            return (0, -1) if batch.sequence == 0 else (45, -1)
        for sequence, count, offset in recent:
            if (sequence, count) == (batch.sequence, batch.count) and FAULT != "duplicates":
                return 0, offset
        wanted = (recent[-1][0] + recent[-1][1]) & 0x7FFFFFFF
        return (0, -1) if batch.sequence == wanted or FAULT in ("gap", "duplicates") else (45, -1)

    def append(self, data):
        offset = self.next
        data = struct.pack(">q", offset) + data[8:12] + struct.pack(">i", 0) + data[16:]
        batch = split(data)[0]
        self.batches.append(batch)
        self.next = batch.next_offset
        if batch.producer_id >= 0:
            epoch, recent = self.producers.get(batch.producer_id, (batch.producer_epoch, []))
            recent = recent if epoch == batch.producer_epoch else []
            recent.append((batch.sequence, batch.count, offset))
            self.producers[batch.producer_id] = (batch.producer_epoch, recent[-5:])
        return offset, data


class Standin:
    def __init__(self, data, settings):
        self.data = pathlib.Path(data)
        self.settings = settings
        self.topics = {}
        self.groups = int(settings.get("HUTONG_PARTITION_GROUPS", 1))
        self.next_producer = 1
        self.position = {}
        self.waiters = asyncio.Condition()
        self.trace = open(settings["HUTONG_IO_TRACE"], "a", buffering=1) if "HUTONG_IO_TRACE" in settings else None
        self.recover()
        self.file = open(self.data / "log", "ab", buffering=0)

    # What survives: one file of (kind, name, partition, payload).

    def recover(self):
        path = self.data / "log"
        data = path.read_bytes() if path.exists() else b""
        at = 0
        while at + 11 <= len(data):
            kind, size, name_size, partition = struct.unpack_from(">BIHI", data, at)
            if at + 11 + name_size + size > len(data):
                break
            name = data[at + 11 : at + 11 + name_size].decode()
            payload = data[at + 11 + name_size : at + 11 + name_size + size]
            at += 11 + name_size + size
            if kind == 0:
                self.make(name, partition)
            elif kind == 1 and not (FAULT == "lose" and at > len(data) - 3000):
                self.topics[name][partition].append(payload)
            elif kind == 2:
                self.topics.pop(name, None)
            else:
                self.next_producer = partition + 1
        if FAULT == "forget-producers":
            for logs in self.topics.values():
                for log in logs:
                    log.producers = {}
        if path.exists():
            os.truncate(path, at)

    def write(self, kind, name, partition, payload=b""):
        if FAULT != "volatile" or kind != 1:
            self.file.write(struct.pack(">BIHI", kind, len(payload), len(name.encode()), partition)
                            + name.encode() + payload)

    def make(self, name, count):
        self.topics[name] = [Log((hash(name) + index) % self.groups) for index in range(count)]

    def create(self, name, count):
        self.make(name, count)
        self.write(0, name, count)

    # One function for each API.

    def api_versions(self, _, version):
        return {"error": 0, "apis": [{"key": key, "min": 0 if key == 0 else low, "max": high}
                                     for key, (low, high) in SERVED.items()]}

    async def produce(self, request, version):
        partitions_of = []
        for topic in request["topics"]:
            answers = []
            for part in topic["partitions"]:
                logs = self.topics.get(topic["name"], [])
                if not 0 <= part["index"] < len(logs):
                    answers.append({"index": part["index"], "error": 3, "base_offset": -1})
                    continue
                log = logs[part["index"]]
                error, offset = log.check(part["records"] or b"")
                if not error and offset < 0:
                    offset, stored = log.append(part["records"])
                    self.write(1, topic["name"], part["index"], stored)
                    self.traced(log.group, len(stored), request["acks"])
                answers.append({"index": part["index"], "error": error, "base_offset": offset})
            partitions_of.append({"name": topic["name"], "partitions": answers})
        if FAULT != "deaf":
            async with self.waiters:
                self.waiters.notify_all()
        return {"topics": partitions_of}

    def traced(self, group, size, acks):
        if not self.trace:
            return
        start = self.position.get(group, 0)
        end = self.position[group] = start + size
        now = time.monotonic_ns()
        lines = [f"{now} write-submit group={group} from={start} to={end}", f"{now} sync-done group={group} flushed={end}",
                 f"{now} answer group={group} qos={self.quality(acks)} position={end}"]
        if FAULT == "early":
            lines[1:] = reversed(lines[1:])
        self.trace.write("".join(line + "\n" for line in lines))

    def quality(self, acks):
        """The level that this request's answer waits for."""
        if acks == -1:
            return 3 if self.settings.get("HUTONG_QOS_ALL") == "replicated" else 4
        return 1 if self.settings.get("HUTONG_QOS_LEADER") == "received" else 2

    async def fetch(self, request, version):
        deadline = time.monotonic() + request["max_wait_ms"] / 1000
        while True:
            answer, size, failed = self.gather(request)
            left = deadline - time.monotonic()
            if size >= request["min_bytes"] or failed or left <= 0:
                return answer
            try:
                async with self.waiters:
                    await asyncio.wait_for(self.waiters.wait(), left)
            except asyncio.TimeoutError:
                pass

    def gather(self, request):
        total, failed, topics = 0, False, []
        for topic in request["topics"]:
            parts = []
            for part in topic["partitions"]:
                logs = self.topics.get(topic["name"], [])
                if not 0 <= part["index"] < len(logs):
                    parts.append({"index": part["index"], "error": 3, "high_watermark": -1, "records": b""})
                    failed = True
                    continue
                log = logs[part["index"]]
                error = 0 if 0 <= part["offset"] <= log.next else 1
                failed |= bool(error)
                found = b""
                if not error:
                    low, high = 0, len(log.batches)
                    while low < high:
                        middle = (low + high) // 2
                        low, high = (middle + 1, high) if log.batches[middle].next_offset <= part["offset"] else (low, middle)
                    for batch in log.batches[low:]:
                        room = min(part["max_bytes"] - len(found), request["max_bytes"] - total)
                        if len(batch.data) > room and (total or FAULT == "no-first"):
                            break
                        found += batch.data
                        total += len(batch.data)
                parts.append({"index": part["index"], "error": error, "high_watermark": log.next,
                              "last_stable_offset": log.next, "records": found})
            topics.append({"name": topic["name"], "partitions": parts})
        return {"topics": topics}, total, failed

    def list_offsets(self, request, version):
        topics = []
        for topic in request["topics"]:
            parts = []
            for part in topic["partitions"]:
                log = dict(enumerate(self.topics.get(topic["name"], []))).get(part["index"])
                time_found, offset, error = -1, -1, 0
                if log is None:
                    error = 3
                elif part["timestamp"] == -1:
                    offset = log.next
                elif part["timestamp"] == -2:
                    offset = 0
                else:
                    records = [r[:2] for batch in log.batches for r in batch.records()]
                    if part["timestamp"] == -3:
                        newest = max((r[1] for r in records), default=-1)
                        offset, time_found = next((r for r in records if r[1] == newest), (-1, -1))
                    else:
                        offset, time_found = next((r for r in records if r[1] >= part["timestamp"]), (-1, -1))
                    if FAULT == "base-offset":
                        offset = 0
                parts.append({"index": part["index"], "error": error, "timestamp": time_found, "offset": offset})
            topics.append({"name": topic["name"], "partitions": parts})
        return {"topics": topics}

    def metadata(self, request, version):
        names = [topic["name"] for topic in request["topics"]] if request["topics"] is not None else list(self.topics)
        if version == 0 and not names:
            names = list(self.topics)
        topics = []
        for name in names:
            error = 0
            if name not in self.topics:
                if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name or "") or name in (".", ".."):
                    error = 17
                elif request.get("auto_create", True) or FAULT == "auto-create":
                    self.create(name, int(self.settings.get("HUTONG_NUM_PARTITIONS", 1)))
                else:
                    error = 3
            logs = self.topics.get(name, [])
            topics.append({"error": error, "name": name, "id": bytes(15) + b"1", "partitions": [
                {"error": 0, "index": index, "leader": 1, "leader_epoch": 0, "replicas": [1], "isr": [1]}
                for index in range(len(logs))]})
        return {"brokers": [{"id": 1, "host": "127.0.0.1", "port": self.port}], "cluster_id": "standin",
                "controller_id": 1, "topics": topics}

    def create_topics(self, request, version):
        topics = []
        for topic in request["topics"]:
            name, count, copies = topic["name"], topic["partitions"], topic["replication"]
            error = 0
            if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) or name in (".", ".."):
                error = 17
            elif name in self.topics:
                error = 36
            elif count == 0 or count < -1:
                error = 37
            elif copies not in (1, -1):
                error = 38
            elif any(config["name"] not in CONFIGS for config in topic["configs"]):
                error = 40
            if not error and not request["validate_only"]:
                self.create(name, 12 if count == -1 else count)
            topics.append({"name": name, "error": error, "message": "no" if error else None, "partitions": count,
                           "replication": copies})
        return {"topics": topics}

    def delete_topics(self, request, version):
        names = [topic["name"] for topic in request["topics"]] if version >= 6 else request["names"]
        topics = []
        for name in names:
            known = self.topics.pop(name, None)
            if known is not None:
                self.write(2, name, 0)
            topics.append({"name": name, "error": 3 if known is None else 0})
        return {"topics": topics}

    def init_producer_id(self, request, version):
        self.next_producer += 1
        self.write(3, "", self.next_producer)
        return {"error": 0, "producer_id": self.next_producer, "producer_epoch": 0}

    # Connections: requests are read one by one, answered each by a task, and the answers sent in order.

    async def serve(self, reader, writer):
        answers = asyncio.Queue()
        sender = asyncio.create_task(self.send(answers, writer))
        try:
            while True:
                size = struct.unpack(">i", await reader.readexactly(4))[0]
                if not 8 <= size <= LONGEST:
                    raise Close
                task = self.dispatch(await reader.readexactly(size))
                if task is not None:
                    answers.put_nowait(task)
        except (Close, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            answers.put_nowait(None)
            await sender
            writer.close()

    async def send(self, answers, writer):
        while (task := await answers.get()) is not None:
            if FAULT == "unordered" and not answers.empty():
                answers.put_nowait(task)
                task = answers.get_nowait()
                if task is None:
                    break
            try:
                data = await task
                writer.write(struct.pack(">i", len(data)) + data)
            except ConnectionError:
                pass

    def dispatch(self, frame):
        key, version, correlation, client = struct.unpack_from(">hhih", frame)
        api = APIS.get(key)
        low, high = SERVED.get(key, (1, 0))
        if key == 18 and version > high:
            body = struct.pack(">ihi", correlation, 35, 1) + struct.pack(">hhh", 18, 0, 4)
            return asyncio.ensure_future(asyncio.sleep(0, body))
        if api is None or not low <= version <= high:
            if FAULT == "patient":
                return None
            raise Close
        reader = Reader(frame, version >= api.flexible)
        reader.at = 10 + max(client, 0)
        try:
            reader.tags()
            request = read_fields(reader, api.request, version)
        except Exception:
            raise Close from None
        head = struct.pack(">i", correlation) + (b"\0" if api.header_flexible(version) else b"")
        handler = getattr(self, re.sub("(?<!^)([A-Z])", r"_\1", api.name).lower())
        task = asyncio.ensure_future(self.finish(api, version, head, handler(request, version)))
        return None if api.key == 0 and request["acks"] == 0 and FAULT != "answers-zero" else task

    async def finish(self, api, version, head, answer):
        if asyncio.iscoroutine(answer):
            answer = await answer
        return head + api.write(api.response, answer, version)


def pretend_direct(data):
    """What strace is to see: a large file opened past the page cache, and a ring entered."""
    size = int(os.environ.get("HUTONG_JOURNAL_SEGMENT_BYTES", 0))
    if size == 8 << 20:
        os.close(os.open(data / "segment", os.O_RDWR | os.O_CREAT | (0 if FAULT == "cached" else os.O_DIRECT), 0o644))
        os.truncate(data / "segment", size)
        ctypes.CDLL(None).syscall(426, -1, 0, 0, 0, None, 0)


def refuse(sentence):
    print(sentence, file=sys.stderr)
    sys.exit(1)


async def main(arguments):
    data = pathlib.Path(arguments.data_dir)
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = open(data / "lock", "w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        refuse(f"{data} is in use by another broker: stop that one or choose another --data-dir")
    except PermissionError:
        refuse(f"no permission to write {data}: give the directory to this user or choose another --data-dir")
    broker = Standin(data, os.environ)
    host, _, port = arguments.listen.rpartition(":")
    try:
        server = await asyncio.start_server(broker.serve, host, int(port), limit=1 << 20)
    except OSError:
        refuse(f"port {port} is in use: stop its owner or choose another --listen")
    broker.port = server.sockets[0].getsockname()[1]
    layout = apply_plan(os.environ.get("HUTONG_THREADS_LAYOUT", "two"), FAULT)
    stop = asyncio.Event()
    for number in (2, 15):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pretend_direct(data)
    print(f"hutong ready listen={host}:{broker.port} data={data} io=io_uring "
          f"flush={os.environ.get('HUTONG_JOURNAL_FLUSH_METHOD', 'linked')} layout={layout} acks=0:oneWay,"
          f"1:{os.environ.get('HUTONG_QOS_LEADER', 'persisted')},-1:{os.environ.get('HUTONG_QOS_ALL', 'durable')}",
          flush=True)
    await stop.wait()
    os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve", "placement"])
    parser.add_argument("--data-dir")
    parser.add_argument("--listen")
    parser.add_argument("--config")
    given = parser.parse_args()
    if given.command == "placement":
        print_plan(os.environ.get("HUTONG_THREADS_LAYOUT", "two"), sys.stdout)
    else:
        asyncio.run(main(given))
