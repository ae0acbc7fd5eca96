"""What one client produces, it and others consume, byte for byte and in order, in every codec and every layout."""

import zlib

import pytest

from batches import CODECS
from clients import CLIENTS
from rawclient import Connection
from records import compare, expected_by_partition, generate

PARTITIONS = 12
NAMES = list(CLIENTS)


def round_trip(broker, topic, producer_name, consumer_names, codec, count):
    """Produces `count` records with one client and compares what each of the consumers finds."""
    with Connection(broker.address) as connection:
        connection.create(topic, PARTITIONS)
    producer = CLIENTS[producer_name]
    seed = zlib.crc32(f"{producer_name}/{codec}".encode())
    pairs = [(partition, producer.can(record, partition)) for partition, record in generate(seed, count, PARTITIONS)]
    producer.produce(broker.server, topic, codec, iter(pairs))
    wanted = expected_by_partition(pairs, PARTITIONS)
    for name in consumer_names:
        consumer = CLIENTS[name]
        seen = [[consumer.see(record) for record in partition] for partition in wanted]
        compare(seen, consumer.consume(broker.server, topic, PARTITIONS), f"{producer_name} to {name}, {codec}")


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("producer", NAMES)
def test_round_trip(broker, topic, producer, codec, record_count):
    """Each client reads its own records back, and the next client in the circle reads them too."""
    following = NAMES[(NAMES.index(producer) + 1) % len(NAMES)]
    round_trip(broker, topic, producer, [producer, following], codec, record_count)


@pytest.mark.parametrize("producer", NAMES)
def test_layouts(broker_variant, topic, producer, record_count):
    """The small set in each executor layout and with two partition groups: two codecs, and the other two clients."""
    at = NAMES.index(producer)
    codec = CODECS[(at + 1) % len(CODECS)]
    others = [NAMES[(at + 2) % len(NAMES)], NAMES[(at + 3) % len(NAMES)]]
    round_trip(broker_variant, topic, producer, others, codec, max(100, record_count // 5))


def test_layout_is_the_one_asked_for(broker_variant):
    """A layout that fell back to another would make the whole matrix mean nothing."""
    asked = broker_variant.settings.get("threads.layout")
    assert asked is None or broker_variant.ready["layout"] == asked, broker_variant.ready_line
    assert {"data", "io", "flush", "layout"} <= set(broker_variant.ready), broker_variant.ready_line
    assert "acks" in broker_variant.ready_line, "the ready line does not say what acks mean"
