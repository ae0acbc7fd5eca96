"""What may be lost at QoS 3 (replicated), and what may not: the histories of producers and consumers held against what is there afterwards."""

from typing import NamedTuple


class Acknowledged(NamedTuple):
    """A record, as its producer was told, in the order in which it was told."""

    time: float
    partition: int
    offset: int
    record: str


class Kill(NamedTuple):
    """A majority was killed at once. What was acknowledged before `settled` was committed by then; nothing can have been acknowledged
    from `killed`, but for answers on their way, to `restarted`. Seconds of one clock."""

    settled: float
    killed: float
    restarted: float


def find_losses(acknowledged, found, kills=()):
    """What was acknowledged and is not there, for each kill. `found` has the record at each offset, per partition.

    It is an error unless it was acknowledged shortly before a kill, and everything in its partition that was acknowledged
    between it and the kill is missing as well: a log that was cut off, and has no hole. Nor may it be there at another offset.
    """
    lost = [[] for _ in kills]
    cut = {}  # where a kill has taken a partition's end, the first that is missing
    places = [{record: offset for offset, record in enumerate(records)} for records in found]
    for one in acknowledged:
        number = next((number for number, kill in enumerate(kills) if kill.settled < one.time < kill.restarted), None)
        place = places[one.partition].get(one.record)
        if place == one.offset:
            first = cut.get((number, one.partition))
            assert first is None, f"{one} is there, and {first} is missing"
            continue
        assert place is None, f"{one} is at {place}"
        instead = found[one.partition][one.offset:one.offset + 1]
        assert number is not None, f"{one} is missing, and nothing has happened by which it may be lost; there is {instead or 'nothing'}"
        lost[number].append(one)
        cut.setdefault((number, one.partition), one)
    return lost


def check_reads(reads, found):
    """Consumers read each partition from its beginning, without a gap, and what they have read is there: (partition, offset, record) in order."""
    ends = [0] * len(found)
    for partition, offset, record in reads:
        assert offset == ends[partition], f"partition {partition}: {offset} was read where {ends[partition]} was due"
        ends[partition] += 1
        there = found[partition][offset] if offset < len(found[partition]) else None
        assert there == record, f"partition {partition}: {record} was read at {offset}, where {there} is"
    return ends
