"""Deliveries in the console: the list with its filters and pages, one with its way and its message."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from told_house import House, event, house

from worker.store.held import Held
from worker.store.server import Server
from worker.web.pages.deliveries import ROWS

HOSTILE = "<script>alert(1)</script> <!channel> 💥 & \"'"


@pytest.fixture
async def ops() -> AsyncIterator[House]:
    async with house() as made:
        await made.connect()
        await made.subscribe()
        yield made


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many commands go to Redis in each round trip."""
    trips: list[int] = []
    execute = Server._execute

    async def counting(self, commands, *, as_one):
        trips.append(len(commands))
        return await execute(self, commands, as_one=as_one)

    with monkeypatch.context() as patch:
        patch.setattr(Server, "_execute", counting)
        yield trips


def ids(html: str) -> list[str]:
    return re.findall(r'href="/deliveries/([0-9a-f]{20})"', html)


async def link(house: House, words: str) -> str:
    """Where a link of the page leads that has these words."""
    found = re.search(rf'href="([^"]*)">{words}', house.browser.page.html)
    assert found, words
    return found[1].replace("&amp;", "&")


async def test_an_empty_list_says_what_to_do_next(ops: House):
    page = await ops.open("/deliveries")
    assert "Nothing was delivered yet" in page.text
    assert 'href="/subscriptions/add"' in page.html


async def test_what_was_told_stands_in_the_list_newest_first_in_words(ops: House):
    await ops.told(event("deploy-1"))
    await ops.told(event("deploy-2"))
    page = await ops.open("/deliveries")
    assert page.text.index("deploy-2") < page.text.index("deploy-1")
    assert "delivered" in page.text
    assert re.search(r'<time datetime="[^"]+" title="[^"]+ UTC">\d+ s ago', page.html)


async def test_it_is_filtered_by_state_lane_and_event(ops: House):
    await ops.subscribe("#lobby")
    await ops.told(event("deploy-1"), event("deploy-2"))
    assert len(ids((await ops.open("/deliveries")).html)) == 4
    assert len(ids((await ops.open("/deliveries?state=parked")).html)) == 2
    assert len(ids((await ops.open("/deliveries?lane=acme%2F%23lobby")).html)) == 2
    assert len(ids((await ops.open("/deliveries?event=deploy-1")).html)) == 2
    page = await ops.open("/deliveries?event=deploy-1&state=parked&lane=acme%2F%23lobby")
    assert len(ids(page.html)) == 1
    assert 'value="acme/#lobby"' in page.html
    assert '<option value="parked" selected>waits for a person' in page.html


async def test_what_there_is_not_says_so(ops: House):
    await ops.told(event())
    assert "No delivery is like that" in (await ops.open("/deliveries?state=dead")).text
    assert "There is no state “odd”" in (await ops.open("/deliveries?state=odd")).text
    assert "No delivery is like that" in (await ops.open("/deliveries?event=nobody")).text
    page = await ops.open("/deliveries?after=nowhere")
    assert (page.status, "is no place in this list" in page.text) == (400, True)


async def test_a_lane_that_a_digest_links_is_shown_after_the_login_too():
    async with house(admin_password="a correct horse") as made:
        await made.connect()
        await made.subscribe()
        await made.told(event())
        page = await made.open("/deliveries?lane=acme%2F%23ops")
        assert page.path.startswith("/login?to=")
        to = re.search(r'name="to" value="([^"]*)"', page.html)
        assert to
        page = await made.send("/login", password="a correct horse", to=to[1])
        assert (page.path, len(ids(page.html))) == ("/deliveries?lane=acme/#ops", 1)


async def test_its_pages_lead_forth_and_back_in_a_few_round_trips(
    ops: House, monkeypatch: pytest.MonkeyPatch
):
    many = 2 * ROWS + 10
    await ops.publish(*(event(f"d{n}") for n in range(many)))
    with counted(monkeypatch) as trips:
        first = ids((await ops.open("/deliveries?lane=acme%2F%23ops")).html)
    assert len(trips) <= 12
    assert sum(trips) <= 3 * ROWS
    second = ids((await ops.open(await link(ops, "Next"))).html)
    third = ids((await ops.open(await link(ops, "Next"))).html)
    assert [len(one) for one in (first, second, third)] == [ROWS, ROWS, 10]
    assert len({*first, *second, *third}) == many
    assert "Next" not in ops.browser.page.text
    assert ids((await ops.open(await link(ops, "← Previous"))).html) == second
    assert ids((await ops.open(await link(ops, "← Previous"))).html) == first
    assert "Previous" not in ops.browser.page.text


