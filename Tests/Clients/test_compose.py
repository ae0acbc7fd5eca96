"""docker/'s compose files: their brokers, with their settings, but as processes in network namespaces instead of containers."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from broker import ROOT, Broker, binary, run
from cluster import Cluster

DOCKER = ROOT / "docker"
ONE, THREE = DOCKER / "compose.yaml", DOCKER / "compose-cluster.yaml"


def known_settings():
    """By the name of the environment variable."""
    described = subprocess.run([*binary(), "config", "describe"], check=True, capture_output=True, text=True).stdout
    rows = [line.split("|")[1] for line in described.splitlines() if line.startswith("| `")]
    keys = [key for row in rows for key in re.findall(r"`([a-z.]+)`", row)]
    assert len(keys) > 30
    return {"HUTONG_" + key.upper().replace(".", "_"): key for key in keys}


def brokers_in(file):
    composed = yaml.safe_load(file.read_text())["services"]
    return {name: service for name, service in composed.items() if name.startswith("hutong")}


def settings_in(service):
    """What a broker of this service goes by: the image's own settings, overridden by its environment."""
    known = known_settings()
    image = yaml.safe_load((DOCKER / "hutong.yaml").read_text())
    return {**image, **{known[variable]: value for variable, value in service["environment"].items()}}


def ports_of(service):
    """By the port in the container, the host's."""
    found = {}
    for port in service["ports"]:
        host, outside, inside = port.split(":")
        # Nobody asks clients who they are.
        assert host == "127.0.0.1", port
        found[inside] = outside
    return found


def test_the_image_sets_what_there_is():
    code, said, complaints = run("config", "check", DOCKER / "hutong.yaml")
    assert code == 0, said + complaints


@pytest.mark.parametrize("file", [ONE, THREE], ids=lambda file: file.stem)
def test_every_service_has_what_it_needs(file):
    composed = yaml.safe_load(file.read_text())
    known = known_settings()
    outside = []
    for name, service in brokers_in(file).items():
        unknown = set(service["environment"]) - set(known)
        assert not unknown, f"{name}: {unknown}"
        settings = settings_in(service)
        host, port = settings["advertise"].split(":")
        # What clients of the host are told is what is published, and what the broker listens on.
        published = ports_of(service)
        assert host == "localhost" and published[port] == port and settings["listen"] == f"0.0.0.0:{port}", settings
        assert set(published) == {port, settings["http.listen"].split(":")[1]}
        outside += published.values()
        (volume,) = service["volumes"]
        assert volume.split(":") == [name, settings["data.dir"]]
        assert service["image"] == "hutong" and (file.parent / service["build"]["context"] / service["build"]["dockerfile"]).exists()
        (profile,) = service["security_opt"]
        assert json.loads((file.parent / profile.removeprefix("seccomp=")).read_text())["syscalls"]
    assert len(set(outside)) == len(outside), outside
    assert set(composed["volumes"]) == {volume.split(":")[0] for service in composed["services"].values() for volume in service["volumes"]}


def test_three_brokers_find_each_other():
    composed = yaml.safe_load(THREE.read_text())["services"]
    services = brokers_in(THREE)
    for name, service in services.items():
        assert settings_in(service)["peer.advertise"].split(":")[0] == name and service["depends_on"] == ["etcd"]
        assert settings_in(service)["etcd.endpoints"] == "http://etcd:2379"
    assert len({settings_in(service)["broker.id"] for service in services.values()}) == len(services) == 3
    assert "--advertise-client-urls=http://etcd:2379" in composed["etcd"]["command"]


@pytest.mark.parametrize("file", [ONE, THREE], ids=lambda file: file.stem)
def test_compose_takes_it(file):
    """Compose itself, which needs no Docker to check a file. Its first version looks for profiles where it runs."""
    commands = [["docker", "compose"], ["docker-compose"]]
    found = [command for command in commands if shutil.which(command[0]) and not subprocess.run([*command, "version"], capture_output=True).returncode]
    assert found, "neither docker compose nor docker-compose is installed: scripts/setup --tests"
    done = subprocess.run([*found[0], "--file", file, "config", "--quiet"], cwd=DOCKER, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_one_broker_with_these_settings_serves(tmp_path):
    (service,) = brokers_in(ONE).values()
    settings = settings_in(service)
    _, port = settings.pop("listen").split(":")
    settings.pop("data.dir")
    cluster = Cluster(tmp_path, count=1)
    try:
        host = cluster.network.addresses["b1"]
        settings = {key: value.replace("localhost", host).replace("0.0.0.0", host) for key, value in settings.items()}
        cluster.brokers[1] = broker = Broker(tmp_path / "b1", settings, port=int(port), host=host, prefix=cluster.network.within("b1"))
        broker.start()
        within = cluster.network.within("client")
        subprocess.run([*within, *binary(), "produce", "greetings", "--server", broker.server], check=True, text=True, input="hello\n", timeout=60)
        seen = subprocess.run(
            [*within, *binary(), "consume", "greetings", "--server", broker.server, "-o", "start", "-e"], check=True, capture_output=True, text=True,
            timeout=60).stdout
        assert seen == "hello\n"
    finally:
        cluster.end()


def test_three_brokers_with_these_settings_serve(tmp_path):
    services = brokers_in(THREE)
    cluster = Cluster(tmp_path)
    try:
        names = {name: cluster.network.addresses[f"b{number}"] for number, name in enumerate(sorted(services), 1)}
        names["etcd"] = cluster.network.addresses["etcd"]
        for number, (name, service) in enumerate(sorted(services.items()), 1):
            settings = {}
            for key, value in settings_in(service).items():
                value = value.replace("localhost", names[name]).replace("0.0.0.0", names[name])
                for other, address in names.items():
                    value = re.sub(rf"\b{other}\b(?=:)", address, value)
                settings[key] = value
            host, port = settings.pop("listen").split(":")
            settings.pop("data.dir")
            directory = tmp_path / name
            directory.mkdir()
            cluster.brokers[number] = Broker(
                directory, settings, port=int(port), host=host, prefix=cluster.network.within(f"b{number}"))
        cluster.start()
        servers = cluster.servers.split(",")

        def hutong(*words, text=None):
            return subprocess.run(
                [*cluster.network.within("client"), *binary(), *words], check=True, capture_output=True, text=True, input=text, timeout=60).stdout

        hutong("topic", "create", "greetings", "--server", servers[0], "-p", "3")
        assert "1,2,3" in hutong("topic", "describe", "greetings", "--server", servers[1]).replace(" ", "")
        hutong("produce", "greetings", "--server", servers[2], text="".join(f"line {number}\n" for number in range(300)))
        seen = hutong("consume", "greetings", "--server", servers[0], "-o", "start", "-e").splitlines()
        assert sorted(seen) == sorted(f"line {number}" for number in range(300))
    finally:
        cluster.end()
