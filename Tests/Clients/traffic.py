"""A well-behaved client that works while others misbehave: an idempotent producer and a consumer, each record checked."""

import threading
import time

import confluent_kafka

PARTITIONS = 2
PATIENCE = 30.0  # seconds until something that does not come is a failure


def value_of(number):
    return b"%d:" % number + bytes(number * 7 + at & 0xFF for at in range(number % 300))


class Traffic:
    """Produces one record after the other, each when the one before is acknowledged, and consumes them all meanwhile.
    As a context: what is left to come is waited for at its end, and then everything is compared."""

    def __init__(self, broker, topic):
        self.broker = broker
        self.topic = topic
        self.latencies = []  # seconds from produce to acknowledgement
        self.found = [[] for _ in range(PARTITIONS)]
        self.failures = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.guarded, args=(work,)) for work in (self.produce, self.consume)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.progress(20)
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE * 2)
            assert not thread.is_alive(), "the traffic never came to its end"
        if kind is not None:
            return
        assert not self.failures, self.failures[:3]
        for partition in range(PARTITIONS):
            wanted = [value_of(number) for number in range(partition, len(self.latencies), PARTITIONS)]
            assert self.found[partition] == wanted, f"partition {partition}: {len(self.found[partition])} of {len(wanted)}"

    def guarded(self, work):
        try:
            work()
        except Exception as error:  # noqa: BLE001: told at the end
            self.failures.append(repr(error))

    def progress(self, records=50):
        """Waits until so many more records are acknowledged and consumed; the longest that one of them took."""
        start = len(self.latencies)
        seen = self.consumed
        deadline = time.monotonic() + PATIENCE
        while len(self.latencies) < start + records or self.consumed < seen + records:
            assert not self.failures, self.failures[:3]
            assert time.monotonic() < deadline, (
                f"{len(self.latencies) - start} produced, {self.consumed - seen} consumed in {PATIENCE} s"
                f"\n{self.broker.tail()}")
            time.sleep(0.02)
        return sorted(self.latencies[start:])[-1]

    @property
    def consumed(self):
        return sum(map(len, self.found))

    def p99(self):
        return sorted(self.latencies)[int(len(self.latencies) * 0.99)]

    def produce(self):
        producer = confluent_kafka.Producer({
            "bootstrap.servers": self.broker.server, "enable.idempotence": True, "linger.ms": 0,
            "delivery.timeout.ms": int(PATIENCE * 1000)})
        while not self.stopping.is_set():
            number = len(self.latencies)
            failed = []
            start = time.monotonic()
            producer.produce(self.topic, value_of(number), partition=number % PARTITIONS,
                             on_delivery=lambda error, _: failed.append(error))
            while not failed:
                producer.poll(0.1)
            if failed[0] is not None:
                raise AssertionError(f"record {number}: {failed[0]}")
            self.latencies.append(time.monotonic() - start)
            time.sleep(0.002)

    def consume(self):
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.broker.server, "group.id": "unused", "enable.auto.commit": False, "check.crcs": True})
        try:
            consumer.assign([confluent_kafka.TopicPartition(self.topic, index, 0) for index in range(PARTITIONS)])
            last = time.monotonic()
            while not self.stopping.is_set() or self.consumed < len(self.latencies):
                message = consumer.poll(0.2)
                if message is None:
                    assert time.monotonic() - last < PATIENCE, f"nothing for {PATIENCE} s, {self.consumed} came before"
                    continue
                last = time.monotonic()
                if message.error() is not None:
                    raise AssertionError(str(message.error()))
                self.found[message.partition()].append(message.value())
        finally:
            consumer.close()
