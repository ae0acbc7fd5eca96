"""docker/compose.yaml: its brokers, with its settings, but as processes in network namespaces instead of containers."""

import pathlib
import re
import subprocess

import pytest
import yaml

from broker import Broker, binary
from cluster import Cluster

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker" / "compose.yaml"


def known_settings():
    """By the name of the environment variable."""
    described = subprocess.run([*binary(), "config", "describe"], check=True, capture_output=True, text=True).stdout
    rows = [line.split("|")[1] for line in described.splitlines() if line.startswith("| `")]
    keys = [key for row in rows for key in re.findall(r"`([a-z.]+)`", row)]
    assert len(keys) > 30
    return {"HUTONG_" + key.upper().replace(".", "_"): key for key in keys}


@pytest.fixture
def services():
    composed = yaml.safe_load(COMPOSE.read_text())["services"]
    return {name: service for name, service in composed.items() if name.startswith("hutong-")}


def test_every_service_has_what_it_needs(services):
    composed = yaml.safe_load(COMPOSE.read_text())
    known = known_settings()
    ids, ports = set(), set()
    for name, service in services.items():
        unknown = set(service["environment"]) - set(known)
        assert not unknown, f"{name}: {unknown}"
        ids.add(service["environment"]["HUTONG_BROKER_ID"])
        # What clients of the host are told is what is published, and what the broker listens on.
        (published,) = service["ports"]
        outside, inside = published.split(":")
        assert service["environment"]["HUTONG_ADVERTISE"] == f"localhost:{outside}"
        assert service["environment"]["HUTONG_LISTEN"] == f"0.0.0.0:{inside}"
        assert service["environment"]["HUTONG_PEER_ADVERTISE"].split(":")[0] == name
        ports.add(outside)
        (volume,) = service["volumes"]
        assert volume.split(":") == [name, service["environment"]["HUTONG_DATA_DIR"]]
        assert service["depends_on"] == ["etcd"] and service["image"] == "hutong"
        assert (COMPOSE.parent / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    assert len(ids) == len(ports) == len(services) == 3
    assert set(composed["volumes"]) == {"etcd", *services}
    assert "--advertise-client-urls=http://etcd:2379" in composed["services"]["etcd"]["command"]


def test_three_brokers_with_these_settings_serve(services, tmp_path):
    known = known_settings()
    cluster = Cluster(tmp_path)
    try:
        names = {name: cluster.network.addresses[f"b{number}"] for number, name in enumerate(sorted(services), 1)}
        names["etcd"] = cluster.network.addresses["etcd"]
        for number, (name, service) in enumerate(sorted(services.items()), 1):
            settings = {}
            for variable, value in service["environment"].items():
                value = value.replace("localhost", names[name]).replace("0.0.0.0", names[name])
                for other, address in names.items():
                    value = re.sub(rf"\b{other}\b(?=:)", address, value)
                settings[known[variable]] = value
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
