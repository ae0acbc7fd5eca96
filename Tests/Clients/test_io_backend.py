"""How a broker chooses its way to the kernel, and what it says about it. (That everything works on either is shown by the
tests that run on each: conftest.py.)"""

from batches import batch, split
from broker import REFUSE_IO_URING, run
from rawclient import Connection


def test_auto_explains_itself(make_broker):
    """Once a start: what refuses io_uring, what that costs, and how to allow it."""
    broker = make_broker(io="epoll")
    broker.restart()
    lines = [line for line in broker.log().splitlines() if "RUNNING ON EPOLL" in line]
    assert len(lines) == 2 and all(" warning " in line for line in lines), lines
    for words in ("SLOWER", "Operation not permitted", "seccomp", "io_uring_setup, io_uring_enter and io_uring_register"):
        assert words in lines[0], f"{words!r} is not in {lines[0]}"


def test_epoll_can_be_wished_for(make_broker, topic):
    """Without a warning. What one backend has written, the other reads and goes on with."""
    broker = make_broker()
    with Connection(broker.address) as connection:
        connection.create(topic)
    values = []
    for number, backend in enumerate(["auto", "epoll", "auto"]):
        broker.settings["io.backend"] = backend
        warnings = broker.log().count("RUNNING ON EPOLL")
        broker.restart()
        if backend == "epoll":
            assert broker.ready["io"] == "epoll" and broker.log().count("RUNNING ON EPOLL") == warnings
        values.append(b"by-%d" % number)
        with Connection(broker.address) as connection:
            assert connection.produce(topic, batch([values[-1]]))["base_offset"] == number
            found = [value for one in split(connection.fetch(topic, 0)["records"]) for _, _, _, value, _ in one.records()]
        assert found == values


def test_io_uring_alone_is_refused(tmp_path):
    """Who wants io_uring and nothing else learns why there is none."""
    code, _, errors = run(
        "serve", "--data-dir", tmp_path / "data", "--listen", "127.0.0.1:0", settings={"io.backend": "io_uring"},
        prefix=REFUSE_IO_URING)
    text = errors.decode()
    assert code == 1 and "Fatal" not in text, text
    for words in ("io_uring is refused here: Operation not permitted", "seccomp", "io.backend=auto"):
        assert words in text, text
