"""The image of docker/Dockerfile without Docker: built and run by buildah, in a chroot, from file trees that are made of Debian's packages."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

from broker import ROOT, STOP_PATIENCE, Broker
from cluster import run

ROOTS = ROOT / ".build-roots"
STORE = ["buildah", "--root", str(ROOTS / "containers"), "--runroot", str(ROOTS / "run"), "--storage-driver", "vfs"]
IMAGE = "localhost/hutong-tested"
USER = 9092
SECCOMP = ROOT / "docker" / "seccomp.json"
numbers = itertools.count()


def surroundings():
    return {**os.environ, "CONTAINERS_REGISTRIES_CONF": str(ROOT / "Tests" / "Image" / "registries.conf"), "BUILDAH_ISOLATION": "chroot"}


def buildah(*words, timeout=300):
    """What it prints."""
    done = subprocess.run(
        [*STORE, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, env=surroundings(), cwd=ROOT)
    assert done.returncode == 0, f"buildah {' '.join(map(str, words))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def make_bases(*words):
    """File trees and base images; what is there already stays."""
    done = subprocess.run([ROOT / "Tests" / "Image" / "make-bases", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def build(program, image=IMAGE):
    """The image of a program that is there."""
    make_bases()
    return _build(image, "--build-context", f"program={pathlib.Path(program).parent}")


def build_by_compiling(image):
    """The image as Dockerfile says, with this host's toolchain, and, where its git has them, its copies of the packages."""
    make_bases("--swift")
    toolchain = pathlib.Path(os.path.realpath(shutil.which("swift-build"))).parents[2]
    mounted = [] if toolchain == pathlib.Path("/") else [toolchain]
    rewritten = run("git", "config", "--get-regexp", r"^url\..*\.insteadof$", check=False).stdout.splitlines()
    folders = {line.split()[0].removeprefix("url.").removesuffix(".insteadof") for line in rewritten}
    mounted += [pathlib.Path(folder) for folder in folders if os.path.isdir(folder)]
    volumes = [word for folder in mounted for word in ("--volume", f"{folder}:{folder}:ro")]
    if folders:
        configuration = ROOTS / "gitconfig"
        configuration.write_text("".join(
            f'[url "{key.removeprefix("url.").removesuffix(".insteadof")}"]\n\tinsteadOf = {place}\n'
            for key, place in (line.split(None, 1) for line in rewritten)))
        volumes += ["--volume", f"{configuration}:/etc/gitconfig:ro"]
    return _build(image, *volumes, timeout=3600)


def sweep():
    """What earlier runs have left: images that have no name any more, and roots of tests that were killed."""
    for name in buildah("containers", "--format", "{{.ContainerName}}").split():
        found = re.fullmatch(r"hutong-test-(\d+)-\d+", name)
        if found and not os.path.exists(f"/proc/{found[1]}"):
            buildah("rm", name)
    buildah("rmi", "--prune")


def _build(image, *words, timeout=300):
    # Docker's own format: the other one knows no health check.
    buildah("bud", "--format", "docker", "--pull-never", *words, "--tag", image, "--file", "docker/Dockerfile", ".", timeout=timeout)
    sweep()
    return image


def described(image):
    """Its configuration, as `docker inspect` shows it."""
    return json.loads(buildah("inspect", "--type", "image", image))["Docker"]["config"]


def size(image):
    """Bytes of its layers."""
    layers = json.loads(json.loads(buildah("inspect", "--type", "image", image))["Manifest"])["layers"]
    return sum(layer["size"] for layer in layers)


@contextlib.contextmanager
def root_of(image, seccomp):
    """A root directory with the image's files, for containers one after the other; the system calls in it are filtered. It has a name."""
    name = f"hutong-test-{os.getpid()}-{next(numbers)}"
    buildah("from", "--pull-never", "--name", name, "--security-opt", f"seccomp={seccomp}", image)
    try:
        yield name
    finally:
        buildah("rm", name)


def children(pid):
    with contextlib.suppress(FileNotFoundError):
        return [int(word) for task in pathlib.Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()]
    return []


class Container(Broker):
    """A container of an image, in a host's network namespace, with these variables in its environment. Clients find it under `reached`.

    As far as a chroot goes: it has the image's files, user, entry point, command and volume. Its processes have a process namespace, so that
    they end with the first of it.
    """

    def __init__(self, directory, image, name, network_prefix, reached="localhost", variables=None):
        super().__init__(directory, host="0.0.0.0", port=9092)
        self.reached = reached
        self.variables = variables or {}
        self.network_prefix = list(network_prefix)
        self.name = name
        configuration = described(image)
        self.words = [*configuration["Entrypoint"], *configuration["Cmd"]]
        self.data.mkdir(parents=True, exist_ok=True)
        os.chown(self.data, USER, USER)

    @property
    def address(self):
        return self.reached, self.port

    @property
    def server(self):
        return f"{self.reached}:{self.port}"

    def within(self, *words):
        """A command that runs in the container, beside what runs in it already."""
        variables = [word for name, value in self.variables.items() for word in ("--env", f"{name}={value}")]
        # What buildah can't clean up where it is killed goes with the test's folder.
        return [*self.network_prefix, "env", f"TMPDIR={self.directory}", *STORE, "run", "--isolation", "chroot", *variables,
                "--volume", f"{self.data}:/data", self.name, "--", *map(str, words)]

    def command(self, *extra):
        return ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *self.within(*self.words), *extra]

    def run(self, *words, timeout=60):
        """A command's exit code and all that it printed."""
        done = subprocess.run(
            self.within(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
            env=surroundings())
        return done.returncode, done.stdout

    def _check_backend(self):
        """The tests look themselves."""

    @property
    def pid(self):
        """Of the program: the last of those that have started each other."""
        pid = self.process.pid
        while children(pid):
            pid, = children(pid)
        return pid

    def stop(self):
        """As Docker stops a container: the signal goes to the program itself."""
        assert self.alive(), self.tail()
        os.kill(self.pid, signal.SIGTERM)
        try:
            code = self.process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"SIGTERM did not end it within {STOP_PATIENCE} s\n{self.tail()}") from None
        finally:
            self.end()
        assert code == 0, f"SIGTERM: exit code {code}\n{self.tail()}"
