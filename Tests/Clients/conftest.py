"""Options and fixtures of the whole suite: how much to run, in which layouts, and a broker to run against."""

import itertools
import os
import shutil

import pytest

from broker import VARIANTS, Broker, binary
from rawclient import Connection

DEFAULT_VARIANTS = "single,two,group,two+2groups"
topic_numbers = itertools.count()


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", default=bool(os.environ.get("HUTONG_TEST_FULL")),
                     help="100,000 records per client and codec, 20 kills")


def pytest_configure(config):
    if config.option.full:
        config.option.timeout = config.option.timeout or 3600


def variants():
    names = [name for name in os.environ.get("HUTONG_TEST_VARIANTS", DEFAULT_VARIANTS).split(",") if name]
    unknown = set(names) - set(VARIANTS)
    if unknown:
        raise pytest.UsageError(f"HUTONG_TEST_VARIANTS: {sorted(unknown)}; there are {', '.join(VARIANTS)}")
    return names


def pytest_generate_tests(metafunc):
    if "broker_variant" in metafunc.fixturenames:
        metafunc.parametrize("broker_variant", variants(), indirect=True, scope="module")


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


@pytest.fixture
def make_broker(tmp_path):
    """A maker of brokers with data of their own, which end with the test however it ends."""
    made = []

    def make(settings=None, start=True, **options):
        directory = tmp_path / f"broker-{len(made)}"
        directory.mkdir()
        made.append(Broker(directory, settings, **options))
        return made[-1].start() if start else made[-1]

    yield make
    for broker in made:
        broker.end()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """One broker for a whole module: for tests that leave it as they found it. It must survive them and stop cleanly."""
    shared = Broker(tmp_path_factory.mktemp("shared")).start()
    pid = shared.pid
    try:
        yield shared
        assert shared.alive() and shared.pid == pid, f"the broker did not live through this module\n{shared.tail()}"
        shared.stop()
    finally:
        shared.end()
        shutil.rmtree(shared.data, ignore_errors=True)  # gigabytes, after a run at full speed


@pytest.fixture(scope="module")
def broker_variant(request, tmp_path_factory):
    """A broker in each layout that is asked for, shared by a module's tests."""
    directory = tmp_path_factory.mktemp(request.param.replace("+", "-"))
    shared = Broker(directory, VARIANTS[request.param]).start()
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
