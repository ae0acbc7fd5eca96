"""hutong doctor and tune: on this host, and where it is spoiled for real (limits, a filter, memory instead of a drive, one core)."""

import json
import os
import resource
import subprocess

import pytest

from broker import REFUSE_IO_URING, binary, environment, run


def examine(*arguments, prefix=(), settings=None, before=None, code=0):
    done = subprocess.run(
        [*prefix, *binary(), "doctor", "--json", *map(str, arguments)], capture_output=True, text=True, timeout=60, env=environment(settings or {}), preexec_fn=before)
    assert done.returncode == code, done.stdout + done.stderr
    report = json.loads(done.stdout)
    return {finding["condition"]: finding for finding in report["findings"]}


def test_this_host(tmp_path):
    found = examine("--data-dir", tmp_path / "data")
    for condition in ["kernel", "io_uring", "io_uring features", "seccomp", "memlock", "open files", "cores", "NUMA", "placement", "governor", "memory", "swap", "data directory",
                      "file system", "free space", "O_DIRECT", "durability", "drive", "drive write cache", "clock source"]:
        assert condition in found, condition
        assert found[condition]["found"] and found[condition]["wanted"]
    assert found["io_uring"]["severity"] == "ok" and found["O_DIRECT"]["severity"] == "ok"
    assert "writes of 4 KiB" in found["durability"]["found"]
    assert list(tmp_path.iterdir()) == [], "nothing is left there"
    text = run("doctor", "--data-dir", tmp_path, "--no-measure")[1].decode()
    assert "CONDITION" in text and "durability" not in text


def test_little_memlock(tmp_path):
    def spoil():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
    finding = examine("--data-dir", tmp_path, "--no-measure", before=spoil, settings={"memory.lock": "true"}, code=1)["memlock"]
    assert finding["severity"] == "error" and finding["found"] == "64.0 KiB" and "ulimit -l" in finding["remedy"]
    assert examine("--data-dir", tmp_path, "--no-measure", before=spoil)["memlock"]["severity"] == "ok", "nothing is locked by default"


def test_few_open_files(tmp_path):
    def spoil():
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    finding = examine("--data-dir", tmp_path, "--no-measure", before=spoil)["open files"]
    assert finding["severity"] == "warning" and finding["found"] == "1024"


def test_io_uring_is_refused(tmp_path):
    found = examine("--data-dir", tmp_path, prefix=REFUSE_IO_URING)
    assert found["io_uring"]["severity"] == "warning" and "epoll" in found["io_uring"]["remedy"]
    assert found["seccomp"]["severity"] == "warning" and found["O_DIRECT"]["severity"] == "ok"
    assert "writes of 4 KiB" in found["durability"]["found"], "measured all the same"
    examine("--data-dir", tmp_path, "--no-measure", "--strict", prefix=REFUSE_IO_URING, code=1)


def test_memory_instead_of_a_drive():
    found = examine("--data-dir", "/dev/shm/hutong-doctor", code=1)
    assert found["file system"]["severity"] == "error" and "tmpfs" in found["file system"]["found"]


def test_one_core(tmp_path):
    found = examine("--data-dir", tmp_path, "--no-measure", before=lambda: os.sched_setaffinity(0, {0}))
    assert found["cores"]["severity"] == "warning" and found["cores"]["found"] == "1"
    assert "layout single" in found["placement"]["found"]


def test_a_directory_that_is_not_ours(tmp_path):
    # As nobody, who may not write there.
    finding = examine("--data-dir", "/root/x", "--no-measure", prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], code=1)["data directory"]
    assert finding["severity"] == "error"


def test_made_up_hosts(tmp_path):
    facts = json.loads(run("doctor", "--facts-only", "--no-measure", "--data-dir", tmp_path)[1])
    facts["kernel"] = "4.19.0"
    facts["governor"] = "powersave"
    facts["swapBytes"] = 1 << 30
    facts["data"]["durability"] = {"writes": 1_000_000, "medianMicroseconds": 1, "p99Microseconds": 2}
    path = tmp_path / "host.json"
    path.write_text(json.dumps(facts))
    found = examine("--facts", path, code=1)
    assert found["kernel"]["severity"] == "warning" and found["governor"]["severity"] == "warning" and found["durability"]["severity"] == "error"
    for text in ["", "{}", "[1]", "{\"kernel\": 5}"]:
        path.write_text(text)
        code, _, error = run("doctor", "--facts", path)
        assert code != 0 and b"does not describe a host" in error


def test_tune_says_what_it_would_do():
    before = {path: open(path).read() for path in ["/proc/sys/vm/swappiness", "/proc/sys/net/core/somaxconn", "/proc/sys/net/ipv4/tcp_max_syn_backlog"]}
    code, out, error = run("tune", "--dry-run", "--json")
    assert code == 0, error
    report = json.loads(out)
    assert report["isDone"] is False
    for step in report["steps"]:
        assert step["file"].startswith(("/proc/sys/", "/sys/")) and step["before"] != step["after"] and step["why"]
    assert before == {path: open(path).read() for path in before}, "nothing was changed"
    assert run("tune", "--dry-run")[0] == 0


@pytest.mark.parametrize("text, problem", [("num.partitions: 0", "num.partitions"), ("num.partition: 3", "Did you mean num.partitions"), (": [", "not YAML")])
def test_settings_are_checked(tmp_path, text, problem):
    path = tmp_path / "hutong.yaml"
    path.write_text(text)
    code, _, error = run("config", "check", path)
    assert code == 1 and problem in error.decode()


def test_the_sample_is_good(tmp_path):
    path = tmp_path / "hutong.yaml"
    path.write_bytes(run("config", "sample", "--set", "data.dir=/var/lib/hutong")[1])
    code, out, error = run("config", "check", "--show", path)
    assert code == 0 and out == b"data.dir: /var/lib/hutong\n" and b"1 of" in error


def test_the_manual_and_completions():
    page = run("generate", "man")[1]
    checked = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", "-"], input=page, capture_output=True)
    assert checked.returncode == 0 and checked.stderr == b"", checked.stderr
    for command in [b"hutong serve", b"hutong top", b"hutong group seek", b"hutong doctor"]:
        assert command in page
    for shell in ["bash", "zsh", "fish"]:
        code, out, _ = run("--generate-completion-script", shell)
        assert code == 0 and b"doctor" in out
    assert subprocess.run(["bash", "-n"], input=run("--generate-completion-script", "bash")[1]).returncode == 0
