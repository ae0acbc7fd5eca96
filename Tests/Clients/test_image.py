"""The image: what it is made of, and that a container of it serves clients as docs/DOCKER.md says, with io_uring and without."""

import json
import os
import pathlib
import signal
import subprocess
import urllib.request

import pytest

import images
from batches import CODECS
from broker import STOP_PATIENCE, io_uring_allowed, run
from cluster import Network
from clients import CLIENTS
from images import Container
from test_clients import round_trip

# Bytes, of all layers, on Debian's 75 MB.
LARGEST = 200_000_000
NAMES = list(CLIENTS)


@pytest.fixture(scope="module")
def image(static_program):
    return images.build(static_program)


@pytest.fixture(scope="module")
def network():
    """A host for containers and one for their clients."""
    made = Network(["image", "client"])
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def roots(image, tmp_path_factory):
    """By the way to the kernel that the filter leaves: with our profile io_uring, with Docker's own epoll."""
    default = docker_default(tmp_path_factory.mktemp("seccomp"))
    with images.root_of(image, images.SECCOMP) as ours, images.root_of(image, default) as theirs:
        yield {"io_uring": ours, "epoll": theirs}


@pytest.fixture
def make_container(image, roots, network, tmp_path):
    made = []

    def make(backend="io_uring", **options):
        directory = tmp_path / f"container-{len(made)}"
        directory.mkdir()
        made.append(Container(directory, image, roots[backend], network.within("image"), **options))
        return made[-1]

    yield make
    for container in made:
        container.end()


def kcat(network, host, *words, text=None):
    return subprocess.run(
        [*network.within(host), "kcat", *words], check=True, input=text, capture_output=True, text=True, timeout=20).stdout


def docker_default(directory):
    """The seccomp profile that Docker has by itself: ours without its last rule."""
    profile = json.loads(images.SECCOMP.read_text())
    assert profile["syscalls"].pop()["names"] == ["io_uring_enter", "io_uring_register", "io_uring_setup"]
    path = pathlib.Path(directory) / "default.json"
    path.write_text(json.dumps(profile))
    return path


def test_what_it_says_of_itself(image):
    """What `docker run` goes by."""
    configuration = images.described(image)
    assert configuration["User"] == f"{images.USER}:{images.USER}"
    assert configuration["Entrypoint"] == ["hutong"] and configuration["Cmd"] == ["serve"]
    assert set(configuration["ExposedPorts"]) == {"9092/tcp", "9192/tcp", "9644/tcp"}
    assert set(configuration["Volumes"]) == {"/data"} and configuration["StopSignal"] == "SIGTERM"
    assert configuration["Healthcheck"]["Test"] == ["CMD", "hutong", "health"]
    # A variable would go before those that users give under Kafka's names.
    assert not [variable for variable in configuration["Env"] if variable.startswith("HUTONG_") and "HUTONG_CONFIG=" not in variable]
    size = images.size(image)
    print(f"image: {size / 1e6:.0f} MB")
    assert size < LARGEST, f"{size / 1e6:.0f} MB"


def test_as_it_comes(make_container, network):
    """Without a word of configuration: clients on the same host, health, a stop, and the data after it."""
    container = make_container()
    code, said = container.run("hutong", "health")
    assert code == 1, f"healthy before it runs: {said}"
    container.start()
    status = pathlib.Path(f"/proc/{container.pid}/status").read_text()
    for word in ("Uid", "Gid"):
        assert f"{word}:\t" + "\t".join([str(images.USER)] * 4) in status
    assert "CapEff:\t0000000000000000" in status and "Seccomp:\t2" in status, status
    code, said = container.run("hutong", "health")
    assert code == 0, said
    with network.from_host("image"):
        for path in ("healthz", "readyz", "metrics"):
            assert urllib.request.urlopen(f"http://localhost:9644/{path}", timeout=10).status == 200
    kcat(network, "image", "-P", "-b", "localhost:9092", "-t", "greetings", text="hello\nworld\n")
    container.stop()
    container.start()
    seen = kcat(network, "image", "-C", "-b", "localhost:9092", "-t", "greetings", "-o", "beginning", "-e")
    assert seen == "hello\nworld\n"
    container.kill()
    code, said = container.run("hutong", "health")
    assert code == 1, f"healthy after its end: {said}"


@pytest.mark.parametrize("backend", ["io_uring", "epoll"])
def test_every_client(make_container, network, full, backend):
    """From another host, under the address that is advertised. With our seccomp profile on io_uring; with Docker's on epoll, and it says so."""
    address = network.addresses["image"]
    container = make_container(backend, reached=address, variables={"HUTONG_ADVERTISE": f"{address}:9092"})
    container.start()
    allowed = backend == "io_uring" and io_uring_allowed()
    assert container.ready["io"] == ("io_uring" if allowed else "epoll"), container.ready_line
    assert container.log().count("RUNNING ON EPOLL") == (0 if allowed else 1), container.tail()
    with network.from_host("client"):
        for number, producer in enumerate(NAMES):
            consumers = [producer, NAMES[(number + 1) % len(NAMES)]]
            round_trip(container, f"topic-{number}", producer, consumers, CODECS[1:][number], 10_000 if full else 300)
    container.stop()


def test_settings_from_the_environment(make_container, network):
    """Under Hutong's names and under Kafka's, both go before what the image sets."""
    address = network.addresses["image"]
    container = make_container(reached=address, variables={
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{address}:9092", "KAFKA_NUM_PARTITIONS": "7", "HUTONG_BROKER_ID": "3"})
    container.start()
    kcat(network, "client", "-P", "-b", container.server, "-t", "many", text="a\n")
    listed = json.loads(kcat(network, "client", "-L", "-J", "-b", container.server, "-t", "many"))
    assert listed["brokers"] == [{"id": 3, "name": f"{address}:9092"}]
    assert len(listed["topics"][0]["partitions"]) == 7


def test_other_commands(make_container):
    """The program is the entry point: any of its commands can follow."""
    container = make_container()
    assert container.run("hutong", "--version") == (0, run("--version")[1].decode())
    code, said = container.run("hutong", "topic", "list", "--server", "localhost:1")
    assert code != 0 and "localhost:1" in said, said


def test_as_the_first_process(make_broker):
    """Which it is in a container: signals that the first process of a system does not ask for don't reach it."""
    broker = make_broker(prefix=["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"])
    first, = images.children(broker.pid)
    os.kill(first, signal.SIGTERM)
    assert broker.process.wait(STOP_PATIENCE) == 0, broker.tail()


@pytest.mark.image_build
@pytest.mark.timeout(3600)
def test_compiled(network, tmp_path):
    """The whole Dockerfile, with the compiler in it."""
    image = images.build_by_compiling(f"{images.IMAGE}-compiled")
    with images.root_of(image, images.SECCOMP) as root:
        container = Container(tmp_path, image, root, network.within("image"))
        try:
            container.start()
            kcat(network, "image", "-P", "-b", "localhost:9092", "-t", "greetings", text="hello\nworld\n")
            seen = kcat(network, "image", "-C", "-b", "localhost:9092", "-t", "greetings", "-o", "beginning", "-e")
            assert seen == "hello\nworld\n"
            container.stop()
        finally:
            container.end()
    size = images.size(image)
    print(f"image: {size / 1e6:.0f} MB")
    assert size < LARGEST, f"{size / 1e6:.0f} MB"
