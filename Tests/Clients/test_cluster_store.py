"""Three brokers whose store is an etcd of three members: each of them may end, and nothing waits; without two, only a failover does."""

import os
import random
import signal
import time

import pytest

from cluster import Cluster
from test_cluster import RATE, Faults, await_leaders, await_whole, check, create, leader_of, metadata
from test_crash import await_progress, producing

WAIT = 5  # seconds: more than a lease and a silence


@pytest.fixture
def cluster(tmp_path):
    """Three brokers, and an etcd of three members; the test is on the clients' host."""
    made = Cluster(tmp_path, members=3)
    try:
        with made.network.from_host("client"):
            yield made.start()
    finally:
        made.end()


@pytest.fixture
def faults(cluster, topic):
    create(cluster, topic)
    return Faults(cluster, topic, random.Random(int(os.environ.get("HUTONG_TEST_SEED", 1))))


def leader_first(members):
    return sorted(members, key=lambda member: not member.leads())


def test_each_member_ends_and_comes_back(cluster, faults, topic, tmp_path):
    """The one that leads them first. While one is away a broker ends as well, and others lead what it led."""
    with producing(["confluent"], faults, cluster.servers, topic, tmp_path, RATE) as workers:
        for member in leader_first(cluster.members):
            member.kill()
            await_progress(workers, faults)
            faults.kill_leader(leader_of(cluster, topic), workers)
            member.start()
            await_progress(workers, faults)
            await_whole(cluster, topic)
    check(cluster, topic, workers)


def test_without_two_members_only_a_failover_waits(cluster, faults, topic, tmp_path):
    """Leaders lead on beyond their leases. Nobody takes the place of one that ends, until a majority of the members is there again."""
    with producing(["confluent"], faults, cluster.servers, topic, tmp_path, RATE) as workers:
        away = leader_first(cluster.members)[:2]
        for member in away:
            member.kill()
        time.sleep(WAIT)
        await_progress(workers, faults)
        leader = leader_of(cluster, topic)
        led = [partition for partition, (who, *_) in metadata(cluster, topic).items() if who == leader]
        cluster.brokers[leader].kill()
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            for number in faults.others(leader):
                found = metadata(cluster, topic, number)
                assert {found[partition][0] for partition in led if found} <= {leader, -1}, f"{found}\n{cluster.tail()}"
            time.sleep(0.1)
        away[0].start()
        faults.failover(leader)
        await_progress(workers, faults)
        cluster.brokers[leader].start()
        away[1].start()
        await_whole(cluster, topic)
        await_progress(workers, faults)
    check(cluster, topic, workers)


def test_a_member_that_stands_still(cluster, faults, topic, tmp_path):
    """Its kernel takes what it is asked, and nobody answers. All brokers begin with the first one."""
    with producing(["confluent"], faults, cluster.servers, topic, tmp_path, RATE) as workers:
        cluster.members[0].process.send_signal(signal.SIGSTOP)
        await_progress(workers, faults)
        faults.kill_leader(leader_of(cluster, topic), workers)
        await_whole(cluster, topic)
        cluster.members[0].process.send_signal(signal.SIGCONT)
        await_progress(workers, faults)
    check(cluster, topic, workers)
