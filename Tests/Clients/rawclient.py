"""A Kafka connection without a client library: what is sent and what comes back, byte for byte."""

import socket
import struct

from messages import (
    CREATE_TOPICS, FETCH, INIT_PRODUCER_ID, LIST_OFFSETS, METADATA, OFFSET_FOR_LEADER_EPOCH, PRODUCE)
from wire import request_frame

PATIENCE = 20.0  # seconds until a missing answer is a failure


class Closed(Exception):
    """The broker closed the connection."""


class Connection:
    """One TCP connection, used from one thread. Answers are checked to come in the order of the requests."""

    def __init__(self, address, timeout=PATIENCE):
        host, port = address
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = 0
        self.waiting = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send_bytes(self, data):
        self.socket.sendall(data)

    def frame(self, api, version, answered=True, **values):
        """Makes a request and remembers that an answer to it is due."""
        self.correlation += 1
        if answered:
            self.waiting.append((api, version, self.correlation))
        return request_frame(api, version, self.correlation, values)

    def send(self, api, version, answered=True, **values):
        self.send_bytes(self.frame(api, version, answered, **values))

    def receive_exactly(self, count):
        parts = []
        while count:
            try:
                part = self.socket.recv(min(count, 1 << 20))
            except (ConnectionResetError, BrokenPipeError) as error:
                raise Closed(str(error)) from None
            if not part:
                raise Closed("end of stream")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def receive_frame(self):
        return self.receive_exactly(struct.unpack(">i", self.receive_exactly(4))[0])

    def receive(self, read_as=None):
        """The next answer; it must belong to the oldest request that waits. `read_as` is the version of its body."""
        api, version, correlation = self.waiting.pop(0)
        data = self.receive_frame()
        got = struct.unpack_from(">i", data)[0]
        assert got == correlation, f"answer {got} came where {correlation} ({api.name}) was due"
        start = 4
        if api.header_flexible(version):
            assert data[4] == 0, "tags in the response's header"
            start = 5
        version = version if read_as is None else read_as
        return api.read(api.response, data[start:], version)

    def ask(self, api, version, **values):
        self.send(api, version, **values)
        return self.receive()

    def expect_close(self, within=5.0):
        """Waits for the broker to close, and says what came instead when it does not."""
        self.socket.settimeout(within)
        try:
            data = self.socket.recv(4096)
        except ConnectionResetError:
            return
        except socket.timeout:
            raise AssertionError(f"the connection was still open after {within} s") from None
        assert data == b"", f"an answer came instead of a close: {data[:64]!r}"

    # What most tests need, in one line each.

    def create(self, topic, partitions=1, version=7, configs=None, replication_factor=-1):
        configs = [{"name": name, "value": value} for name, value in (configs or {}).items()]
        answer = self.ask(CREATE_TOPICS, version, topics=[
            {"name": topic, "partitions": partitions, "replication": replication_factor, "configs": configs}])
        assert answer["topics"][0]["error"] == 0, answer
        return topic

    def metadata(self, topics, version=12, auto_create=False):
        wanted = None if topics is None else [{"name": name} for name in topics]
        return self.ask(METADATA, version, topics=wanted, auto_create=auto_create)

    def produce(self, topic, records, partition=0, acks=-1, version=9):
        """Produces one batch and gives that partition's answer."""
        answer = self.ask(PRODUCE, version, acks=acks, topics=produce_topics(topic, {partition: records}))
        return answer["topics"][0]["partitions"][0]

    def fetch(self, topic, offset, partition=0, max_wait_ms=500, min_bytes=1, version=12, **limits):
        self.send_fetch(topic, offset, partition, max_wait_ms, min_bytes, version, **limits)
        return self.receive()["topics"][0]["partitions"][0]

    def send_fetch(self, topic, offset, partition=0, max_wait_ms=500, min_bytes=1, version=12, **limits):
        wanted = {"index": partition, "offset": offset}
        if "partition_max_bytes" in limits:
            wanted["max_bytes"] = limits.pop("partition_max_bytes")
        self.send(FETCH, version, max_wait_ms=max_wait_ms, min_bytes=min_bytes,
                  topics=[{"name": topic, "partitions": [wanted]}], **limits)

    def list_offset(self, topic, timestamp, partition=0, version=7):
        answer = self.ask(LIST_OFFSETS, version, topics=[
            {"name": topic, "partitions": [{"index": partition, "timestamp": timestamp}]}])
        return answer["topics"][0]["partitions"][0]

    def epoch_end(self, topic, epoch, partition=0, current=-1, version=4):
        answer = self.ask(OFFSET_FOR_LEADER_EPOCH, version, topics=[
            {"name": topic, "partitions": [{"index": partition, "current_epoch": current, "epoch": epoch}]}])
        return answer["topics"][0]["partitions"][0]

    def producer_id(self, version=4):
        answer = self.ask(INIT_PRODUCER_ID, version)
        assert answer["error"] == 0, answer
        return answer["producer_id"], answer["producer_epoch"]


def produce_topics(topic, records_by_partition):
    return [{"name": topic, "partitions": [
        {"index": index, "records": records} for index, records in records_by_partition.items()]}]
