"""The tests' own tools, without a broker: a generator or a checker that is wrong would let everything pass."""

import statistics

import pytest
from kafka.record import MemoryRecords

import clients
import test_durability_trace as trace
import test_threads
from batches import CODECS, Batch, batch, crc32c, decompress, split
from messages import APIS
from records import BIG, Record, compare, expected_by_partition, generate
from test_crash import check_acknowledged, check_once_and_in_order
from crash_worker import value_of
from losses import Acknowledged, Kill, check_reads, find_losses
from wire import Truncated

COUNT = 5_000


@pytest.fixture(scope="session", autouse=True)
def program():
    """These need no broker."""


def test_generator():
    """The same from the same seed; the sizes, nulls and headers that the acceptance asks for."""
    pairs = list(generate(1, COUNT))
    assert pairs == list(generate(1, COUNT)) != list(generate(2, COUNT))
    records = [record for _, record in pairs]
    assert sum(record.value is not None and len(record.value) == BIG for record in records) == COUNT // 1000
    assert 160 < statistics.median(len(record.value or b"") for record in records) < 230
    assert {partition for partition, _ in pairs} == set(range(12))
    for values in ([record.value for record in records], [record.key for record in records],
                   [content for record in records for _, content in record.headers]):
        assert None in values and b"" in values
    assert any(not record.headers for record in records) and any(len(record.headers) > 2 for record in records)
    assert sum(len(record.value or b"") == BIG for _, record in generate(3, 100)) == 1, "a short run has a big one too"


@pytest.mark.parametrize("damage, words", [
    (lambda got: got[3].pop(), "missing"),
    (lambda got: got[3].pop(2), "is wanted at index 3"),
    (lambda got: got[3].append(got[3][0]), "one too many"),
    (lambda got: got[3].insert(5, got[3][5]), "is wanted at index 5"),
    (lambda got: got[3].__setitem__(4, got[3][4]._replace(value=b"zz")), "value: wanted"),
    (lambda got: got[3].__setitem__(4, got[3][4]._replace(timestamp=0)), "timestamp: wanted"),
    (lambda got: got[3].__setitem__(4, got[3][4]._replace(headers=(("x", None),))), "headers: wanted"),
])
def test_compare_tells(damage, words):
    wanted = expected_by_partition(generate(1, 500))
    got = [list(records) for records in wanted]
    compare(wanted, got)
    damage(got)
    with pytest.raises(AssertionError, match=words):
        compare(wanted, got)


@pytest.mark.parametrize("codec", CODECS)
def test_batches_are_what_kafka_python_reads(codec):
    assert crc32c(b"123456789") == 0xE3069283
    values = [b"a" * 300, None, b"", b"last"]
    data = batch(values, codec=codec, timestamps=[5, 9, 7, 6], producer=(4, 0, 11))
    theirs = MemoryRecords(data).next_batch()
    assert theirs.validate_crc()
    assert [(record.value, record.timestamp) for record in theirs] == list(zip(values, [5, 9, 7, 6]))
    ours = Batch(data)
    assert ours.crc_holds() and [one[3] for one in ours.records()] == values
    assert (ours.producer_id, ours.sequence, ours.max_time) == (4, 11, 9)
    assert len(split(data * 3 + data[:-1])) == 3
    assert decompress(codec, data[61:])


def sample(fields):
    """A value for each field, with one element in each array."""
    values = {"int8": 1, "int16": 2, "int32": 3, "int64": 4, "bool": True, "string": "s", "bytes": b"b", "uuid": b"u" * 16}
    return {name: [sample(kind)] if isinstance(kind, list) else [3] if kind == "[]int32" else ["s"]
            if kind == "[]string" else values[kind] for name, kind, *_ in fields}


@pytest.mark.parametrize("api", APIS.values(), ids=lambda api: api.name)
def test_messages_read_as_written(api):
    for version in range(13):
        for fields in (api.request, api.response):
            data = api.write(fields, sample(fields), version)
            again = api.write(fields, api.read(fields, data, version), version)
            assert data == again
            if data:
                with pytest.raises(Truncated):
                    api.read(fields, data[:-1], version)


def test_kcat_output():
    kcat = clients.CLIENTS["kcat"]
    output = (b"0 17 3 -1\nkeyh=1,n=NULL::hutong-end::\n1 18 -1 4\na\n\0b::hutong-end::\n2 19 0 0\n::hutong-end::\n")
    wanted = [Record(b"key", None, (("h", b"1"), ("n", None)), 17), Record(None, b"a\n\0b", (), 18), Record(b"", b"", (), 19)]
    assert kcat.parse(output) == [kcat.see(record) for record in wanted]


GOOD = """1 write-submit group=0 from=0 to=100
2 answer group=0 qos=1 position=100
3 sync-done group=0 flushed=100
4 answer group=0 qos=2 position=100
5 answer group=0 qos=4 position=80
"""


