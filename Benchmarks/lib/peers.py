"""Other brokers on the same machine: what each does with single messages of 100 bytes, and what its answer means."""

import contextlib
import re
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .broker import ROOT, free_port, has, running


@dataclass
class Peer:
    name: str
    #: What an answer means there.
    means: str
    #: The Debian package that brings it.
    package: str
    program: str
    #: Messages a second, of one run of so many seconds.
    run: Callable[[float, str], float]


@contextlib.contextmanager
def directory(where: str):
    with tempfile.TemporaryDirectory(prefix="bench-", dir=where) as name:
        yield Path(name)


def redis(seconds: float, where: str) -> float:
    """XADD over 4 connections with 256 under way each, by redis-benchmark: more than 4 x 256 it does not take well."""
    port = free_port()
    with directory(where) as data:
        command = ["redis-server", "--port", port, "--dir", data, "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        with running(command, data, port):
            rate, count = 50_000.0, 50_000
            while count / rate < seconds:
                count = int(max(count * 2, rate * seconds * 1.1))
                done = subprocess.run(
                    ["redis-benchmark", "-p", str(port), "-c", "4", "-P", "256", "-n", str(count), "--csv", "XADD", "stream", "*", "v", "x" * 100],
                    capture_output=True, text=True, check=True)
                rate = float(done.stdout.strip().splitlines()[-1].split(",")[1].strip('"'))
                length = subprocess.run(
                    ["redis-cli", "-p", str(port), "XLEN", "stream"], capture_output=True, text=True, check=True).stdout
                assert int(length) >= count, "all of them are there"
    return rate


def nats(seconds: float, where: str) -> float:
    """JetStream, a stream on file storage: 4 connections with up to 1024 publications under way each, every acknowledgement looked at."""
    port = free_port()
    with directory(where) as data:
        (data / "conf").write_text(f"port: {port}\nhost: 127.0.0.1\njetstream {{ store_dir: {data}/js, max_file: 64GB, max_mem: 1GB }}\n")
        with running(["/usr/sbin/nats-server", "-c", data / "conf"], data, port):
            clients = [NatsClient(port, number) for number in range(4)]
            clients[0].make_stream()
            begin = time.monotonic()
            while time.monotonic() - begin < seconds:
                for client in clients:
                    client.turn()
            elapsed = time.monotonic() - begin
            answered = sum(client.answered for client in clients)
            for client in clients:
                client.close()
    return answered / elapsed


class NatsClient:
    WINDOW = 1024

    def __init__(self, port: int, number: int):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(10)
        self.inbox = f"inbox{number}"
        self.socket.sendall(f'CONNECT {{"verbose":false}}\r\nSUB {self.inbox} 1\r\n'.encode())
        self.one = f"PUB bench.{number} {self.inbox} 100\r\n".encode() + b"x" * 100 + b"\r\n"
        self.under_way = 0
        self.answered = 0
        self.rest = b""

    def make_stream(self) -> None:
        body = b'{"name":"BENCH","subjects":["bench.*"],"storage":"file","retention":"limits","max_bytes":4294967296}'
        self.socket.sendall(f"PUB $JS.API.STREAM.CREATE.BENCH {self.inbox} {len(body)}\r\n".encode() + body + b"\r\n")
        answer = b""
        while b'"config"' not in answer:
            answer += self.socket.recv(65536)
            assert b'"error"' not in answer, answer
        time.sleep(0.2)
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self.socket.recv(65536)
        self.socket.settimeout(10)

    def turn(self) -> None:
        more = self.WINDOW - self.under_way
        if more > 0:
            self.socket.sendall(self.one * more)
            self.under_way += more
        data = self.rest + self.socket.recv(1 << 20)
        end = data.rfind(b"\r\n") + 2
        self.rest = data[end:]
        assert b'"error"' not in data and b"-ERR" not in data, data[:300]
        answers = len(re.findall(rb'"seq":\s?\d+', data[:end]))
        self.under_way -= answers
        self.answered += answers

    def close(self) -> None:
        self.socket.close()


def old_men_in_go(where: str) -> float:
    """How long, in seconds, the two old men take in Go for 100,000 meetings, in the form of the article."""
    with directory(where) as build:
        subprocess.run(
            ["go", "build", "-o", str(build / "meet"), str(ROOT / "Benchmarks" / "Meet" / "meet.go")], check=True,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(build), "GOCACHE": str(build / "cache"), "GO111MODULE": "off"})
        done = subprocess.run([str(build / "meet")], capture_output=True, text=True, check=True, timeout=120)
    return float(done.stdout.split()[2]) / 1000


PEERS = [
    Peer("Redis 7 streams, appendfsync always", "synced to the drive", "redis-server", "redis-server", redis),
    Peer("NATS JetStream 2.9, file", "in the page cache: synced every 2 minutes", "nats-server", "nats-server", nats),
]


def available(peer: Peer) -> bool:
    return has(peer.program)
