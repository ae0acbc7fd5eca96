"""Four Kafka clients behind one face: produce these records, consume these partitions.

No client can send everything: `can` says what becomes of a record in its hands, and no client shows everything: `see`
says how a record looks to it. A test compares see(can(record)) with what came. There are no consumer groups yet, so
every consumer is given its partitions by hand and starts at the beginning.
"""

import asyncio
import subprocess
from concurrent.futures import ThreadPoolExecutor

import aiokafka
import confluent_kafka
import kafka

from records import ANY, Record

MAX_BYTES = 1_048_588
PATIENCE = 60  # seconds without any progress


def something(record):
    """For clients that refuse a record with neither key nor value."""
    return record._replace(key=b"neither") if record.key is None and record.value is None else record


def never_null(headers):
    return tuple((name, content or b"") for name, content in headers)


class Confluent:
    """confluent-kafka, librdkafka as it is today."""

    name = "confluent"

    def can(self, record, _):
        return record

    def see(self, record):
        return record

    def produce(self, server, topic, codec, pairs):
        producer = confluent_kafka.Producer({
            "bootstrap.servers": server, "compression.codec": codec, "message.max.bytes": MAX_BYTES, "linger.ms": 20})
        failures = []

        def delivered(error, _):
            if error is not None:
                failures.append(str(error))

        for partition, record in pairs:
            while True:
                try:
                    producer.produce(
                        topic, record.value, record.key, partition, on_delivery=delivered,
                        timestamp=record.timestamp, headers=list(record.headers))
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        left = producer.flush(PATIENCE)
        assert not left and not failures, f"{left} not delivered, {len(failures)} failed: {failures[:3]}"

    def consume(self, server, topic, partitions):
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": server, "group.id": "unused", "enable.auto.commit": False,
            "enable.partition.eof": True, "check.crcs": True, "fetch.message.max.bytes": MAX_BYTES})
        found = [[] for _ in range(partitions)]
        try:
            consumer.assign([confluent_kafka.TopicPartition(topic, index, confluent_kafka.OFFSET_BEGINNING)
                             for index in range(partitions)])
            ended = set()
            while len(ended) < partitions:
                message = consumer.poll(PATIENCE)
                assert message is not None, f"nothing for {PATIENCE} s, {len(ended)} partitions at their end"
                if message.error() is None:
                    check_offset(found[message.partition()], message.offset())
                    found[message.partition()].append(Record(
                        message.key(), message.value(), tuple(message.headers() or ()), message.timestamp()[1]))
                elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
                else:
                    raise AssertionError(str(message.error()))
        finally:
            consumer.close()
        return found


class KafkaPython:
    """kafka-python 3. A record needs a key or a value, and its headers can't be null."""

    name = "kafka-python"

    def can(self, record, _):
        return something(record)._replace(headers=never_null(record.headers))

    def see(self, record):
        return record

    def produce(self, server, topic, codec, pairs):
        producer = kafka.KafkaProducer(
            bootstrap_servers=server, compression_type=None if codec == "none" else codec, linger_ms=20,
            max_request_size=MAX_BYTES, acks="all")
        try:
            sent = [producer.send(topic, record.value, record.key, list(record.headers), partition, record.timestamp)
                    for partition, record in pairs]
            producer.flush(PATIENCE)
            for future in sent:
                future.get(timeout=PATIENCE)
        finally:
            producer.close(5)

    def consume(self, server, topic, partitions):
        consumer = kafka.KafkaConsumer(
            bootstrap_servers=server, group_id=None, enable_auto_commit=False, check_crcs=True,
            max_partition_fetch_bytes=MAX_BYTES)
        found = [[] for _ in range(partitions)]
        try:
            assigned = [kafka.TopicPartition(topic, index) for index in range(partitions)]
            consumer.assign(assigned)
            consumer.seek_to_beginning(*assigned)
            ends = consumer.end_offsets(assigned)
            while any(consumer.position(place) < ends[place] for place in assigned):
                arrived = consumer.poll(timeout_ms=PATIENCE * 1000)
                assert arrived, f"nothing for {PATIENCE} s"
                for place, messages in arrived.items():
                    for message in messages:
                        check_offset(found[place.partition], message.offset)
                        found[place.partition].append(
                            Record(message.key, message.value, tuple(message.headers), message.timestamp))
        finally:
            consumer.close()
        return found