async def test_one_has_its_way_its_message_and_links(ops: House):
    await ops.told(event())
    (id_,) = ids((await ops.open("/deliveries")).html)
    page = await ops.open(f"/deliveries/{id_}")
    for words in ("Accepted from InfraKitchen", "Routed for #ops", "Posted: Slack took it", "Open in Slack"):
        assert words in page.text
    assert "Workflow run deploy-1 failed" in page.text.split("The message")[1]
    assert 'href="/explain/deploy-1"' in page.html


async def test_what_was_told_together_leads_to_each_other(ops: House):
    await ops.told(*(event(f"deploy-{n}") for n in range(9)))
    merged = ids((await ops.open("/deliveries?state=merged")).html)
    page = await ops.open(f"/deliveries/{merged[0]}")
    assert "Told by the message of" in page.text
    (lead,) = ids(re.search(r"<strong>Told.*?</strong>", page.html, re.DOTALL)[0])
    page = await ops.open(f"/deliveries/{lead}")
    assert "The same message tells" in page.text
    assert set(merged) <= set(ids(page.html))


async def test_why_one_waits_stands_there_with_the_step(ops: House):
    await ops.subscribe("#lobby")
    await ops.told(event())
    (id_,) = ids((await ops.open("/deliveries?state=parked")).html)
    page = await ops.open(f"/deliveries/{id_}")
    assert 'data-copy="/invite @infrakitchen"' in page.html
    assert re.search(r"Waits for a person: @infrakitchen is not a member of #lobby \d+ s ago", page.text)
    await ops.made.lanes.resume("acme/#lobby", certain=False)
    await ops.made.integrations.park("acme", "token_revoked", "the token was revoked", "Mend it.", probe_s=60)
    page = await ops.open(f"/deliveries/{id_}")
    assert re.search(r"Waits for a person: the token was revoked \d+ s ago", page.text)


async def test_dead_letters_and_parked_lanes_are_read_in_a_few_round_trips_too(
    ops: House, monkeypatch: pytest.MonkeyPatch
):
    await ops.publish(*(event(f"d{n}") for n in range(4 * ROWS)))
    held = await ops.made.lanes.acquire("acme/#ops", "token")
    assert isinstance(held, Held)
    await ops.made.lanes.take(held, ("T", "C"), most=3 * ROWS)
    await ops.made.lanes.bury(held, "invalid_blocks", "no")
    for path in ("/dead-letters", "/dead-letters?reason=invalid_blocks", "/parked", "/deliveries?state=dead"):
        with counted(monkeypatch) as trips:
            page = await ops.open(path)
        assert page.status == 200
        assert (len(trips) <= 14, sum(trips) <= 4 * ROWS) == (True, True), (path, trips)


async def test_a_dead_one_leads_to_replay_and_discard(ops: House):
    (id_,) = await ops.die("deploy-1")
    page = await ops.open(f"/deliveries/{id_}")
    assert f'href="/dead-letters/replay?id={id_}"' in page.html
    assert f'href="/dead-letters/discard?id={id_}"' in page.html
    assert "ik-slack" not in page.text.replace("infrakitchen-slack", "")


async def test_what_events_say_is_shown_as_text_and_nothing_else(ops: House):
    await ops.told(event(f"{HOSTILE}{'x' * 5_000}", name=HOSTILE * 100, project=HOSTILE))
    page = await ops.open("/deliveries")
    (id_,) = ids(page.html)
    for one in (page, await ops.open(f"/deliveries/{id_}")):
        assert one.status == 200
        assert "<script>alert" not in one.html
        assert "&lt;script&gt;alert(1)" in one.html
        assert 'class="mention' not in one.html


async def test_one_whose_event_is_no_longer_kept_is_shown_all_the_same(ops: House):
    await ops.told(event())
    for key in await ops.made.server.command("KEYS", "ik:event:*"):
        await ops.made.server.command("DEL", key)
    (id_,) = ids((await ops.open("/deliveries")).html)
    assert "An event that is no longer kept" in ops.browser.page.text
    page = await ops.open(f"/deliveries/{id_}")
    assert "the message cannot be drawn" in page.text


@pytest.mark.parametrize("path", ["/deliveries/nobody", "/deliveries/%3Cscript%3E", "/dead-letters/1-1"])
async def test_one_that_is_not_there_is_no_page(ops: House, path: str):
    page = await ops.open(path)
    assert (page.status, "There is no such page" in page.text) == (404, True)


@pytest.mark.parametrize(
    "path",
    ["/deliveries", "/deliveries/x", "/parked", "/dead-letters", "/explain/x", "/subscriptions",
     "/subscriptions/add", "/dead-letters/replay?all=yes"],
)  # fmt: skip
async def test_without_redis_every_page_says_so(ops: House, path: str):
    ops.browser.web.redis.connected = False
    page = await ops.open(path)
    assert (page.status, "Redis does not answer" in page.text) == (503, True)
