"""The status page in a real browser, without a window, as wide as a desktop and as a telephone."""

import time

import confluent_kafka
import pytest
from playwright.sync_api import sync_playwright

from broker import Broker

WIDTHS = {"desktop": (1280, 800), "telephone": (390, 844)}
NASTY = "<img src=x onerror=\"document.title='got you'\">"


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("shown"), {"http.listen": "127.0.0.1:0", "num.partitions": 3}).start()
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.server})
    for number in range(30):
        producer.produce("greetings", f"hello {number} {NASTY}".encode(), key=b"k%d" % number, partition=0, headers={"h": NASTY.encode()})
    producer.produce("greetings", b"\xff\xfe\x00", partition=1)
    assert producer.flush(30) == 0
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.server, "group.id": "readers", "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.assign([confluent_kafka.TopicPartition("greetings", 0, 0)])
    assert len(consumer.consume(12, timeout=30)) == 12
    consumer.commit(asynchronous=False)
    consumer.close()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(params=WIDTHS)
def page(browser, shown, request):
    width, height = WIDTHS[request.param]
    page = browser.new_page(viewport={"width": width, "height": height})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(request.url))
    page.on("request", lambda request: problems.append(request.url) if not request.url.startswith(f"http://{shown.ready['http']}/") else None)
    yield page
    assert not problems
    page.close()


def visit(page, shown, place, view):
    page.goto(f"http://{shown.ready['http']}/#{place}")
    page.wait_for_selector(f"main[data-shown={view}]", timeout=20_000)
    # Nothing sticks out to the side.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{place} is wider than the window"
    assert page.title() == "Hutong"
    text = page.inner_text("main")
    for slip in ["[object", "undefined", "NaN", "null"]:
        assert slip not in text, f"{place} says {slip}"
    return text


def test_the_produce_path(page, shown):
    text = visit(page, shown, "produce", "produce")
    for stage in ["io-0", "write-0", "flush-0", "replicate-0", "respond-0", "loader-0"]:
        assert stage in text
    assert text.count("oldest") >= 6 and text.count("waits") >= 6
    assert "Partition group 0" in text and "journaled" in text and "leads in epoch 1" in text
    assert f"at {shown.server}" in page.inner_text("#who")
    # It is drawn anew by itself.
    before = page.inner_text("#foot")
    page.wait_for_function("before => document.getElementById('foot').innerText !== before", arg=before, timeout=20_000)


def test_topics_and_messages(page, shown):
    assert "greetings" in visit(page, shown, "topics", "topics")
    page.click("text=greetings")
    page.wait_for_selector("text=hello 29")
    text = page.inner_text("main")
    assert NASTY in text and "hello 9 " not in text, "the last twenty, as text"
    page.fill("input[name=offset]", "5")
    page.click("text=Show")
    page.wait_for_selector("text=hello 5 ")
    assert page.evaluate("location.hash") == "#topics/greetings/0/5"
    text = visit(page, shown, "topics/greetings/1", "topics")
    page.wait_for_selector("text=base64: //4A")
    visit(page, shown, "topics/nothing", "topics")
    page.wait_for_selector("text=There is no topic of that name.")


def test_groups_and_brokers(page, shown):
    assert "readers" in visit(page, shown, "groups", "groups")
    page.click("text=readers")
    page.wait_for_selector("text=lag 18")
    assert shown.server in visit(page, shown, "brokers", "brokers")


def test_a_broker_that_is_gone_is_told(browser, make_broker):
    broker = make_broker({"http.listen": "127.0.0.1:0"})
    page = browser.new_page()
    page.goto(f"http://{broker.ready['http']}/")
    page.wait_for_selector("main[data-shown=produce]")
    broker.kill()
    page.wait_for_selector("#trouble:visible", timeout=20_000)
    assert "can't be reached" in page.inner_text("#trouble")
    page.close()


def test_a_stuck_stage_is_lit(browser, make_broker):
    broker = make_broker({"http.listen": "127.0.0.1:0", "debug.wedge.stage": "flush:1"})
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.server})
    page = browser.new_page()
    page.goto(f"http://{broker.ready['http']}/")
    deadline = time.monotonic() + 30
    # What comes in the first second is flushed yet.
    while page.locator(".stage.stuck[data-stage=flush-0]").count() == 0:
        assert time.monotonic() < deadline
        producer.produce("t", b"x")
        producer.poll(0.3)
    assert "has done nothing for" in page.inner_text(".stage.stuck .flag")
    assert page.locator(".stage.stuck").count() == 1
    page.close()
    producer.purge()
    broker.end()
