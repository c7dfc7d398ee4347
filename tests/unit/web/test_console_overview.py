"""The overview: required actions come first, and the figures come from the ledger."""

import re

from support.web import open_browser

from worker.domain.hints import Action, Code, Hint, Step
from worker.domain.integration import Identity, Integration, Secret
from worker.pipeline.integration_setup import apply_identity
from worker.store.lanes import Lease, NewDelivery
from worker.store.metrics import MinuteActivity
from worker.store.token_cipher import generate_key
from worker.web.console.overview import Chart
from worker.web.console.templating import templates

OPS = apply_identity(Integration("ops", "ops"), Identity("T1", "Acme", "https://acme.slack.com/", "U1", "infrakitchen"))


def overview():
    return open_browser(admin_password=None, encryption_key=generate_key())


async def connected(app) -> None:
    await app.integrations.save(OPS, Secret("xoxb-1"))
    for role in ("ingest", "worker"):
        await app.processes.record_heartbeat(role, "one")


async def append(app, lane: str, many: int) -> None:
    await app.lanes.append(lane, [NewDelivery(f"{lane}{i}", f"{lane}{i}.s", "s1", 7) for i in range(many)])


async def test_a_new_installation_is_led_to_the_setup():
    async with overview() as browser:
        page = await browser.open("/")
        assert "No integrations" in page.text
        assert "No events." in page.text
        assert "0 unaccounted" in page.text


async def test_a_healthy_installation_requires_no_action():
    async with overview() as browser:
        await connected(browser.web.app)
        page = await browser.open("/")
        assert 'data-health="ok"' in page.html
        assert "nothing is late, parked, dead or lost" in page.text


async def test_a_parked_lane_comes_first_with_its_fix():
    async with overview() as browser:
        app = browser.web.app
        await connected(app)
        await append(app, "ops/#finance", 3)
        held = await app.lanes.acquire("ops/#finance", "token")
        assert isinstance(held, Lease)
        hint = Hint.of("Type ", Code("/invite @infrakitchen"), " in #finance.")
        await app.lanes.park(held, "not_in_channel", "the bot is not there", hint, probe_s=60, called=False)
        page = await browser.open("/")
        assert page.text.index("#finance 3 deliveries") < page.text.index("Ledger")
        assert 'data-copy="/invite @infrakitchen"' in page.html


async def test_a_parked_integration_is_reported_once_and_not_for_each_of_its_lanes():
    async with overview() as browser:
        app = browser.web.app
        await connected(app)
        for number in range(3):
            await append(app, f"ops/#lane{number}", 1)
        hint = Hint.of("Reinstall it, then ", Step(Action.ROTATE_TOKEN, "ops"), ".")
        await app.integrations.park("ops", "token_revoked", "the token was revoked", hint, probe_s=60)
        page = await browser.open("/")
        assert page.text.count("the token was revoked") == 1
        assert 'Reinstall it, then <a href="/integrations/ops#rotate">rotate the token</a>.' in page.html
        assert "#lane0" not in page.text


async def test_processes_that_do_not_run_are_reported():
    async with overview() as browser:
        await connected(browser.web.app)
        await browser.web.app.processes.remove_heartbeat("worker", "one")
        assert "No worker process is running" in (await browser.open("/")).text
        await browser.web.app.processes.remove_heartbeat("ingest", "one")
        page = await browser.open("/")
        assert "No ingest process is running" in page.text
        assert "No worker process is running" in page.text
        assert 'data-health="attention"' in page.html


async def test_unaccounted_deliveries_are_reported():
    async with overview() as browser:
        await connected(browser.web.app)
        await browser.web.app.redis.command("HINCRBY", "ik:ledger", "created", 3)
        page = await browser.open("/")
        assert "3 events or deliveries unaccounted for" in page.text
        assert "3 unaccounted" in page.text


async def test_lanes_with_pending_deliveries_are_listed_longest_first():
    async with overview() as browser:
        app = browser.web.app
        await connected(app)
        for number in range(1, 9):
            await append(app, f"ops/#lane{number}", number)
        page = await browser.open("/")
        assert "#lane8 8 #lane7 7" in page.text
        assert "and 2 lanes more" in page.text
        assert "Pending now 36" in page.text


async def test_dead_letters_are_counted_by_reason():
    async with overview() as browser:
        app = browser.web.app
        await app.events.reject(app.stream.stream, app.stream.group, "7-1", {b"x": b"y"}, "no")
        assert "unreadable 1" in (await browser.open("/")).text


async def test_events_and_messages_are_drawn_as_a_chart():
    async with overview() as browser:
        app = browser.web.app
        await append(app, "ops/#a", 1)
        held = await app.lanes.acquire("ops/#a", "token")
        assert isinstance(held, Lease)
        await app.lanes.take(held, ("c1", "c2"))
        await app.lanes.open_attempt(held)
        await app.lanes.release(held, outcome="delivered", code="")
        page = await browser.open("/")
        assert 'aria-label="Last hour: 0 events, 1 message; at most 1 in 1 minute"' in page.html
        assert page.html.count('<rect class="messages"') == 2


def test_both_bars_of_a_chart_share_a_scale_and_small_values_are_visible():
    busy, calm = MinuteActivity(60_000, events=1_000, posts=1, edits=1), MinuteActivity(120_000, posts=500)
    chart = Chart([MinuteActivity(0), busy, calm])
    assert chart.largest == 1_000
    assert (chart.bar_height(busy.events), chart.bar_height(calm.messages)) == (chart.height, chart.height / 2)
    assert 0 < chart.bar_height(busy.messages) < 2
    template = "{% from 'parts.html' import draw with context %}{{ draw(chart, 'Last hour', '1 minute') }}"
    drawn = templates().from_string(template).render(chart=chart)
    bars = re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', drawn)
    assert [bar[:3] for bar in bars] == [
        ("events", "200.0", "0.0"), ("messages", "272.0", "70.5"), ("messages", "472.0", "36.0"),
    ]  # fmt: skip
    assert all(float(x) + float(width) <= chart.width for _, x, _, width in bars)


def test_a_chart_without_activity_has_no_bars():
    assert not Chart([]).largest
    assert not Chart([MinuteActivity(0)]).largest


def render(hint: Hint, path: str = "/") -> str:
    return templates().from_string("{{ hint|hint }}").render(hint=hint, path=path)


def test_a_hint_links_the_page_of_its_action_and_its_code_can_be_copied():
    assert render(Hint.of("<b> ", Code("a & b"))).startswith("&lt;b&gt; <span")
    assert 'data-copy="a &amp; b"' in render(Hint.of(Code("a & b")))
    assert render(Hint.of(Step(Action.LIST_PARKED), ".")) == '<a href="/parked">Open Parked</a>.'
    assert "ik-slack keys generate</code>" in render(Hint.of("To make one, ", Step(Action.GENERATE_KEY)))


def test_a_hint_does_not_link_the_page_it_is_on():
    hint = Hint.of("Copy it, then ", Step(Action.ADD_INTEGRATION, "ops"), ".")
    assert render(hint, "/integrations/slack/setup") == "Copy it, then add the integration."
