"""Every tenth answer never arrives: what idempotent producers send is there once, in order, without a gap, whatever they had to send again."""

import contextlib
import os
import random
import time

import pytest

from broker import free_port
from cluster import Cluster
from crash_worker import WORKERS
from lossy_proxy import LossyProxy
from rawclient import Connection
from test_cluster import LEADER_PATIENCE, RATE, await_whole, check, create, leader_of
from test_crash import PARTITIONS, await_progress, check_everything, producing

RECORDS = 8_000
SOAK_RECORDS = int(os.environ.get("HUTONG_TEST_RECORDS", 1_000_000))
# One takes ten times as long as another.
SHARES = {"confluent": 1, "kafka-python": 0.1, "aiokafka": 0.1}
PATIENCE = 60  # seconds without a single answer


def await_records(workers, servers, records):
    """Until each has had its share acknowledged."""
    last, since = None, time.monotonic()
    while True:
        now = [worker.acknowledged() for worker in workers]
        if all(count >= SHARES[worker.client] * records for worker, count in zip(workers, now)):
            return
        if now != last:
            last, since = now, time.monotonic()
        assert time.monotonic() < since + PATIENCE, f"{now} since {PATIENCE} s\n{servers.tail()}"
        assert all(worker.process.poll() is None for worker in workers), [worker.report() for worker in workers]
        time.sleep(0.5)


def lose_answers(make_broker, topic, directory, records, kills, rate=None):
    port = free_port()
    with LossyProxy(("127.0.0.1", port)) as proxy:
        broker = make_broker({"advertise": proxy.server}, port=port)
        with Connection(broker.address) as connection:
            connection.create(topic, PARTITIONS)
        dice = random.Random(kills)
        with producing(WORKERS, broker, proxy.server, topic, directory, rate) as workers:
            for _ in range(kills):
                time.sleep(dice.uniform(0.2, 1))
                broker.restart(crash=True)
                await_progress(workers, broker)
            await_records(workers, broker, records)
        check_everything(broker, topic, workers)
        print(f"{sum(worker.acknowledged() for worker in workers)} records, {proxy.answers} answers, {proxy.lost} of them lost, {kills} kills")
        # The slowest client has a request for each few records, and the fastest one for fifty at most.
        assert proxy.lost >= records / 50 / proxy.every


@pytest.mark.parametrize("kills", [0, 1])
def test_lost_answers(make_broker, topic, tmp_path, kills):
    lose_answers(make_broker, topic, tmp_path, RECORDS, kills, RATE)


@pytest.mark.soak
@pytest.mark.parametrize("kills", [0, 30])
def test_lost_answers_for_long(make_broker, topic, tmp_path, kills):
    lose_answers(make_broker, topic, tmp_path, SOAK_RECORDS, kills)


@pytest.fixture
def proxied(tmp_path):
    """Three brokers, each behind a proxy on the clients' host, where the test is."""
    made = Cluster(tmp_path)
    host = made.network.addresses["client"]
    try:
        with made.network.from_host("client"), contextlib.ExitStack() as proxies:
            for broker in made.brokers.values():
                broker.proxy = proxies.enter_context(LossyProxy(broker.address, host))
                broker.settings["advertise"] = broker.proxy.server
            yield made.start()
    finally:
        made.end()


def lose_answers_of_three(cluster, topic, directory, records, kills, rate=None):
    create(cluster, topic)
    servers = ",".join(broker.proxy.server for broker in cluster.brokers.values())
    with producing(WORKERS, cluster, servers, topic, directory, rate) as workers:
        for _ in range(kills):
            leader = leader_of(cluster, topic)
            cluster.brokers[leader].restart(crash=True)
            await_progress(workers, cluster)
            await_whole(cluster, topic)
        await_records(workers, cluster, records)
    check(cluster, topic, workers)
    lost = sum(broker.proxy.lost for broker in cluster.brokers.values())
    print(f"{sum(worker.acknowledged() for worker in workers)} records, {lost} answers lost, {kills} failovers")
    assert lost >= records / 50 / 10


@pytest.mark.timeout(2 * LEADER_PATIENCE + 240)
def test_lost_answers_and_failovers(proxied, topic, tmp_path):
    lose_answers_of_three(proxied, topic, tmp_path, RECORDS, kills=2, rate=RATE)


@pytest.mark.soak
def test_lost_answers_and_failovers_for_long(proxied, topic, tmp_path):
    lose_answers_of_three(proxied, topic, tmp_path, SOAK_RECORDS, kills=20)
