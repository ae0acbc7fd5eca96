"""Starts, stops and kills the broker under test. Whatever is started here is ended here, by its process id."""

import ctypes
import errno
import os
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_PATIENCE = 60.0  # seconds; segments are zeroed at the first start, and a busy host does it slowly
STOP_PATIENCE = 30.0
LIBC = ctypes.CDLL(None, use_errno=True)

# The layouts that every broker test can be asked to run in: HUTONG_TEST_VARIANTS names some of them.
VARIANTS = {
    "default": {},
    "single": {"threads.layout": "single"},
    "two": {"threads.layout": "two"},
    "group": {"threads.layout": "group"},
    "two+2groups": {"threads.layout": "two", "partition.groups": "2"},
    "group+2groups": {"threads.layout": "group", "partition.groups": "2"},
}

# The broker's ways to the kernel: as this host allows, or where io_uring is refused. HUTONG_TEST_IO names some of them.
BACKENDS = ["io_uring", "epoll"]
REFUSE_IO_URING = [sys.executable, str(pathlib.Path(__file__).resolve().parent / "refuse_io_uring.py")]


def binary():
    """The program under test. HUTONG_BIN may hold arguments too, so that a stand-in can be run by an interpreter."""
    program, *arguments = os.environ.get("HUTONG_BIN", str(ROOT / ".build/release/hutong")).split()
    return [shutil.which(program) and os.path.abspath(shutil.which(program)) or program, *arguments]


def environment(settings):
    """The process's environment, without other HUTONG_ settings, plus these: num.partitions is HUTONG_NUM_PARTITIONS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUTONG_")}
    for name, value in settings.items():
        kept["HUTONG_" + name.replace(".", "_").upper()] = str(value)
    return kept


def io_uring_allowed():
    """Whether this kernel lets this process make a ring: only where it does not may the broker do without."""
    parameters = ctypes.create_string_buffer(256)
    ring = LIBC.syscall(425, 8, parameters)  # io_uring_setup, the same number on x86-64 and arm64
    if ring >= 0:
        os.close(ring)
        return True
    return ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM)


def die_with_the_tests():
    """Run in the child: should the tests themselves be killed, the kernel ends what they started (PR_SET_PDEATHSIG)."""
    LIBC.prctl(1, signal.SIGKILL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """One data directory and, while it runs, the process that serves it. A restart keeps the port."""

    def __init__(self, directory, settings=None, port=0, prefix=(), io="io_uring", host="127.0.0.1"):
        self.directory = pathlib.Path(directory)
        self.data = self.directory / "data"
        self.log_path = self.directory / "broker.log"
        # Many tests write records of long ago.
        self.settings = {"num.partitions": 12, "log.retention.ms": -1, "http.listen": "none", **(settings or {})}
        self.port = port
        self.host = host
        self.prefix = (REFUSE_IO_URING if io == "epoll" else []) + list(prefix)
        self.io = io
        self.process = None
        self.warnings = 0
        self.ready = {}
        self.ready_line = ""

    @property
    def address(self):
        return self.host, self.port

    @property
    def server(self):
        return f"{self.host}:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def command(self, *extra):
        return [*self.prefix, *binary(), "serve", "--data-dir", str(self.data), "--listen", self.server, *extra]

    def start(self, *extra):
        """Returns once the broker said that it is ready, or fails with its log."""
        assert self.process is None, "it runs already"
        self.data.mkdir(parents=True, exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(*extra), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=environment(self.settings), cwd=self.directory,
                preexec_fn=die_with_the_tests)
        lines = queue.Queue()
        threading.Thread(target=self._drain, args=(self.process.stdout, lines), daemon=True).start()
        try:
            self._await_ready(lines)
        except BaseException:
            self.end()
            raise
        return self

    @staticmethod
    def _drain(stream, lines):
        """Keeps reading standard output, so that the broker never blocks on it."""
        with stream:
            for line in stream:
                lines.put(line.decode(errors="replace"))
        lines.put(None)

    def _await_ready(self, lines):
        deadline = time.monotonic() + START_PATIENCE
        while True:
            try:
                line = lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not ready after {START_PATIENCE} s\n{self.tail()}") from None
            if line is None:
                code = self.process.wait(STOP_PATIENCE)
                raise AssertionError(f"the broker ended with {code} before it was ready\n{self.tail()}")
            if line.startswith("hutong ready"):
                break
        self.ready_line = line.strip()
        self.ready = dict(word.split("=", 1) for word in line.split() if "=" in word)
        host, _, port = self.ready["listen"].rpartition(":")
        assert host == self.host and self.port in (0, int(port)), line
        self.port = int(port)
        self._check_backend()

    def _check_backend(self):
        """io_uring where it is allowed, and where it is refused epoll, with a warning that nobody overlooks."""
        warnings = self.log().count("RUNNING ON EPOLL")
        chosen = self.settings.get("io.backend", "auto")
        if chosen == "auto":
            chosen = "epoll" if self.io == "epoll" or not io_uring_allowed() else "io_uring"
            assert (warnings > self.warnings) == (chosen == "epoll"), self.tail()
        self.warnings = warnings
        assert self.ready.get("io") == chosen, self.ready_line

    def tail(self, lines=40):
        return "--- the broker's log, its end ---\n" + "\n".join(self.log().splitlines()[-lines:])

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """A clean stop: SIGTERM drains and the exit code is 0."""
        assert self.alive(), f"it ended by itself with {self.process and self.process.returncode}\n{self.tail()}"
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"SIGTERM did not end it within {STOP_PATIENCE} s\n{self.tail()}") from None
        self.process = None
        assert code == 0, f"SIGTERM: exit code {code}\n{self.tail()}"

    def kill(self):
        """The crash: SIGKILL, no last words. That it was alive until then is part of the test."""
        assert self.alive(), f"it ended by itself with {self.process and self.process.returncode}\n{self.tail()}"
        self.end()

    def end(self):
        """For cleaning up: whatever state it is in, afterwards it is gone."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait(STOP_PATIENCE)
            self.process = None

    def restart(self, crash=False):
        self.kill() if crash else self.stop()
        return self.start()


def used(directory, size=lambda stat: stat.st_size):
    """Bytes of the directory's files, some of which may vanish meanwhile; by `size`, how much of each counts."""
    total = 0
    for path in pathlib.Path(directory).rglob("*"):
        try:
            total += size(path.stat()) if path.is_file() else 0
        except FileNotFoundError:
            pass
    return total


def run(*arguments, settings=None, timeout=60, stdin=None, prefix=(), cwd=None):
    """One `hutong ...` command to its end: (exit code, standard output, standard error), the outputs as bytes."""
    done = subprocess.run(
        [*prefix, *binary(), *map(str, arguments)], input=b"" if stdin is None else stdin, capture_output=True,
        timeout=timeout, env=environment(settings or {}), cwd=cwd)
    return done.returncode, done.stdout, done.stderr
