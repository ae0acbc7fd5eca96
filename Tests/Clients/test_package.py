"""The Debian package: what is in it, and its life on a small Debian with a systemd of its own, from installing to purging."""

import gzip
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from broker import ROOT, binary, io_uring_allowed
from cluster import Network, run
from images import children
from machines import Machine

LIBRARIES = {"libc6", "libgcc-s1", "liblz4-1", "libnuma1", "libsnappy1v5", "libstdc++6", "liburing2", "libzstd1", "zlib1g"}
DATA = "var/lib/hutong"


def make(program, folder, *words):
    """scripts/package to its end: exit code and all it prints, standard output first."""
    done = subprocess.run(
        [ROOT / "scripts" / "package", "--program", program, "--output", folder, "--fast", *words], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def package(static_program, tmp_path_factory):
    code, said = make(static_program, tmp_path_factory.mktemp("package"))
    assert code == 0, said
    return pathlib.Path(said.strip())


@pytest.fixture(scope="module")
def network():
    made = Network(["machine"])
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def machine(package, network, tmp_path_factory):
    """One for all tests of this file: each goes on where the one before it has ended."""
    made = Machine(tmp_path_factory.mktemp("machine"), network.namespace("machine"))
    try:
        made.install(package)
        yield made.start()
    finally:
        made.end()


def kcat(network, *words, text=None):
    return subprocess.run(
        [*network.within("machine"), "kcat", "-b", "localhost:9092", *words], check=True, input=text, capture_output=True, text=True, timeout=20).stdout


def main_pid(machine):
    """Of the service, as this host counts."""
    inside = machine.shown("MainPID")["MainPID"]
    first, = children(machine.process.pid)
    for pid in children(first):
        if re.search(rf"^NSpid:.*\t{inside}$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M):
            return pid
    raise AssertionError(f"the service does not run\n{machine.journal()}")


def until(happens, patience=30):
    deadline = time.monotonic() + patience
    while not (result := happens()):
        assert time.monotonic() < deadline, f"not within {patience} s"
        time.sleep(0.1)
    return result


def test_contents(package, tmp_path):
    """What is where, what it depends on, and that the documents are such."""
    fields = dict(line.split(": ", 1) for line in run("dpkg-deb", "-f", package).stdout.splitlines() if re.match(r"[A-Z]\S+: ", line))
    depends = {entry.split()[0] for entry in fields["Depends"].split(", ")}
    assert depends == LIBRARIES | {"passwd"}, fields["Depends"]
    assert fields["Version"] == run(*binary(), "--version").stdout.split()[1]
    run("dpkg-deb", "-x", package, tmp_path)
    run("dpkg-deb", "-e", package, tmp_path / "DEBIAN")
    assert (tmp_path / "DEBIAN/conffiles").read_text() == "/etc/hutong/hutong.yaml\n"
    subprocess.run(["md5sum", "--check", "--quiet", "DEBIAN/md5sums"], cwd=tmp_path, check=True)

    settings = (tmp_path / "etc/hutong/hutong.yaml").read_text().splitlines()
    assert [line for line in settings if line and not line.startswith("#")] == ["data.dir: /var/lib/hutong"]
    page = tmp_path / "usr/share/man/man1/hutong.1.gz"
    shown = subprocess.run(["man", "--warnings", "--local-file", page], capture_output=True, text=True, env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
    assert shown.returncode == 0 and not shown.stderr, shown.stderr
    for words in ("NAME", "SYNOPSIS", "hutong serve"):
        assert words in shown.stdout, f"{words} is not in the man page"
    run("bash", "-n", tmp_path / "usr/share/bash-completion/completions/hutong")
    for name, words in {
            "zsh/vendor-completions/_hutong": "#compdef hutong", "fish/vendor_completions.d/hutong.fish": "complete -c 'hutong'",
            "doc/hutong/copyright": "License:"}.items():
        assert words in (tmp_path / "usr/share" / name).read_text(), name
    assert fields["Version"] in gzip.open(tmp_path / "usr/share/doc/hutong/changelog.gz", "rt").read()


def test_the_same_again(package, static_program, tmp_path):
    code, said = make(static_program, tmp_path)
    assert code == 0 and pathlib.Path(said.strip()).read_bytes() == package.read_bytes()


def test_programs_that_are_none(static_program, tmp_path):
    """What could not run on a Debian without Swift is not packed."""
    outside = tmp_path / "hutong"
    # Linked, but for nothing of it, with a library of Swift's.
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    run("gcc", "-shared", "-o", tmp_path / "libswiftCore.so", "-Wl,-soname,libswiftCore.so", "-x", "c", os.devnull)
    run("gcc", "-o", outside, tmp_path / "main.c", "-Wl,--no-as-needed", f"-L{tmp_path}", "-lswiftCore")
    code, said = make(outside, tmp_path)
    assert code == 1 and "scripts/link-static" in said, said
    code, said = make(shutil.which("true"), tmp_path)
    assert code == 1 and "not hutong and a version" in said, said


def test_installed(machine):
    """On a Debian that has nothing else: every library is there, the user is made, nothing has started."""
    assert machine.run("hutong --version") == run(*binary(), "--version").stdout
    assert "not found" not in machine.run("ldd /usr/bin/hutong")
    name, _, _, _, _, home, shell = machine.run("getent passwd hutong").strip().split(":")
    assert (home, shell) == ("/var/lib/hutong", "/usr/sbin/nologin")
    assert machine.run("stat --format '%U %G %a' /var/lib/hutong") == "hutong hutong 750\n"
    assert machine.shown("ActiveState", "UnitFileState") == {"ActiveState": "inactive", "UnitFileState": "disabled"}


def test_unit(machine):
    """It is a unit without faults, leaves little to whoever breaks in, and all system calls that the broker needs."""
    assert machine.run("systemd-analyze verify --man=no hutong.service") == ""
    exposure = float(re.search(r"exposure level for hutong.service: ([0-9.]+)", machine.run("systemd-analyze security hutong"))[1])
    assert exposure < 2, exposure
    calls = machine.run("systemd-analyze syscall-filter @aio @resources @memlock @sync").split()
    for call in ("io_uring_setup", "io_uring_enter", "io_uring_register", "sched_setattr", "sched_setaffinity", "mbind", "mlock", "fdatasync"):
        assert call in calls, call


def test_service(machine, network):
    """It has started when it can be used; it is nobody but its user, on io_uring, and may lock all memory that it needs."""
    machine.run("systemctl enable --now hutong")
    kcat(network, "-P", "-t", "greetings", text="hello\nworld\n")
    assert kcat(network, "-C", "-t", "greetings", "-o", "beginning", "-e") == "hello\nworld\n"
    machine.run("hutong health")
    status = pathlib.Path(f"/proc/{main_pid(machine)}/status").read_text()
    user = machine.run("id --user hutong").strip()
    assert "Uid:\t" + "\t".join([user] * 4) in status and "CapEff:\t0000000000000000" in status and "Seccomp:\t2" in status, status
    # What is asked for: a container's systemd may not be able to raise limits.
    assert machine.shown("LimitMEMLOCK", "LimitNOFILE") == {"LimitMEMLOCK": "infinity", "LimitNOFILE": "1048576"}
    said = machine.journal()
    assert "data=/var/lib/hutong" in said and f"io={'io_uring' if io_uring_allowed() else 'epoll'}" in said, said


def test_an_end_is_not_the_end(machine, network):
    """Who kills it finds it again, with the data."""
    before = main_pid(machine)
    os.kill(before, signal.SIGKILL)
    until(lambda: machine.shown("NRestarts", "ActiveState") == {"NRestarts": "1", "ActiveState": "active"})
    assert main_pid(machine) != before
    assert kcat(network, "-C", "-t", "greetings", "-o", "beginning", "-e") == "hello\nworld\n"


def test_watchdog(machine, network):
    """One that hangs is ended and started again."""
    machine.run("mkdir -p /run/systemd/system/hutong.service.d; printf '[Service]\\nWatchdogSec=2\\nWatchdogSignal=SIGKILL\\n' "
                "> /run/systemd/system/hutong.service.d/test.conf; systemctl daemon-reload; systemctl restart hutong")
    before = main_pid(machine)
    # It lives for longer than the watchdog waits, but not because nobody looks.
    time.sleep(5)
    assert main_pid(machine) == before, machine.journal()
    os.kill(before, signal.SIGSTOP)
    until(lambda: machine.shown("NRestarts", "ActiveState") == {"NRestarts": "1", "ActiveState": "active"})
    assert main_pid(machine) != before
    assert kcat(network, "-C", "-t", "greetings", "-o", "beginning", "-e") == "hello\nworld\n"
    machine.run("rm -r /run/systemd/system/hutong.service.d; systemctl daemon-reload; systemctl restart hutong")


def test_update(machine, network):
    """The running broker is replaced; what the administrator has written stays."""
    machine.run("echo 'num.partitions: 5' >> /etc/hutong/hutong.yaml")
    before = main_pid(machine)
    machine.run("dpkg --install /root/hutong.deb")
    assert main_pid(machine) != before
    machine.run("hutong topic create wide")
    assert machine.run("hutong topic list | grep wide").split()[:2] == ["wide", "5"]
    assert kcat(network, "-C", "-t", "greetings", "-o", "beginning", "-e") == "hello\nworld\n"


def test_stop(machine):
    """In order: systemd sees no failure, and is told of the end before it."""
    machine.run("systemctl stop hutong")
    assert machine.shown("Result", "ActiveState", "ExecMainStatus") == {"Result": "success", "ActiveState": "inactive", "ExecMainStatus": "0"}
    machine.run("systemctl start hutong")


def test_remove_and_purge(machine):
    """Removed, it is stopped and its data and configuration stay; purged, they are gone. The user stays, for files may be its own still."""
    machine.run("dpkg --remove hutong")
    assert machine.run("ls -l /proc/*/exe 2>/dev/null | grep hutong || true") == "" and not (machine.root / "usr/bin/hutong").exists()
    assert not (machine.root / "etc/systemd/system/multi-user.target.wants/hutong.service").is_symlink()
    assert (machine.root / DATA / "group-0").is_dir() and "num.partitions: 5" in (machine.root / "etc/hutong/hutong.yaml").read_text()
    machine.run("dpkg --purge hutong")
    assert not (machine.root / DATA).exists() and not (machine.root / "etc/hutong").exists()
    assert machine.run("dpkg --status hutong 2>&1 | grep Status || true") == ""
    assert [str(path) for path in machine.root.rglob("*hutong*")] == [str(machine.root / "root/hutong.deb")]
    machine.run("getent passwd hutong")
