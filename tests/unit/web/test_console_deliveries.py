"""Deliveries in the console: the list with filters and pages, and a delivery with its history and message."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from support.events import failed_workflow
from support.web import Console, open_console

from worker.domain.hints import Hint
from worker.store.lanes import Lease
from worker.store.redis_client import RedisClient
from worker.web.console.deliveries import ROWS

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script> <!channel> 💥 & \"'"


@pytest.fixture
async def ops() -> AsyncIterator[Console]:
    async with open_console() as app:
        await app.connect()
        await app.subscribe()
        yield app


@contextmanager
def count_round_trips(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count the commands of each round trip to Redis."""
    trips: list[int] = []
    execute = RedisClient._execute

    async def counting(self, commands, *, is_transaction):
        trips.append(len(commands))
        return await execute(self, commands, is_transaction=is_transaction)

    with monkeypatch.context() as patch:
        patch.setattr(RedisClient, "_execute", counting)
        yield trips


def delivery_ids(html: str) -> list[str]:
    return re.findall(r'href="/deliveries/([0-9a-f]{20})"', html)


async def link_target(open_console: Console, words: str) -> str:
    """Return the target of the link with this text."""
    found = re.search(rf'href="([^"]*)">{words}', open_console.browser.page.html)
    assert found, words
    return found[1].replace("&amp;", "&")


async def test_an_empty_list_of_deliveries_names_the_next_step(ops: Console):
    page = await ops.open("/deliveries")
    assert "No deliveries" in page.text
    assert 'href="/subscriptions/add"' in page.html


async def test_deliveries_are_listed_newest_first_in_plain_words(ops: Console):
    await ops.deliver(failed_workflow("deploy-1"))
    await ops.deliver(failed_workflow("deploy-2"))
    page = await ops.open("/deliveries")
    assert page.text.index("deploy-2") < page.text.index("deploy-1")
    assert "delivered" in page.text
    assert re.search(r'<time datetime="[^"]+" title="[^"]+ UTC">\d+ s ago', page.html)


async def test_deliveries_are_filtered_by_state_lane_and_event(ops: Console):
    await ops.subscribe("#lobby")
    await ops.deliver(failed_workflow("deploy-1"), failed_workflow("deploy-2"))
    assert len(delivery_ids((await ops.open("/deliveries")).html)) == 4
    assert len(delivery_ids((await ops.open("/deliveries?state=parked")).html)) == 2
    assert len(delivery_ids((await ops.open("/deliveries?lane=acme%2F%23lobby")).html)) == 2
    assert len(delivery_ids((await ops.open("/deliveries?event=deploy-1")).html)) == 2
    page = await ops.open("/deliveries?event=deploy-1&state=parked&lane=acme%2F%23lobby")
    assert len(delivery_ids(page.html)) == 1
    assert 'value="acme/#lobby"' in page.html
    assert '<option value="parked" selected>parked' in page.html


async def test_a_filter_without_results_or_with_an_unknown_value_has_a_message(ops: Console):
    await ops.deliver(failed_workflow())
    assert "No matching deliveries" in (await ops.open("/deliveries?state=dead")).text
    assert "Unknown state “odd”" in (await ops.open("/deliveries?state=odd")).text
    assert "No matching deliveries" in (await ops.open("/deliveries?event=unknown")).text
    page = await ops.open("/deliveries?after=nowhere")
    assert (page.status, "is no cursor of this list" in page.text) == (400, True)


async def test_a_lane_linked_from_a_digest_is_shown_after_the_login():
    async with open_console(admin_password="a correct horse") as app:
        await app.connect()
        await app.subscribe()
        await app.deliver(failed_workflow())
        page = await app.open("/deliveries?lane=acme%2F%23ops")
        assert page.path.startswith("/login?to=")
        to = re.search(r'name="to" value="([^"]*)"', page.html)
        assert to
        page = await app.send("/login", password="a correct horse", to=to[1])
        assert (page.path, len(delivery_ids(page.html))) == ("/deliveries?lane=acme/#ops", 1)


async def test_pages_of_deliveries_lead_forward_and_back_in_few_round_trips(
    ops: Console, monkeypatch: pytest.MonkeyPatch
):
    many = 2 * ROWS + 10
    await ops.publish(*(failed_workflow(f"d{n}") for n in range(many)))
    with count_round_trips(monkeypatch) as trips:
        first = delivery_ids((await ops.open("/deliveries?lane=acme%2F%23ops")).html)
    assert len(trips) <= 16  # four of them for the session
    assert sum(trips) <= 3 * ROWS
    second = delivery_ids((await ops.open(await link_target(ops, "Next"))).html)
    third = delivery_ids((await ops.open(await link_target(ops, "Next"))).html)
    assert [len(one) for one in (first, second, third)] == [ROWS, ROWS, 10]
    assert len({*first, *second, *third}) == many
    assert "Next" not in ops.browser.page.text
    assert delivery_ids((await ops.open(await link_target(ops, "← Previous"))).html) == second
    assert delivery_ids((await ops.open(await link_target(ops, "← Previous"))).html) == first
    assert "Previous" not in ops.browser.page.text