def test_trace_checker():
    assert trace.check_honest(trace.parse(GOOD)) == {2: 1, 4: 1}
    lines = GOOD.splitlines(keepends=True)
    for order in ([0, 1, 3, 2, 4], [0, 4, 1, 2, 3], [1, 2, 0, 3, 4]):
        with pytest.raises(AssertionError):
            trace.check_honest(trace.parse("".join(lines[index] for index in order)))
    for wrong in (GOOD.replace("qos=4 position=80", "qos=4 position=101"),
                  GOOD.replace("sync-done group=0", "sync-done group=1"), GOOD.replace("answer", "anwser")):
        with pytest.raises(AssertionError):
            trace.check_honest(trace.parse(wrong))


def test_strace_reader():
    text = ('12 1.0 openat(AT_FDCWD</x>, "/d/data/j/0", O_RDWR|O_DIRECT|O_CLOEXEC, 0644) = 7</d/data/j/0>\n'
            '12 1.1 openat(5</d/data/j>, "1", O_WRONLY|O_CREAT, 0644) = 8</d/data/j/1>\n'
            '12 1.2 openat(AT_FDCWD</x>, "/d/data/j", O_RDONLY|O_DIRECTORY) = 9</d/data/j>\n')
    found = trace.opens_for_writing(text, "/d/data")
    assert found == {"/d/data/j/0": [["O_RDWR", "O_DIRECT", "O_CLOEXEC"]], "/d/data/j/1": [["O_WRONLY", "O_CREAT"]]}


def test_crash_checker():
    found = [[value_of("a", 0), value_of("b", 0), value_of("a", 1)]]
    check_once_and_in_order(found)
    assert check_acknowledged("a", [["ack", "0", "0", "0"], ["ack", "0", "2", "1"]], found) == 2
    assert check_acknowledged("a", [["implied", "0", "0"], ["ack", "0", "2", "1"]], found) == 2
    for event in (["ack", "0", "1", "1"], ["ack", "0", "3", "2"], ["implied", "0", "2"]):
        with pytest.raises(AssertionError):
            check_acknowledged("a", [event], found)
    for bad in ([value_of("a", 1), value_of("a", 0)], [value_of("a", 1), value_of("b", 0), value_of("a", 1)],
                [value_of("a", 1)[:-1]]):
        with pytest.raises(AssertionError):
            check_once_and_in_order([bad])


TOLD = [Acknowledged(time, 0, offset, f"p:{number}") for number, (time, offset) in enumerate([(1, 0), (2, 1), (3, 2), (4, 3), (9, 2), (10, 3)])]
KEPT = [["p:0", "p:1", "p:4", "p:5"]]
KILLS = [Kill(settled=1.5, killed=5, restarted=6)]


def test_loss_checker():
    """A majority was killed when four were acknowledged, of which two were on no drive."""
    assert find_losses(TOLD, KEPT, KILLS) == [[TOLD[2], TOLD[3]]]
    assert find_losses(TOLD[:2] + TOLD[4:], KEPT, KILLS) == [[]] and find_losses(TOLD[:2] + TOLD[4:], KEPT) == []
    for told, found, kills, words in [
        (TOLD, KEPT, [], "p:2'.* is missing, and nothing has happened"),
        (TOLD, KEPT, [Kill(3.5, 5, 6)], "p:2'.* is missing, and nothing has happened"),  # it was committed by then
        (TOLD, KEPT, [Kill(1.5, 2.5, 2.7)], "p:2'.* is missing, and nothing has happened"),  # it was acknowledged afterwards
        (TOLD, [["p:0", "p:1", "p:4"]], KILLS, "p:5'.* is missing, and nothing has happened"),
        (TOLD, [["p:0", "x:0", "p:4", "p:5"]], [], "p:1'.* is missing, and nothing has happened"),
        (TOLD, [["p:0", "x:0", "p:2", "p:3"]], KILLS, "p:2'.* is there, and .*p:1'.* is missing"),
        (TOLD, [["p:0", "p:1", "p:4", "p:5", "p:2"]], KILLS, "p:2'.* is at 4"),
    ]:
        with pytest.raises(AssertionError, match=words):
            find_losses(told, found, kills)


def test_read_checker():
    reads = [(0, offset, record) for offset, record in enumerate(KEPT[0])]
    assert check_reads(reads, KEPT) == [4] and check_reads(reads[:2], KEPT) == [2] and check_reads([], KEPT) == [0]
    for wrong in (reads[1:], reads[:1] + reads[2:], reads[:2] + reads[1:], reads[:2] + [(0, 2, "p:2")], [*reads, (0, 4, "p:6")]):
        with pytest.raises(AssertionError):
            check_reads(wrong, KEPT)


def test_plan_reader():
    text = "x\nplacement: thread=ht-io cpu=3 node=0 stages=io,write\nplacement: thread=f cpu=- node=- stages=flush\n"
    assert test_threads.plan_of(text) == [("ht-io", "3", "0", ["io", "write"]), ("f", "-", "-", ["flush"])]
    assert test_threads.cpu_set("0-2,7") == {0, 1, 2, 7}
