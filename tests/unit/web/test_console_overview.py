"""The overview: what waits for a person comes first, and the figures are the ledger's."""

from browser import browsing

from worker.domain.integration import Identity, Integration, Secret
from worker.pipeline.connect import with_identity
from worker.store.held import Entry, Held
from worker.store.pulse import Beat
from worker.store.vault import generate_key
from worker.web.pages.chart import HEIGHT, WIDTH, chart
from worker.web.pages.words import here, step

OPS = with_identity(
    Integration("ops", "ops"), Identity("T1", "Acme", "https://acme.slack.com/", "U1", "infrakitchen")
)


def overview():
    return browsing(admin_password=None, encryption_key=generate_key())


async def connected(made) -> None:
    await made.integrations.save(OPS, Secret("xoxb-1"))
    for role in ("ingest", "worker"):
        await made.upkeep.beat(role, "one")


async def append(made, lane: str, many: int) -> None:
    await made.lanes.append(lane, [Entry(f"{lane}{i}", f"{lane}{i}.s", "s1", 7) for i in range(many)])


async def test_a_new_installation_is_led_to_the_setup():
    async with overview() as browser:
        page = await browser.open("/")
        assert "No Slack workspace is connected yet" in page.text
        assert "Nothing came." in page.text
        assert "0 unaccounted" in page.text


async def test_when_all_is_well_it_says_so():
    async with overview() as browser:
        await connected(browser.web.made)
        page = await browser.open("/")
        assert "Nothing waits for you." in page.text
        assert "Waits for you" not in page.text


async def test_a_parked_lane_comes_first_with_the_step_that_frees_it():
    async with overview() as browser:
        made = browser.web.made
        await connected(made)
        await append(made, "ops/#finance", 3)
        held = await made.lanes.acquire("ops/#finance", "token")
        assert isinstance(held, Held)
        hint = "Type `/invite @infrakitchen` in #finance."
        await made.lanes.park(held, "not_in_channel", "the bot is not there", hint, probe_s=60, called=False)
        page = await browser.open("/")
        assert page.text.index("#finance 3 deliveries") < page.text.index("The balance")
        assert 'data-copy="/invite @infrakitchen"' in page.html


async def test_a_parked_integration_is_said_once_and_not_for_each_of_its_lanes():
    async with overview() as browser:
        made = browser.web.made
        await connected(made)
        for number in range(3):
            await append(made, f"ops/#lane{number}", 1)
        mend = "Reinstall it, then run `ik-slack integrations rotate ops`."
        await made.integrations.park("ops", "token_revoked", "the token was revoked", mend, probe_s=60)
        page = await browser.open("/")
        assert page.text.count("the token was revoked") == 1
        assert "then paste it on its page." in page.text
        assert "#lane0" not in page.text


async def test_what_does_not_run_is_said():
    async with overview() as browser:
        await connected(browser.web.made)
        await browser.web.made.upkeep.leave("worker", "one")
        assert "No worker is alive" in (await browser.open("/")).text
        await browser.web.made.upkeep.leave("ingest", "one")
        assert "No ingest and no worker is alive" in (await browser.open("/")).text


async def test_what_nobody_can_account_for_is_said_loudly():
    async with overview() as browser:
        await connected(browser.web.made)
        await browser.web.made.server.command("HINCRBY", "ik:ledger", "created", 3)
        page = await browser.open("/")
        assert "3 things nobody can account for" in page.text
        assert "3 unaccounted" in page.text


async def test_lanes_that_wait_for_their_turn_are_listed_the_longest_first():
    async with overview() as browser:
        made = browser.web.made
        await connected(made)
        for number in range(1, 9):
            await append(made, f"ops/#lane{number}", number)
        page = await browser.open("/")
        assert "#lane8 8 #lane7 7" in page.text
        assert "and 2 lanes more" in page.text
        assert "Pending 36" in page.text


async def test_dead_letters_are_counted_by_their_reason():
    async with overview() as browser:
        made = browser.web.made
        await made.events.reject(made.stream.stream, made.stream.group, "7-1", {b"x": b"y"}, "no")
        assert "unreadable 1" in (await browser.open("/")).text


async def test_what_came_and_was_told_is_drawn():
    async with overview() as browser:
        made = browser.web.made
        await append(made, "ops/#a", 1)
        held = await made.lanes.acquire("ops/#a", "token")
        assert isinstance(held, Held)
        await made.lanes.take(held, ("c1", "c2"))
        await made.lanes.open_attempt(held)
        await made.lanes.release(held, outcome="delivered", code="")
        page = await browser.open("/")
        assert 'aria-label="Last hour: 0 events, 1 message; at most 1 in a minute"' in page.html
        assert page.html.count('<rect class="messages"') == 2


def test_both_bars_of_a_chart_share_a_scale_and_what_is_there_is_seen():
    drawn = chart([Beat(0), Beat(60_000, events=1_000, posts=1, edits=1), Beat(120_000, posts=500)])
    assert (drawn.most, drawn.events, drawn.messages) == (1_000, 1_000, 502)
    first, second = drawn.bars
    assert (first.events_height, second.messages_height) == (HEIGHT, HEIGHT / 2)
    assert 0 < first.messages_height < 2
    assert first.x == WIDTH / 3
    assert second.x + 2 * second.width <= WIDTH


def test_a_chart_of_nothing_has_nothing():
    assert not chart([]).has_anything
    assert not chart([Beat(0)]).has_anything


def test_what_stands_in_back_ticks_can_be_copied_and_all_else_is_text():
    assert str(step("<b> `a & b` c")).startswith("&lt;b&gt; <span")
    assert 'data-copy="a &amp; b"' in step("<b> `a & b` c")
    assert str(step("one ` is none")) == "one ` is none"
    assert here("copy it, then run `ik-slack integrations rotate ops`.") == "copy it, then paste it here."
