"""What is measured, and what must come of it: each scenario gives figures of one run, among them the ratio that counts."""

from dataclasses import dataclass
from typing import Callable

from .broker import Broker


@dataclass
class Scenario:
    name: str
    #: What the ratio is of what, to follow "ratio:".
    ratio: str
    least: float
    aim: float
    run: Callable[["Settings"], dict]
    #: Whether the ratio should be small.
    falls: bool = False


@dataclass
class Settings:
    #: Seconds before counting begins: so long that segments are written to that have been before.
    warmup: float
    duration: float
    ceiling: float
    #: Where a broker runs already; None: each scenario starts one of its own.
    server: str | None
    directory: str


#: What a benchmark's topics keep, in all: segments behind it are freed, and written to again.
KEPT = 256 << 20


def load(broker: Broker, settings: Settings, *arguments: str, partitions: int = 4, ceiling: bool = True, **changes) -> dict:
    """One run of `hutong bench produce`."""
    return broker.bench(
        "produce", *arguments, "--warmup", changes.get("warmup", settings.warmup), "--duration", changes.get("duration", settings.duration),
        "--ceiling", settings.ceiling if ceiling else 0, "--topic-config", f"retention.bytes={KEPT // partitions}")


def shape(connections: int, outstanding: int) -> tuple:
    return "--connections", connections, "--outstanding", outstanding


def of_null(connections: int, outstanding: int) -> Callable[[Settings], dict]:
    def run(settings: Settings) -> dict:
        with Broker(settings) as broker:
            card = load(broker, settings, *shape(connections, outstanding), partitions=connections)
        return {"value": card["requestsPerSecond"], "unit": "requests/s", "ratio": card["shareOfNull"], "card": card}

    return run


def alone(settings: Settings) -> dict:
    with Broker(settings) as broker:
        card = load(broker, settings, *shape(1, 1), partitions=1)
    bare = card["drive"][0]["p50Us"]
    return {"value": card["latency"]["p50Ms"] * 1000, "unit": "us p50", "ratio": card["latency"]["p50Ms"] * 1000 / bare, "card": card}


def many_topics(settings: Settings) -> dict:
    with Broker(settings) as broker:
        one = load(broker, settings, *shape(16, 64), partitions=16, ceiling=False)
        many = load(broker, settings, *shape(16, 64), "--topics", 1000, partitions=1000)
    return {
        "value": many["requestsPerSecond"], "unit": "requests/s", "ratio": many["requestsPerSecond"] / one["requestsPerSecond"],
        "card": many, "one": one}


def large(settings: Settings) -> dict:
    with Broker(settings) as broker:
        card = load(broker, settings, *shape(8, 8), "--records-per-request", 100, "--record-size", 1024, partitions=8)
    return {"value": card["megabytesPerSecond"], "unit": "MB/s", "ratio": card["shareOfDriveBytes"], "card": card}


def cached(settings: Settings) -> dict:
    """Both in bytes of values; consumed in short runs, as the cache holds no more."""
    with Broker(settings) as broker:
        card = load(broker, settings, *shape(4, 64), "--records-per-request", 100, ceiling=False)
        read = broker.bench("consume", "--mode", "cached", "--warmup", 1, "--duration", settings.duration)
    consumed = read["recordsPerSecond"] * 100 / 1e6
    return {"value": consumed, "unit": "MB/s", "ratio": consumed / card["megabytesPerSecond"], "card": card, "read": read}


def tailed(settings: Settings) -> dict:
    with Broker(settings) as broker:
        read = broker.bench(
            "consume", "--mode", "tail", "--records-per-batch", 1, "--warmup", settings.warmup, "--duration", settings.duration,
            "--topic-config", f"retention.bytes={KEPT // 4}")
    produced = read["produceRequestsPerSecond"]
    return {"value": produced, "unit": "requests/s", "ratio": produced / read["produceAloneRequestsPerSecond"], "read": read}


def open_loop(settings: Settings) -> dict:
    with Broker(settings) as broker:
        most = load(broker, settings, *shape(4, 1024), ceiling=False)
        card = load(broker, settings, *shape(4, 4096), "--rate", most["requestsPerSecond"] / 2, warmup=2)
    bare = card["drive"][0]["p50Us"]
    return {"value": card["latency"]["p99Ms"] * 1000, "unit": "us p99", "ratio": card["latency"]["p99Ms"] * 1000 / bare, "card": card}


def disturbed(settings: Settings) -> dict:
    with Broker(settings) as broker:
        calm = load(broker, settings, *shape(4, 1024), ceiling=False)
        with broker.busy_neighbour():
            card = load(broker, settings, *shape(4, 1024), ceiling=False, warmup=2)
    return {
        "value": card["requestsPerSecond"], "unit": "requests/s", "ratio": card["requestsPerSecond"] / calm["requestsPerSecond"],
        "card": card, "undisturbed": calm}


SCENARIOS = [
    Scenario("4 x 1024", "of the null server", 0.5, 0.8, of_null(4, 1024)),
    Scenario("16 x 64", "of the null server", 0.4, 0.7, of_null(16, 64)),
    Scenario("60 x 4", "of the null server", 0.6, 0.9, of_null(60, 4)),
    Scenario("1 x 1", "of a bare durable write's p50", 2, 1.3, alone, falls=True),
    Scenario("1,000 topics, 16 x 64", "of one topic", 0.8, 0.95, many_topics),
    Scenario("100 x 1 KiB, 8 x 8", "of the drive's durable bytes", 0.7, 0.95, large),
    Scenario("consume from cache", "of what is produced, in bytes", 2, 4, cached),
    Scenario("produce, 4 tail", "of produce alone", 0.8, 0.95, tailed),
    Scenario("open loop at half, p99", "of a bare durable write's p50", 100, 20, open_loop, falls=True),
    Scenario("beside a busy process", "of undisturbed", 0.4, 0.6, disturbed),
]
