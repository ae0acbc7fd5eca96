"""A broker to be measured: started here, or one that is there."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HUTONG = ROOT / ".build" / "release" / "hutong"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, seconds: float = 30) -> None:
    """Until something listens there."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > end:
            sys.exit(f"nothing listens on port {port}")
        time.sleep(0.05)


@contextlib.contextmanager
def running(command: list, directory: Path, port: int):
    """A server process, until the block ends; what it says is in DIRECTORY/log."""
    with open(directory / "log", "wb") as log:
        process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd=directory)
    try:
        wait_for(port)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Broker:
    def __init__(self, settings):
        self.settings = settings
        self.stack = contextlib.ExitStack()
        self.server = settings.server

    def __enter__(self):
        if self.server is None:
            port = free_port()
            self.server = f"127.0.0.1:{port}"
            directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=self.settings.directory)))
            self.stack.enter_context(
                running([HUTONG, "serve", "--data-dir", directory / "data", "--listen", self.server], directory, port))
        return self

    def __exit__(self, *_):
        self.stack.close()

    def bench(self, kind: str, *arguments) -> dict:
        command = [HUTONG, "bench", kind, "--server", self.server, "--json", *arguments]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}: {done.stderr[-2000:]}")
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def busy_neighbour(self):
        """A process that does nothing but count, on the last core."""
        core = max(os.sched_getaffinity(0))
        process = subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        try:
            yield
        finally:
            process.kill()
            process.wait()


def has(program: str) -> bool:
    return shutil.which(program) is not None or Path("/usr/sbin", program).exists()
