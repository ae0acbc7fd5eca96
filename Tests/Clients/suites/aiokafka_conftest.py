"""Takes the place of aiokafka's tests/conftest.py, which starts Kafka in Docker: the broker is there already, at HOST:PORT of HUTONG_SERVER.

Nothing here stands for TLS or Kerberos, so what needs those fails at once.
"""

import asyncio
import os
import pathlib
import types

import pytest

# Of which a broker that has everything but transactions, security and KIP-848 is closest to what the tests ask for.
KAFKA_VERSION = "2.8.1"


@pytest.fixture(scope="class")
def loop():
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield made
    made.close()
    asyncio.set_event_loop(None)


@pytest.fixture(scope="class")
def setup_test_class_serverless(request, loop):
    request.cls.loop = loop


@pytest.fixture(scope="session")
def kafka_server():
    host, port = os.environ["HUTONG_SERVER"].split(":")
    return types.SimpleNamespace(host=host, port=int(port), hosts=[f"{host}:{port}"])


@pytest.fixture(scope="class")
def setup_test_class(request, loop, kafka_server):
    for name, value in {
            "loop": loop, "kafka_host": kafka_server.host, "kafka_port": kafka_server.port, "hosts": kafka_server.hosts, "kafka_version": KAFKA_VERSION,
            "ssl_folder": pathlib.Path("no-certificates"), "acl_manager": None, "kafka_config": None, "kerberos_utils": None}.items():
        setattr(request.cls, name, value)
    for port in ("kafka_ssl_port", "kafka_sasl_plain_port", "kafka_sasl_ssl_port"):
        setattr(request.cls, port, 1)
