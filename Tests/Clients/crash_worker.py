"""One idempotent producer that goes on through every crash of the broker, until its standard input is closed.

    python crash_worker.py CLIENT HOST:PORT TOPIC PARTITIONS FILE [RATE]

A process of its own, so that nothing that a client does to its threads can stop the test. It appends to FILE a line per
event: `ack PARTITION OFFSET NUMBER`, `implied PARTITION NUMBER` where the client was not told the offset, because the acknowledgement of a later one
showed that this one is there (librdkafka), or `unknown PARTITION NUMBER REASON` for what was sent but not acknowledged, and
`fatal REASON` when the client can't go on. Numbers rise by one in the order of sending. RATE is the most records a second, on
average; without it there is no bound. HUTONG_TEST_LIBRDKAFKA_DEBUG is what librdkafka shall tell on standard error, such as eos,msg.
"""

import asyncio
import os
import sys
import threading
import time

PATIENCE = 120
WINDOW = 500  # records sent and not yet answered


def value_of(client, number):
    """Unique, of a size that differs, and tells who sent it and when."""
    return b"%s:%09d:" % (client.encode(), number) + b"." * (number * 37 % 400)


class Journal:
    """What the worker has seen, written out at once: the test reads it while the worker runs."""

    def __init__(self, path, rate):
        self.rate = rate
        self.began = time.monotonic()
        self.file = open(path, "a", buffering=1)
        self.lock = threading.Lock()
        self.pending = 0

    def is_full(self, number):
        """Whether the record with that number has to wait."""
        return self.pending >= WINDOW or number >= self.rate * (time.monotonic() - self.began)

    def sent(self):
        with self.lock:
            self.pending += 1

    def settle(self, line):
        with self.lock:
            self.pending -= 1
            self.file.write(line + "\n")

    def acknowledged(self, partition, offset, number):
        self.settle(f"implied {partition} {number}" if offset is None else f"ack {partition} {offset} {number}")

    def unknown(self, partition, number, reason):
        self.settle(f"unknown {partition} {number} {str(reason)!r}")


def watch_input():
    """Set when the test wants the worker to finish."""
    done = threading.Event()

    def wait():
        sys.stdin.read()
        done.set()

    threading.Thread(target=wait, daemon=True).start()
    return done


def run_confluent(server, topic, partitions, journal, done):
    import confluent_kafka

    producer = confluent_kafka.Producer({
        "bootstrap.servers": server, "enable.idempotence": True, "linger.ms": 2, "batch.num.messages": 50,
        "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 20,
        "message.timeout.ms": PATIENCE * 1000, "socket.timeout.ms": 10_000,
        **({"debug": os.environ["HUTONG_TEST_LIBRDKAFKA_DEBUG"]} if "HUTONG_TEST_LIBRDKAFKA_DEBUG" in os.environ else {})})

    def delivered(number, partition):
        def callback(error, message):
            if error is None:
                journal.acknowledged(partition, message.offset(), number)
            else:
                journal.unknown(partition, number, error)
        return callback

    number = 0
    while not done.is_set():
        if not journal.is_full(number):
            partition = number % partitions
            journal.sent()
            producer.produce(topic, value_of("confluent", number), partition=partition,
                             on_delivery=delivered(number, partition))
            number += 1
            producer.poll(0)
        else:
            producer.poll(0.02)
    producer.flush(PATIENCE)


def run_kafka_python(server, topic, partitions, journal, done):
    import kafka

    producer = kafka.KafkaProducer(
        bootstrap_servers=server, enable_idempotence=True, acks="all", linger_ms=2, reconnect_backoff_ms=20,
        reconnect_backoff_max_ms=200, retry_backoff_ms=20, delivery_timeout_ms=PATIENCE * 1000,
        request_timeout_ms=10_000, max_block_ms=PATIENCE * 1000)
    number = 0
    while not done.is_set():
        if journal.is_full(number):
            time.sleep(0.005)
            continue
        partition = number % partitions
        journal.sent()
        future = producer.send(topic, value_of("kafka-python", number), partition=partition)
        future.add_callback(lambda found, n=number, p=partition: journal.acknowledged(p, found.offset, n))
        future.add_errback(lambda error, n=number, p=partition: journal.unknown(p, n, error))
        number += 1
    producer.flush(PATIENCE)
    producer.close(5)


def run_aiokafka(server, topic, partitions, journal, done):
    asyncio.run(aiokafka_loop(server, topic, partitions, journal, done))


async def aiokafka_loop(server, topic, partitions, journal, done):
    import aiokafka

    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=server, enable_idempotence=True, linger_ms=2, retry_backoff_ms=20, request_timeout_ms=10_000)
    # A record that knows no leader for as long as a request may take is given up, and there is no setting for that alone: one question for metadata
    # that goes to a broker that is paused is enough. The other clients are as patient as this.
    producer._message_accumulator._batch_ttl = PATIENCE
    await producer.start()

    def settled(number, partition):
        def callback(future):
            if future.cancelled() or future.exception() is not None:
                journal.unknown(partition, number, "cancelled" if future.cancelled() else future.exception())
            else:
                journal.acknowledged(partition, future.result().offset, number)
        return callback

    number = 0
    while not done.is_set():
        if journal.is_full(number):
            await asyncio.sleep(0.005)
            continue
        partition = number % partitions
        value = value_of("aiokafka", number)
        try:
            future = await producer.send(topic, value, partition=partition)
        except aiokafka.errors.KafkaTimeoutError:
            continue  # its buffer stayed full while the broker was away: nothing was taken, so nothing was sent
        journal.sent()
        future.add_done_callback(settled(number, partition))
        number += 1
        if number % 20 == 0:
            await asyncio.sleep(0.001)
    await asyncio.wait_for(producer.flush(), PATIENCE)
    await producer.stop()


WORKERS = {"confluent": run_confluent, "kafka-python": run_kafka_python, "aiokafka": run_aiokafka}


def main():
    client, server, topic, partitions, path, *rate = sys.argv[1:]
    journal = Journal(path, float(rate[0]) if rate else float("inf"))
    try:
        WORKERS[client](server, topic, int(partitions), journal, watch_input())
    except BaseException as error:
        journal.file.write(f"fatal {error!r}\n")
        raise


if __name__ == "__main__":
    main()
