"""A producer that begins anew where it can't go on, or a consumer, until its standard input is closed.

    python replicated_worker.py produce HOST:PORT,.. TOPIC PARTITIONS FILE RATE ACKS
    python replicated_worker.py consume HOST:PORT,.. TOPIC PARTITIONS FILE

A process of its own, as crash_worker.py is. It appends to FILE a line per event, with the seconds of the monotonic clock:
`ack TIME PARTITION OFFSET RECORD`, `placeless TIME PARTITION RECORD` or `unknown TIME PARTITION RECORD REASON` for what was sent; `renewed TIME REASON` where an idempotent
producer could not go on, as it can't when what it was told is acknowledged is gone, and the next one took its place; and
`read TIME PARTITION OFFSET RECORD`. RECORD is PRODUCER:NUMBER.
"""

import sys
import time

import confluent_kafka

from crash_worker import PATIENCE, Journal, value_of, watch_input

QUICKLY = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "socket.timeout.ms": 10_000}


class Life:
    """One producer, which ends where it can't go on."""

    def __init__(self, name, servers, acks, journal):
        self.name = name
        self.journal = journal
        self.producer = confluent_kafka.Producer({
            "bootstrap.servers": servers, "acks": acks, "enable.idempotence": acks == "all", "linger.ms": 2, "batch.num.messages": 50,
            "retry.backoff.ms": 20, "message.timeout.ms": PATIENCE * 1000, **QUICKLY})

    def send(self, topic, partition, number):
        record = f"{self.name}:{number}"

        def delivered(error, message):
            if error is None and message.offset() is None:
                # A batch that was sent again though it was there long since: librdkafka is not told where.
                self.journal.settle(f"placeless {time.monotonic():.6f} {partition} {record}")
            elif error is None:
                self.journal.settle(f"ack {time.monotonic():.6f} {partition} {message.offset()} {record}")
            else:
                self.journal.settle(f"unknown {time.monotonic():.6f} {partition} {record} {error.name()}")

        self.producer.produce(topic, value_of(self.name, number), partition=partition, on_delivery=delivered)
        self.journal.sent()

    def go_on(self, topic, partitions, number, done):
        """Sends until it is done, or can't. The first number that it has not taken."""
        try:
            while not done.is_set():
                if self.journal.is_full(number):
                    self.producer.poll(0.02)
                else:
                    self.send(topic, number % partitions, number)
                    number += 1
                    self.producer.poll(0)
        except confluent_kafka.KafkaException as error:
            if not error.args[0].fatal():
                raise
            self.journal.file.write(f"renewed {time.monotonic():.6f} {error.args[0].name()}\n")
            self.producer.purge()
        assert self.producer.flush(PATIENCE) == 0, "what was sent is still open"
        return number


def produce(servers, topic, partitions, path, rate, acks):
    done = watch_input()
    journal = Journal(path, float(rate))
    number = lives = 0
    while not done.is_set():
        number = Life(f"producer-{lives}", servers, acks, journal).go_on(topic, int(partitions), number, done)
        lives += 1


def consume(servers, topic, partitions, path):
    """From the beginning on. An offset that is out of range is an error: what was read is there for good."""
    done = watch_input()
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": servers, "group.id": "unused", "enable.auto.commit": False, "check.crcs": True, "auto.offset.reset": "error",
        "fetch.error.backoff.ms": 50, **QUICKLY})
    consumer.assign([confluent_kafka.TopicPartition(topic, index, 0) for index in range(int(partitions))])
    with open(path, "a", buffering=1) as file:
        while not done.is_set():
            for message in consumer.consume(500, 0.05):
                error = message.error()
                if error is None:
                    name, number, _ = message.value().split(b":", 2)
                    file.write(f"read {time.monotonic():.6f} {message.partition()} {message.offset()} {name.decode()}:{int(number)}\n")
                else:
                    file.write(f"trouble {time.monotonic():.6f} {error.name()} {error.str()!r}\n")
    consumer.close()


if __name__ == "__main__":
    {"produce": produce, "consume": consume}[sys.argv[1]](*sys.argv[2:])
