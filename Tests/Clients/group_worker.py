"""One member of a consumer group, until its standard input is closed.

    python group_worker.py CLIENT HOST:PORT,.. TOPIC GROUP FILE

A process of its own, so that it can be killed. It appends to FILE a line per event, with the seconds of the monotonic clock: `assigned TIME PARTITIONS`
before it asks where to begin in them, `read TIME PARTITION OFFSET`, `commit TIME PARTITION OFFSET` once that is acknowledged: the next one to be read; and
`refused TIME REASON` where a commit was not taken. What is committed was read before.
"""

import asyncio
import sys
import time

from crash_worker import watch_input

SESSION = 6000
COMMIT_INTERVAL = 0.5


class Journal:
    """What the member has seen, written out at once; and how far it has come in the partitions that it has."""

    def __init__(self, path):
        self.file = open(path, "a", buffering=1)
        self.positions = {}
        self.committed_at = time.monotonic()

    def write(self, kind, *rest):
        self.file.write(f"{kind} {time.monotonic():.6f} {' '.join(map(str, rest))}\n")

    def assigned(self, partitions):
        if partitions:
            self.write("assigned", ",".join(map(str, partitions)))
        for partition in partitions:
            self.positions.pop(partition, None)

    def lost(self, partitions):
        for partition in partitions:
            self.positions.pop(partition, None)

    def read(self, partition, offset):
        self.write("read", partition, offset)
        self.positions[partition] = offset + 1

    def due(self):
        """Whether it is time to commit."""
        if not self.positions or time.monotonic() < self.committed_at + COMMIT_INTERVAL:
            return False
        self.committed_at = time.monotonic()
        return True

    def committed(self, positions):
        for partition, offset in positions.items():
            self.write("commit", partition, offset)

    def refused(self, error):
        self.write("refused", repr(error).replace("\n", " "))


def run_confluent(servers, topic, group, journal, done, strategy="range"):
    import confluent_kafka

    def commit(partitions):
        positions = {partition: journal.positions[partition] for partition in partitions if partition in journal.positions}
        if not positions:
            return
        try:
            consumer.commit(offsets=[confluent_kafka.TopicPartition(topic, partition, offset) for partition, offset in positions.items()], asynchronous=False)
            journal.committed(positions)
        except confluent_kafka.KafkaException as error:
            journal.refused(error)

    def give(_, partitions):
        numbers = [one.partition for one in partitions]
        commit(numbers)
        journal.lost(numbers)

    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
        "partition.assignment.strategy": strategy, "session.timeout.ms": SESSION, "heartbeat.interval.ms": 500,
        "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200})
    consumer.subscribe(
        [topic], on_assign=lambda _, partitions: journal.assigned([one.partition for one in partitions]), on_revoke=give,
        on_lost=lambda _, partitions: journal.lost([one.partition for one in partitions]))
    while not done.is_set():
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            journal.read(message.partition(), message.offset())
        if journal.due():
            commit(list(journal.positions))
    consumer.close()


def run_cooperative(servers, topic, group, journal, done):
    run_confluent(servers, topic, group, journal, done, strategy="cooperative-sticky")


def run_kafka_python(servers, topic, group, journal, done):
    import kafka

    def commit():
        positions = dict(journal.positions)
        try:
            consumer.commit()
            journal.committed(positions)
        except kafka.errors.KafkaError as error:
            journal.refused(error)

    class Listener(kafka.ConsumerRebalanceListener):
        # It can't commit here: the listener runs on the thread that would have to wait for the answer.
        def on_partitions_revoked(self, revoked):
            journal.lost([one.partition for one in revoked])

        def on_partitions_assigned(self, assigned):
            journal.assigned([one.partition for one in assigned])

    consumer = kafka.KafkaConsumer(
        bootstrap_servers=servers, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False, session_timeout_ms=SESSION,
        heartbeat_interval_ms=500, reconnect_backoff_ms=20, reconnect_backoff_max_ms=200)
    consumer.subscribe([topic], listener=Listener())
    while not done.is_set():
        for target, records in consumer.poll(100, max_records=200).items():
            for record in records:
                journal.read(target.partition, record.offset)
        if journal.due():
            commit()
    consumer.close()


def run_aiokafka(servers, topic, group, journal, done):
    asyncio.run(aiokafka_loop(servers, topic, group, journal, done))


async def aiokafka_loop(servers, topic, group, journal, done):
    import aiokafka

    async def commit():
        positions = dict(journal.positions)
        try:
            await consumer.commit({aiokafka.TopicPartition(topic, partition): offset for partition, offset in positions.items()})
            journal.committed(positions)
        except (aiokafka.errors.KafkaError, ValueError) as error:
            journal.refused(error)

    class Listener(aiokafka.ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked):
            if journal.positions:
                await commit()
            journal.lost([one.partition for one in revoked])

        async def on_partitions_assigned(self, assigned):
            journal.assigned([one.partition for one in assigned])

    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=servers, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False, session_timeout_ms=SESSION,
        heartbeat_interval_ms=500)
    consumer.subscribe([topic], listener=Listener())
    await consumer.start()
    while not done.is_set():
        for target, records in (await consumer.getmany(timeout_ms=100, max_records=200)).items():
            for record in records:
                journal.read(target.partition, record.offset)
        if journal.due():
            await commit()
    await consumer.stop()


MEMBERS = {"confluent": run_confluent, "cooperative": run_cooperative, "kafka-python": run_kafka_python, "aiokafka": run_aiokafka}


def main():
    client, servers, topic, group, path = sys.argv[1:]
    journal = Journal(path)
    MEMBERS[client](servers, topic, group, journal, watch_input())


if __name__ == "__main__":
    main()
