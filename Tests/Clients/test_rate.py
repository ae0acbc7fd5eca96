"""The produce path under pipelined load: every answer checked, and no allocation a request. No figure is asserted: these
machines are shared; what is counted does not drift."""

import pathlib
import re
import signal
import subprocess
import time

import pytest

from broker import ROOT, Broker

GENERATOR = ROOT / ".build/release/produce-rate"
COUNTER = pathlib.Path(__file__).parent / "malloc_counter.c"


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """The preloaded library that counts allocations."""
    library = tmp_path_factory.mktemp("counter") / "malloc_counter.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, COUNTER], check=True)
    return library


def generate(broker, *arguments):
    """Runs the load; returns the requests a second and its report."""
    if not GENERATOR.exists():
        pytest.fail(f"{GENERATOR} is not there: swift build -c release --product produce-rate")
    done = subprocess.run(
        [GENERATOR, "--server", broker.server, "--broker-pid", str(broker.pid), *map(str, arguments)],
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return float(re.search(r"(\d+) requests/s", done.stdout).group(1)), done.stdout


@pytest.mark.parametrize("acks", [1, -1])
def test_every_answer_is_right(broker_variant, acks):
    rate, report = generate(broker_variant, "--acks", acks, "--duration", 2, "--warmup", 0.5)
    print(report)
    assert rate > 0


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
        seconds = 4
        rate, _ = generate(broker, "--duration", seconds, "--warmup", 0.1)
        after = allocations(broker, count_file)
        per_request = (after - before) / (rate * seconds)
        assert rate * seconds > 10_000
        assert per_request < 0.02, f"{after - before} allocations for {rate * seconds:.0f} requests"
    finally:
        broker.stop()