async def test_a_delivery_has_its_history_its_message_and_links(ops: Console):
    await ops.deliver(failed_workflow())
    (id_,) = delivery_ids((await ops.open("/deliveries")).html)
    page = await ops.open(f"/deliveries/{id_}")
    for words in ("Event accepted", "Queued for #ops", "Post: accepted by Slack", "Open in Slack"):
        assert words in page.text
    assert "Workflow run deploy-1 failed" in page.text.split("Message")[1]
    assert 'href="/explain/deploy-1"' in page.html


async def test_deliveries_of_one_message_link_to_each_other(ops: Console):
    await ops.deliver(*(failed_workflow(f"deploy-{n}") for n in range(9)))
    merged = delivery_ids((await ops.open("/deliveries?state=merged")).html)
    page = await ops.open(f"/deliveries/{merged[0]}")
    assert "Part of the message of" in page.text
    (lead,) = delivery_ids(re.search(r"<strong>Part of.*?</strong>", page.html, re.DOTALL)[0])
    page = await ops.open(f"/deliveries/{lead}")
    assert "In the same message" in page.text
    assert set(merged) <= set(delivery_ids(page.html))


async def test_a_parked_delivery_has_its_reason_and_fix(ops: Console):
    await ops.subscribe("#lobby")
    await ops.deliver(failed_workflow())
    (id_,) = delivery_ids((await ops.open("/deliveries?state=parked")).html)
    page = await ops.open(f"/deliveries/{id_}")
    assert 'data-copy="/invite @infrakitchen"' in page.html
    assert re.search(r"Parked: @infrakitchen is not a member of #lobby \d+ s ago", page.text)
    await ops.app.lanes.resume("acme/#lobby", permanently=False)
    await ops.app.integrations.park("acme", "token_revoked", "the token was revoked", Hint.of("Fix it."), probe_s=60)
    page = await ops.open(f"/deliveries/{id_}")
    assert re.search(r"Parked: the token was revoked \d+ s ago", page.text)


async def test_dead_letters_and_parked_lanes_are_read_in_few_round_trips(ops: Console, monkeypatch: pytest.MonkeyPatch):
    await ops.publish(*(failed_workflow(f"d{n}") for n in range(4 * ROWS)))
    held = await ops.app.lanes.acquire("acme/#ops", "token")
    assert isinstance(held, Lease)
    await ops.app.lanes.take(held, ("T", "C"), limit=3 * ROWS)
    await ops.app.lanes.dead_letter(held, "invalid_blocks", "no")
    for path in ("/dead-letters", "/dead-letters?reason=invalid_blocks", "/parked", "/deliveries?state=dead"):
        with count_round_trips(monkeypatch) as trips:
            page = await ops.open(path)
        assert page.status == 200
        assert (len(trips) <= 14, sum(trips) <= 4 * ROWS) == (True, True), (path, trips)


async def test_a_dead_delivery_links_to_replay_and_discard(ops: Console):
    (id_,) = await ops.create_dead_letters("deploy-1")
    page = await ops.open(f"/deliveries/{id_}")
    assert f'href="/dead-letters/replay?id={id_}"' in page.html
    assert f'href="/dead-letters/discard?id={id_}"' in page.html
    assert "ik-slack" not in page.text.replace("infrakitchen-slack", "")


async def test_texts_of_an_event_are_never_html(ops: Console):
    await ops.deliver(failed_workflow(f"{HOSTILE}{'x' * 5_000}", name=HOSTILE * 100, project=HOSTILE))
    page = await ops.open("/deliveries")
    (id_,) = delivery_ids(page.html)
    for one in (page, await ops.open(f"/deliveries/{id_}")):
        assert one.status == 200
        assert "<script>alert" not in one.html
        assert "&lt;script&gt;alert(1)" in one.html
        assert 'class="mention' not in one.html


async def test_a_delivery_whose_event_is_no_longer_stored_is_shown(ops: Console):
    await ops.deliver(failed_workflow())
    for key in await ops.app.redis.command("KEYS", "ik:event:*"):
        await ops.app.redis.command("DEL", key)
    (id_,) = delivery_ids((await ops.open("/deliveries")).html)
    assert "Event no longer stored" in ops.browser.page.text
    page = await ops.open(f"/deliveries/{id_}")
    assert "the message cannot be shown" in page.text


@pytest.mark.parametrize("path", ["/deliveries/unknown", "/deliveries/%3Cscript%3E", "/dead-letters/1-1"])
async def test_an_unknown_delivery_is_404(ops: Console, path: str):
    page = await ops.open(path)
    assert (page.status, "Page not found" in page.text) == (404, True)


@pytest.mark.parametrize(
    "path",
    ["/deliveries", "/deliveries/x", "/parked", "/dead-letters", "/explain/x", "/subscriptions",
     "/subscriptions/add", "/dead-letters/replay?all=yes"],
)  # fmt: skip
async def test_without_redis_every_page_names_the_error(ops: Console, path: str):
    ops.browser.web.redis.connected = False
    page = await ops.open(path)
    assert (page.status, "Redis does not answer" in page.text) == (503, True)
