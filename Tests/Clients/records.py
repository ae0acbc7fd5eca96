"""What the clients produce, made from a seed: what is expected is made again and never stored.

Sizes are spread over a log-normal with a median of 200 bytes, and one record in a thousand has 900 KB. Nulls, empties
and headers appear in fixed shares, and half of the values compress well and half not at all.
"""

import hashlib
import itertools
import math
import random
from typing import NamedTuple, Optional

BIG = 900_000
BIG_EVERY = 1_000
MEDIAN = 200
SPREAD = 1.2  # standard deviation of the size's logarithm: one in a hundred above 3 KB
LARGEST_SMALL = 60_000
START_TIME = 1_700_000_000_000
WORDS = [word.encode() for word in
         "hutong alley lantern courtyard bicycle dumpling sparrow persimmon gate teahouse chess cricket brick".split()]


class Record(NamedTuple):
    """As it is sent, and as it came back. A field that a client can't tell is ANY and equal to everything."""

    key: Optional[bytes]
    value: Optional[bytes]
    headers: tuple = ()
    timestamp: object = None


class Anything:
    """What a client can't set or can't show, so that it takes no part in the comparison."""

    def __eq__(self, _):
        return True

    def __ne__(self, _):
        return False

    __hash__ = None

    def __repr__(self):
        return "ANY"


ANY = Anything()


def make_value(random_source, size, compressible):
    if not compressible:
        return random_source.randbytes(size)
    words = b" ".join(random_source.choices(WORDS, k=min(size, 64)))
    return (words * (size // len(words) + 1))[:size] if size else b""


def make_headers(random_source):
    """None in six of ten records; otherwise up to four, repeated names, empty and null values among them."""
    if random_source.random() < 0.6:
        return ()
    headers = []
    for index in range(random_source.randint(1, 4)):
        draw = random_source.random()
        content = None if draw < 0.1 else b"" if draw < 0.25 else random_source.randbytes(random_source.randint(1, 40))
        headers.append((random_source.choice(["trace", "时间", f"h{index}"]), content))
    return tuple(headers)


def make_record(random_source, index, count):
    # The big ones stand in the middle of their thousand, so that a short run has one too.
    if index % BIG_EVERY == min(BIG_EVERY, count) // 2:
        return Record(b"big-%d" % index, make_value(random_source, BIG, random_source.random() < 0.5),
                      make_headers(random_source), START_TIME + index)
    size = min(LARGEST_SMALL, int(math.exp(random_source.gauss(math.log(MEDIAN), SPREAD))))
    draw = random_source.random()
    value = None if draw < 0.03 else b"" if draw < 0.06 else make_value(random_source, size, draw < 0.53)
    draw = random_source.random()
    key = None if draw < 0.2 else b"" if draw < 0.23 else b"key-%d" % random_source.randrange(1000)
    return Record(key, value, make_headers(random_source), START_TIME + index)


def generate(seed, count, partitions=12):
    """(partition, record) in the order in which they are produced; the same for the same arguments, always."""
    random_source = random.Random(seed)
    for index in range(count):
        partition = random_source.randrange(partitions)
        yield partition, make_record(random_source, index, count)


def expected_by_partition(pairs, partitions=12):
    """The records of each partition in order. Pass it what the client was able to send (see clients.py)."""
    found = [[] for _ in range(partitions)]
    for partition, record in pairs:
        found[partition].append(record)
    return found


def shorten(value):
    """A value for a message: its length and its ends, or the reports would be megabytes long."""
    if not isinstance(value, bytes) or len(value) <= 48:
        return repr(value)
    return f"<{len(value)} B {hashlib.sha256(value).hexdigest()[:12]} {value[:16]!r}..{value[-16:]!r}>"


def first_byte_apart(left, right):
    if not isinstance(left, bytes) or not isinstance(right, bytes):
        return ""
    for index, (a, b) in enumerate(zip(left, right)):
        if a != b:
            return f" (first at byte {index})"
    return f" (one ends at byte {min(len(left), len(right))})"


def describe_difference(wanted, got):
    lines = []
    for name in Record._fields:
        left, right = getattr(wanted, name), getattr(got, name)
        if left != right:
            lines.append(f"    {name}: wanted {shorten(left)}, got {shorten(right)}{first_byte_apart(left, right)}")
    return "\n".join(lines)


def where_else(record, others):
    """Where the record that came stands among those that were wanted: tells loss and reordering from corruption."""
    for index, other in enumerate(others):
        if record == other:
            return f"what came is wanted at index {index}"
    return "what came is wanted nowhere in this partition"


def compare(wanted, got, name=""):
    """Fails with the first difference, partition by partition: index, field, byte, and where it may have come from."""
    assert len(wanted) == len(got), f"{name}: {len(wanted)} partitions wanted, {len(got)} came"
    for partition, (left, right) in enumerate(zip(wanted, got)):
        for index, (a, b) in enumerate(itertools.zip_longest(left, right)):
            if a == b:
                continue
            head = f"{name}: partition {partition}, index {index} of {len(left)} wanted, {len(right)} came"
            if b is None:
                raise AssertionError(f"{head}: missing from here on; wanted key {a.key!r} value {shorten(a.value)}")
            if a is None:
                raise AssertionError(f"{head}: one too many: key {b.key!r} value {shorten(b.value)}; "
                                     + where_else(b, left))
            raise AssertionError(f"{head}:\n{describe_difference(a, b)}\n    {where_else(b, left)}")
