"""A small Debian that starts by its own systemd, on this machine's kernel and in a network namespace: where packages are tried."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

from broker import die_with_the_tests
from images import ROOTS, children, make_bases

PATIENCE = 60
#: Where systemd keeps its control groups: both at once, on hosts with both versions of them.
HIERARCHIES = [path for path in map(pathlib.Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"))
               if (path / "cgroup.procs").exists()]
SURROUNDINGS = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_PAGER": ""}


class Machine:
    """A copy of the file tree, which is at `root`, and while it runs, its first process."""

    def __init__(self, directory, namespace):
        make_bases()
        self.directory = pathlib.Path(directory)
        self.root = self.directory / "machine"
        self.log_path = self.directory / "machine.log"
        self.namespace = namespace
        self.process = None
        self.groups = [hierarchy / f"hutong-test-{os.getpid()}" for hierarchy in HIERARCHIES]
        subprocess.run(["cp", "-a", ROOTS / "bookworm-systemd", self.root], check=True)
        shutil.copy("/etc/resolv.conf", self.root / "etc" / "resolv.conf")

    def install(self, package):
        """As an administrator would, with what it depends on; the machine is off, and has this host's network."""
        shutil.copy(package, self.root / "root" / "hutong.deb")
        return self.enter("apt-get update -qq && apt-get install -y -qq --no-install-recommends /root/hutong.deb", timeout=120)

    def enter(self, script, timeout=60):
        """What a script prints that runs in the file tree; the machine is off."""
        # The program finds its arguments in /proc.
        command = 'mount -t proc proc "$0/proc" && exec chroot "$0" sh -euc "$1"'
        return self._output(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", command, self.root, script], timeout)

    def start(self):
        for group in self.groups:
            group.mkdir(exist_ok=True)

        def join():
            die_with_the_tests()
            for group in self.groups:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--kill-signal=SIGRTMIN+4", "--console=pipe", "--directory", self.root,
                 f"--network-namespace-path=/run/netns/{self.namespace}", "--boot"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=join)
        deadline = time.monotonic() + PATIENCE
        state = ""
        while state != "running":
            assert self.process.poll() is None, f"the machine is off again: {self.log_path.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"the machine is {state or 'not up'} after {PATIENCE} s\n{self.log_path.read_text()[-2000:]}"
            time.sleep(0.1)
            with contextlib.suppress(AssertionError, ValueError):
                state = self.run("systemctl is-system-running || true").strip()
        return self

    def run(self, script, timeout=60):
        """What a script prints that runs on the machine."""
        first, = children(self.process.pid)
        return self._output(["nsenter", "--target", str(first), "--all", "--root", "--wd", "sh", "-euc", script], timeout)

    @staticmethod
    def _output(command, timeout):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, env=SURROUNDINGS)
        assert done.returncode == 0, f"{command[-1]}\nexit code {done.returncode}: {done.stdout[-4000:]}"
        return done.stdout

    def shown(self, *properties):
        """What systemd says of the service."""
        lines = self.run("systemctl show hutong " + " ".join(f"--property {name}" for name in properties)).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def journal(self):
        return self.run("journalctl --unit hutong --no-pager --output cat")

    def end(self):
        if self.process and self.process.poll() is None:
            first = children(self.process.pid)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                for pid in [*first, self.process.pid]:
                    os.kill(pid, signal.SIGKILL)
                self.process.wait(PATIENCE)
        self.process = None
        for group in self.groups:
            if group.exists():
                for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
                    folder.rmdir()
                group.rmdir()
        shutil.rmtree(self.root, ignore_errors=True)
