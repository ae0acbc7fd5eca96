"""Several brokers and an etcd, each a host of its own: a network namespace, on one bridge, whose ways can be cut."""

import base64
import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

from broker import LIBC, Broker, die_with_the_tests

CLONE_NEWNET = 0x40000000
numbers = itertools.count()
NEEDED = ["ip", "iptables", "etcd"]


def run(*words, check=True):
    return subprocess.run(list(map(str, words)), check=check, capture_output=True, text=True)


class Network:
    """Hosts on one bridge. What is made here is gone at `end`, however the test ends."""

    def __init__(self, hosts):
        missing = [tool for tool in NEEDED if not shutil.which(tool)]
        assert not missing, f"not installed: {', '.join(missing)}: scripts/setup --tests installs it"
        # Other runs on this machine have others.
        self.prefix = f"ht{os.getpid()}x{next(numbers)}"
        self.addresses = {host: f"10.99.0.{number}" for number, host in enumerate(hosts, 1)}
        self.switch = f"{self.prefix}-sw"
        try:
            self._make()
        except BaseException:
            self.end()
            raise

    def namespace(self, host):
        return f"{self.prefix}-{host}"

    def within(self, host):
        """The beginning of a command that runs on the host."""
        return ["ip", "netns", "exec", self.namespace(host)]

    def _make(self):
        run("ip", "netns", "add", self.switch)
        run("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.switch, "link", "set", "br0", "up")
        for number, (host, address) in enumerate(self.addresses.items()):
            name = self.namespace(host)
            run("ip", "netns", "add", name)
            run("ip", "-n", self.switch, "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "-n", self.switch, "link", "set", f"port{number}", "master", "br0", "up")
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")

    def end(self):
        for name in [*map(self.namespace, self.addresses), self.switch]:
            run("ip", "netns", "del", name, check=False)

    # What goes wrong.

    def deafen(self, host, *to):
        """The host no longer hears the others."""
        for other in to:
            run(*self.within(host), "iptables", "-A", "INPUT", "-s", self.addresses[other], "-j", "DROP")

    def cut(self, host, *others):
        """Nothing goes between the host and the others."""
        self.deafen(host, *others)
        for other in others:
            self.deafen(other, host)

    def heal(self):
        for host in self.addresses:
            run(*self.within(host), "iptables", "-F")

    @contextlib.contextmanager
    def from_host(self, host):
        """What this thread connects to, it connects to from the host; the commands it starts run there."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        theirs = os.open(f"/run/netns/{self.namespace(host)}", os.O_RDONLY)
        try:
            assert LIBC.setns(theirs, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            yield
        finally:
            assert LIBC.setns(own, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            os.close(own)
            os.close(theirs)


class Etcd:
    """An etcd, or the one of its members on this host, with its data in memory: what is tested is not its disk."""

    def __init__(self, network, host, log, members=None):
        self.network, self.host, self.log, self.members = network, host, log, members or [host]
        self.data = tempfile.mkdtemp(prefix="hutong-etcd-", dir="/dev/shm")
        self.process = None

    @property
    def url(self):
        return f"http://{self.network.addresses[self.host]}:2379"

    def start(self):
        return self.launch().await_answer()

    def launch(self):
        peers = {member: f"http://{self.network.addresses[member]}:2380" for member in self.members}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.network.within(self.host), "etcd", "--name", self.host, "--data-dir", self.data, "--listen-client-urls", self.url,
                 "--advertise-client-urls", self.url, "--listen-peer-urls", peers[self.host], "--initial-advertise-peer-urls", peers[self.host],
                 "--initial-cluster", ",".join(f"{member}={peer}" for member, peer in peers.items())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_the_tests)
        return self

    def await_answer(self):
        """It answers for a majority of the members."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                self.ask("/health")
                return self
            time.sleep(0.05)
        raise AssertionError(f"etcd does not answer\n{pathlib.Path(self.log).read_text()[-2000:]}")

    def ask(self, path, data=None):
        with self.network.from_host(self.host), urllib.request.urlopen(self.url + path, data, timeout=1) as answer:
            return json.load(answer)

    def has(self, key):
        """Whether the key is there."""
        return "kvs" in self.ask("/v3/kv/range", json.dumps({"key": base64.b64encode(key.encode()).decode()}).encode())

    def leads(self):
        """Whether it leads the members."""
        status = self.ask("/v3/maintenance/status", b"{}")
        return status["leader"] == status["header"]["member_id"]

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process = None

    def end(self):
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)


class Cluster:
    """Brokers 1 to `count`, an etcd of so many members, and a host for clients."""

    def __init__(self, directory, count=3, settings=None, members=1):
        self.ids = list(range(1, count + 1))
        stores = [f"etcd{number}" for number in range(1, members + 1)] if members > 1 else ["etcd"]
        self.network = Network([*(f"b{number}" for number in self.ids), *stores, "client"])
        self.members = [Etcd(self.network, host, directory / f"{host}.log", stores) for host in stores]
        self.brokers = {}
        for number in self.ids:
            host = f"b{number}"
            address = self.network.addresses[host]
            (directory / host).mkdir()
            self.brokers[number] = Broker(
                directory / host, {
                    "etcd.endpoints": ",".join(member.url for member in self.members), "broker.id": number, "peer.listen": f"{address}:9192",
                    "etcd.lease.seconds": 2, "replica.silence.ms": 1000, "journal.segment.bytes": "4MiB", "threads.pin": "false",
                    "num.partitions": 6, "group.initial.rebalance.delay.ms": 0, **(settings or {})},
                port=9092, host=address, prefix=self.network.within(host))

    def start(self):
        for member in self.members:
            member.launch()
        for member in self.members:
            member.await_answer()
        for number in self.ids:
            self.brokers[number].start()
        return self

    @property
    def etcd(self):
        """The one member."""
        member, = self.members
        return member

    @property
    def servers(self):
        return ",".join(self.brokers[number].server for number in self.ids)

    def end(self):
        for broker in self.brokers.values():
            with contextlib.suppress(OSError):
                if broker.process:
                    broker.process.send_signal(signal.SIGCONT)
            broker.end()
            shutil.rmtree(broker.data, ignore_errors=True)
        for member in self.members:
            member.end()
        self.network.end()

    def tail(self):
        return "\n".join(f"=== broker {number}\n{broker.tail(15)}" for number, broker in self.brokers.items())