class AioKafka:
    """aiokafka. A record needs a key or a value, and its headers can't be null."""

    name = "aiokafka"

    def can(self, record, _):
        return something(record)._replace(headers=never_null(record.headers))

    def see(self, record):
        return record

    def produce(self, server, topic, codec, pairs):
        asyncio.run(self._produce(server, topic, codec, pairs))

    async def _produce(self, server, topic, codec, pairs):
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=server, compression_type=None if codec == "none" else codec, linger_ms=20,
            max_request_size=MAX_BYTES, acks="all")
        await producer.start()
        try:
            sent = [await producer.send(
                topic, record.value, record.key, partition, record.timestamp, list(record.headers))
                for partition, record in pairs]
            await asyncio.wait_for(asyncio.gather(*sent), PATIENCE * 5)
        finally:
            await producer.stop()

    def consume(self, server, topic, partitions):
        return asyncio.run(self._consume(server, topic, partitions))

    async def _consume(self, server, topic, partitions):
        consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=server, group_id=None, enable_auto_commit=False, check_crcs=True,
            max_partition_fetch_bytes=MAX_BYTES)
        await consumer.start()
        found = [[] for _ in range(partitions)]
        try:
            assigned = [aiokafka.TopicPartition(topic, index) for index in range(partitions)]
            consumer.assign(assigned)
            await consumer.seek_to_beginning(*assigned)
            ends = await consumer.end_offsets(assigned)
            while any([await consumer.position(place) < ends[place] for place in assigned]):
                arrived = await consumer.getmany(timeout_ms=PATIENCE * 1000)
                assert arrived, f"nothing for {PATIENCE} s"
                for place, messages in arrived.items():
                    for message in messages:
                        check_offset(found[place.partition], message.offset)
                        found[place.partition].append(
                            Record(message.key, message.value, tuple(message.headers), message.timestamp))
        finally:
            await consumer.stop()
        return found


class Kcat:
    """Debian's kcat. One process per partition.

    It takes records from a stream with delimiters. -H gives every record of a process the same headers, -Z makes all
    that is empty null, and without -Z a value can only be empty: so even partitions are produced with -Z and odd ones
    without. It can't set a timestamp. It prints headers as one text, each only up to its first NUL; compared as such.
    """

    name = "kcat"
    KEY_END, RECORD_END, LINE_END = b"::hutong-key::", b"::hutong-record::", b"::hutong-end::\n"
    FORMAT = "%o %T %K %S\\n%k%s%h::hutong-end::\\n"

    @staticmethod
    def headers_of(partition):
        return (("partition", b"%d" % partition), ("空", b""), ("null", None), ("equals", b"a=b"))[: partition % 5]

    def can(self, record, partition):
        key, value = record.key, record.value
        if partition % 2 == 0:
            key, value = key or None, value or None
        else:
            value = value or b""
            key = b"" if key is None and not value else key
        return Record(key, value, self.headers_of(partition), ANY)

    def see(self, record):
        pieces = (name.encode() + b"=" + (b"NULL" if content is None else content.split(b"\0")[0])
                  for name, content in record.headers)
        return record._replace(headers=b",".join(pieces))

    def run(self, server, arguments, stdin=b""):
        done = subprocess.run(["kcat", "-b", server, "-X", f"message.max.bytes={MAX_BYTES}", *arguments],
                              input=stdin, capture_output=True, timeout=PATIENCE * 5)
        assert done.returncode == 0, f"kcat {arguments}: {done.returncode}: {done.stderr.decode(errors='replace')}"
        return done.stdout

    def produce(self, server, topic, codec, pairs):
        streams = {}
        for partition, record in pairs:
            stream = streams.setdefault(partition, bytearray())
            if record.key is not None:
                stream += record.key + self.KEY_END
            elif not record.value:  # nothing at all between two ends would be no record: an empty key, null by -Z
                stream += self.KEY_END
            stream += (record.value or b"") + self.RECORD_END

        def one(partition):
            arguments = ["-P", "-t", topic, "-p", str(partition), "-z", codec, "-K", self.KEY_END.decode(),
                         "-D", self.RECORD_END.decode(), "-X", "topic.acks=all"]
            for name, content in self.headers_of(partition):
                arguments += ["-H", name if content is None else f"{name}={content.decode()}"]
            self.run(server, arguments + ["-Z"] * (partition % 2 == 0), bytes(streams[partition]))

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(one, streams))

    def consume(self, server, topic, partitions):
        def one(partition):
            return self.parse(self.run(server, [
                "-C", "-t", topic, "-p", str(partition), "-o", "beginning", "-e", "-q", "-f", self.FORMAT,
                "-X", "check.crcs=true"]))

        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(one, range(partitions)))

    def parse(self, output):
        found = []
        at = 0
        while at < len(output):
            line_end = output.index(b"\n", at)
            offset, timestamp, key_size, size = map(int, output[at:line_end].split())
            check_offset(found, offset)
            at = line_end + 1
            pieces = []
            for length in (key_size, size):
                pieces.append(None if length < 0 else output[at : at + length])
                at += max(length, 0)
            end = output.index(self.LINE_END, at)
            found.append(Record(*pieces, output[at:end], timestamp))
            at = end + len(self.LINE_END)
        return found


def check_offset(found, offset):
    """There are no transactions and no compaction here, so offsets run from 0 without a gap."""
    assert offset == len(found), f"offset {offset} came where {len(found)} was due"


CLIENTS = {client.name: client for client in (Kcat(), Confluent(), KafkaPython(), AioKafka())}
