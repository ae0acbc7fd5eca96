"""The durable answer is honest: O_DIRECT on the journal, and no answer before the sync that covers it.

strace sees the opens, but not what io_uring writes; so the broker itself can write down when it submitted, when a sync
was done, and when an answer left (HUTONG_IO_TRACE). The order of the lines is the order of the events.
"""

import re
import shutil
import subprocess

import pytest

from batches import batch
from broker import VARIANTS
from messages import PRODUCE
from rawclient import Connection, produce_topics

PARTITIONS = 8
DURABLE = (2, 4)
LEAST_ANSWERS = 100
SEGMENT = 8 << 20
EVENT = re.compile(r"^(\d+) (write-submit|sync-done|answer)((?: \w+=\d+)+)$")


def parse(text):
    """[(kind, fields)] in file order; a line that nobody understands is an error, but for a cut-off last one."""
    events = []
    lines = text.split("\n")
    for number, line in enumerate(lines[:-1], 1):
        match = EVENT.match(line)
        assert match, f"line {number} of the io trace: {line!r}"
        fields = dict(pair.split("=") for pair in match.group(3).split())
        events.append((match.group(2), {name: int(value) for name, value in fields.items()}))
    return events


def check_honest(events):
    """Walks the trace as it happened; gives how many durable answers there were for each quality."""
    flushed, submitted = {}, {}
    answers = dict.fromkeys(DURABLE, 0)
    for number, (kind, fields) in enumerate(events, 1):
        group = fields["group"]
        if kind == "write-submit":
            assert fields["from"] <= fields["to"], f"event {number}: {fields}"
            submitted[group] = max(submitted.get(group, 0), fields["to"])
        elif kind == "sync-done":
            assert fields["flushed"] <= submitted.get(group, 0), f"event {number}: synced what was never written: {fields}"
            assert fields["flushed"] >= flushed.get(group, 0), f"event {number}: flushed went back: {fields}"
            flushed[group] = fields["flushed"]
        elif fields["qos"] in DURABLE:
            answers[fields["qos"]] += 1
            assert fields["position"] <= flushed.get(group, -1), (
                f"event {number}: an answer of quality {fields['qos']} for position {fields['position']} left when "
                f"group {group} was flushed to {flushed.get(group)}")
    return answers


def produce_pipelined(broker, topic, requests, acks, window=32):
    with Connection(broker.address) as connection:
        connection.create(topic, PARTITIONS)
        for index in range(requests):
            connection.send(PRODUCE, 9, acks=acks[index % len(acks)], topics=produce_topics(topic, {
                (index + step) % PARTITIONS: batch([b"%d" % index * 20]) for step in range(1 + index % 3)}))
            if len(connection.waiting) >= window:
                check_answer(connection)
        while connection.waiting:
            check_answer(connection)


def check_answer(connection):
    for part in connection.receive()["topics"][0]["partitions"]:
        assert part["error"] == 0, part


@pytest.mark.parametrize("method", ["linked", "dsync", "fdatasync"])
def test_no_answer_before_its_sync(make_broker, topic, tmp_path, method):
    """With each way to flush, and acks=1 and -1 mixed; a restart in between, whose positions go on."""
    trace = tmp_path / "io.trace"
    broker = make_broker({"journal.flush.method": method, "io.trace": trace})
    assert broker.ready["flush"] == method, broker.ready_line
    produce_pipelined(broker, topic, 600, (1, -1, -1, 1, 1))
    broker.stop()
    answers = check_honest(parse(trace.read_text()))
    assert all(count >= LEAST_ANSWERS for count in answers.values()), answers


def test_no_answer_before_its_sync_layouts(broker_variant_traced, topic):
    broker, trace = broker_variant_traced
    produce_pipelined(broker, topic, 600, (1, -1))
    broker.stop()
    events = parse(trace.read_text())
    groups = {fields["group"] for kind, fields in events if kind == "answer"}
    assert len(groups) == int(broker.settings.get("partition.groups", 1)), groups
    assert all(count >= LEAST_ANSWERS for count in check_honest(events).values())


@pytest.fixture(params=["single", "group", "two+2groups"])
def broker_variant_traced(request, make_broker, tmp_path):
    trace = tmp_path / "io.trace"
    return make_broker({**VARIANTS[request.param], "io.trace": trace}), trace


def test_weaker_qualities_are_weaker(make_broker, topic, tmp_path):
    """qos.leader=received and qos.all=replicated: answers of quality 1 and 3 appear, and none claims to be durable."""
    trace = tmp_path / "io.trace"
    broker = make_broker({"qos.leader": "received", "qos.all": "replicated", "io.trace": trace})
    assert "received" in broker.ready_line and "replicated" in broker.ready_line, broker.ready_line
    produce_pipelined(broker, topic, 300, (1, -1))
    broker.stop()
    events = parse(trace.read_text())
    qualities = [fields["qos"] for kind, fields in events if kind == "answer"]
    assert set(qualities) == {1, 3} and all(qualities.count(one) >= LEAST_ANSWERS for one in (1, 3)), set(qualities)


# strace


OPEN = re.compile(r"openat\((.*), (O_[A-Z_|0-9]+)(?:, \d+)?\)\s*= \d+<([^>]*)>")


def opens_for_writing(text, directory):
    """{path: [flags of each open that could write]} below a directory. strace -y tells the path behind each descriptor."""
    found = {}
    for match in OPEN.finditer(text):
        flags, path = match.group(2).split("|"), match.group(3)
        if path.startswith(str(directory)) and {"O_WRONLY", "O_RDWR"} & set(flags):
            found.setdefault(path, []).append(flags)
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_journal_is_opened_direct(make_broker, topic, tmp_path):
    """The segments are the large files of the data directory: whoever writes to one does it past the page cache."""
    output = tmp_path / "strace.out"
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip(f"strace is not allowed here: {probe.stderr.decode(errors='replace').strip()}")
    # -D: the tracer is the grandchild, so that the process that is started, stopped and killed is the broker.
    broker = make_broker({"journal.segment.bytes": SEGMENT}, prefix=[
        "strace", "-D", "-f", "-y", "-ttt", "-o", str(output), "-e",
        "trace=openat,pwritev2,pwrite64,fdatasync,fsync,sendto,sendmsg,write,io_uring_enter,epoll_wait"])
    produce_pipelined(broker, topic, 200, (1, -1))
    broker.stop()
    text = output.read_text(errors="replace")
    opened = opens_for_writing(text, broker.data)
    segments = [path for path in broker.data.rglob("*") if path.is_file() and path.stat().st_size >= SEGMENT // 2]
    assert segments, f"no segments of {SEGMENT} bytes below {broker.data}"
    written = [path for path in segments if str(path) in opened]
    assert written, f"strace saw none of the segments opened: {sorted(opened)}"
    for path in written:
        for flags in opened[str(path)]:
            assert "O_DIRECT" in flags, f"{path.name} was opened for writing with {'|'.join(flags)}"
    if broker.ready.get("io") == "io_uring":
        assert "io_uring_enter(" in text, "nothing went through the ring"
    else:
        assert text.count("pwrite64(") > 0 and text.count("fdatasync(") > 0 and "io_uring_enter(" not in text, (
            "the journal was not written by calls that strace sees")
