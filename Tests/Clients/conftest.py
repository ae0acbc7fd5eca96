"""Options and fixtures of the whole suite: how much to run, in which layouts, and a broker to run against."""

import collections
import itertools
import os
import pathlib
import shutil
import subprocess

import pytest

from broker import BACKENDS, ROOT, VARIANTS, Broker, binary
from cluster import Cluster
from rawclient import Connection

DEFAULT_VARIANTS = "single,two,group,two+2groups"
# What is run with each backend; a short run takes on epoll each test's first parameters and every sixth after them.
ON_EACH_BACKEND = {"test_clients", "test_protocol", "test_protocol_data", "test_crash", "test_threads", "test_durability_trace"}
SHORT_RUN_STEP = 6
topic_numbers = itertools.count()


def pytest_addoption(parser):
    parser.addoption("--image-build", action="store_true", default=bool(os.environ.get("HUTONG_TEST_IMAGE_BUILD")),
                     help="compile within the image's build, too: a quarter of an hour")
    parser.addoption("--full", action="store_true", default=bool(os.environ.get("HUTONG_TEST_FULL")),
                     help="100,000 records per client and codec, 20 kills")
    parser.addoption("--soak", action="store_true", default=bool(os.environ.get("HUTONG_TEST_SOAK")),
                     help="only the long runs of test_soak.py")


def pytest_configure(config):
    config.addinivalue_line("markers", "soak: runs for minutes, only with --soak")
    config.addinivalue_line("markers", "image_build: compiles everything, only with --image-build")
    if config.option.soak:
        config.option.timeout = config.option.timeout or 7200
    if config.option.full:
        config.option.timeout = config.option.timeout or 3600


def names_in(variable, default, known):
    names = [name for name in os.environ.get(variable, default).split(",") if name]
    unknown = set(names) - set(known)
    if unknown or not names:
        raise pytest.UsageError(f"{variable}: {sorted(unknown)}; there are {', '.join(known)}")
    return names


def backends():
    return names_in("HUTONG_TEST_IO", ",".join(BACKENDS), BACKENDS)


def pytest_generate_tests(metafunc):
    if "broker_variant" in metafunc.fixturenames:
        names = names_in("HUTONG_TEST_VARIANTS", DEFAULT_VARIANTS, VARIANTS)
        metafunc.parametrize("broker_variant", names, indirect=True, scope="module")
    if "io" in metafunc.fixturenames and metafunc.module.__name__ in ON_EACH_BACKEND:
        metafunc.parametrize("io", backends(), indirect=True, scope="module")


def pytest_collection_modifyitems(config, items):
    """Shortens a short run, unless epoll is all that was asked for; long runs are apart from all others."""
    apart = [item for item in items if bool(item.get_closest_marker("soak")) != config.option.soak
             or item.get_closest_marker("image_build") and not config.option.image_build]
    config.hook.pytest_deselected(items=apart)
    items[:] = [item for item in items if item not in apart]
    if config.option.full or len(backends()) == 1:
        return
    seen = collections.Counter()
    kept, left_out = [], []
    for item in items:
        on_epoll = hasattr(item, "callspec") and item.callspec.params.get("io") == "epoll"
        test = item.path, item.originalname
        (left_out if on_epoll and seen[test] % SHORT_RUN_STEP else kept).append(item)
        seen[test] += on_epoll
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.fixture(scope="session")
def full(request):
    return request.config.option.full


@pytest.fixture(scope="session")
def record_count(full):
    """Records per client and codec."""
    return int(os.environ.get("HUTONG_TEST_RECORDS", 100_000 if full else 2_000))


@pytest.fixture(scope="session", autouse=True)
def program():
    """Without the program no test means anything: say so once."""
    path = binary()[0]
    if not os.access(path, os.X_OK):
        pytest.exit(f"{path} is not there: build it (swift build -c release) or set HUTONG_BIN", returncode=2)


@pytest.fixture(scope="session")
def static_program(tmp_path_factory):
    """The program under test as it is given to users, with the Swift libraries inside, alone in a folder."""
    program = pathlib.Path(binary()[0])
    alone = tmp_path_factory.mktemp("program") / "hutong"
    needed = subprocess.run(["readelf", "-d", program], check=True, capture_output=True, text=True).stdout
    if "libswiftCore" in needed:
        # .build-tests of .build-tests/release/hutong
        subprocess.run([ROOT / "scripts" / "link-static", "--build", program.parents[1], alone], check=True)
    else:
        subprocess.run(["strip", "-o", alone, program], check=True)
    return alone


@pytest.fixture(scope="module")
def io(request):
    """How brokers reach the kernel, one of BACKENDS."""
    return getattr(request, "param", backends()[0])


@pytest.fixture
def make_broker(tmp_path, io):
    """A maker of brokers with data of their own, which end with the test however it ends."""
    made = []

    def make(settings=None, start=True, **options):
        directory = tmp_path / f"broker-{len(made)}"
        directory.mkdir()
        made.append(Broker(directory, settings, **{"io": io, **options}))
        return made[-1].start() if start else made[-1]

    yield make
    for broker in made:
        broker.end()
        # Hundreds of megabytes each, and pytest keeps them all to the end of its session.
        shutil.rmtree(broker.data, ignore_errors=True)


@pytest.fixture(scope="module")
def broker(tmp_path_factory, io):
    """One broker for a whole module: for tests that leave it as they found it. It must survive them and stop cleanly."""
    shared = Broker(tmp_path_factory.mktemp("shared"), io=io).start()
    pid = shared.pid
    try:
        yield shared
        assert shared.alive() and shared.pid == pid, f"the broker did not live through this module\n{shared.tail()}"
        shared.stop()
    finally:
        shared.end()
        shutil.rmtree(shared.data, ignore_errors=True)  # gigabytes, after a run at full speed


@pytest.fixture(scope="module")
def broker_variant(request, tmp_path_factory, io):
    """A broker in each layout that is asked for, shared by a module's tests."""
    directory = tmp_path_factory.mktemp(request.param.replace("+", "-"))
    shared = Broker(directory, VARIANTS[request.param], io=io).start()
    shared.variant = request.param
    try:
        yield shared
        shared.stop()
    finally:
        shared.end()
        shutil.rmtree(shared.data, ignore_errors=True)  # gigabytes, after a run at full speed


@pytest.fixture
def connection(broker):
    with Connection(broker.address) as opened:
        yield opened


@pytest.fixture
def topic():
    """A name that no other test uses."""
    return f"topic-{next(topic_numbers)}"


@pytest.fixture
def cluster(tmp_path):
    """Three brokers and an etcd; the test is on the clients' host."""
    made = Cluster(tmp_path)
    try:
        with made.network.from_host("client"):
            yield made.start()
    finally:
        made.end()
