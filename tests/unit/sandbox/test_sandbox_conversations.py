"""Channels and people that the bot may see."""

from support.people import get_user


async def pages(slack, **args):
    """Return all pages of conversations.list."""
    cursor, found = "", []
    while True:
        answer = await slack("conversations.list", cursor=cursor, **args)
        found.append([channel["name"] for channel in answer["channels"]])
        cursor = answer["response_metadata"]["next_cursor"]
        if not cursor:
            return found
        assert cursor.endswith("=")


async def test_pages_end_with_an_empty_cursor_and_list_every_channel_once(slack):
    for number in range(24):
        slack.workspace.add_channel(f"team-{number}", member=number % 2 == 0)
    found = await pages(slack, limit="10")
    assert [len(page) for page in found] == [10, 10, 5]
    assert len({name for page in found for name in page}) == 25


async def test_a_page_may_be_shorter_before_the_last_one(slack):
    for number in range(9):
        slack.workspace.add_channel(f"team-{number}", archived=number < 6)
    assert [len(page) for page in await pages(slack, limit="5", exclude_archived="true")] == [1, 3]


async def test_a_page_may_be_shorter_than_requested(slack):
    for number in range(4):
        slack.workspace.add_channel(f"team-{number}")
    slack.workspace.page_limit = 3
    assert [len(page) for page in await pages(slack, limit="999")] == [3, 2]


async def test_private_channels_are_listed_only_when_asked_for_and_joined(slack):
    slack.workspace.add_channel("inner", private=True)
    slack.workspace.add_channel("secret", private=True, member=False)
    assert await pages(slack) == [["ops"]]
    assert await pages(slack, types="public_channel,private_channel") == [["ops", "inner"]]


async def test_invalid_arguments_are_rejected(slack):
    expected = {
        ("limit", "1001"): "invalid_limit",
        ("limit", "many"): "invalid_arguments",
        ("types", "forum"): "invalid_types",
        ("cursor", "bm9uZQ=="): "invalid_cursor",
        ("types", "im"): "missing_scope",
    }
    got = {pair: (await slack("conversations.list", **dict([pair])))["error"] for pair in expected}
    assert got == expected


async def test_memberships_are_listed_without_the_field_is_member(slack):
    slack.workspace.add_channel("other", member=False)
    answer = await slack("users.conversations", limit="1")
    assert [channel["name"] for channel in answer["channels"]] == ["ops"]
    assert answer["response_metadata"]["next_cursor"] == ""
    assert "is_member" not in answer["channels"][0]


async def test_one_conversation_is_shown_by_id_only(slack):
    channel = slack.workspace.add_channel("inner", private=True)
    answer = await slack("conversations.info", channel=channel.id)
    assert (answer["channel"]["is_private"], answer["channel"]["is_member"]) == (True, True)
    assert (await slack("conversations.info", channel="ops"))["error"] == "channel_not_found"
    slack.workspace.kick(channel)
    assert (await slack("conversations.info", channel=channel.id))["error"] == "channel_not_found"
    slack.workspace.delete("ops")
    assert await pages(slack) == [[]]


async def test_a_channel_made_private_keeps_its_id_and_is_listed_among_the_private_ones(slack):
    before = slack.workspace.get_channel("ops").id
    slack.workspace.get_channel("ops").private = True
    assert await pages(slack) == [[]]
    assert await pages(slack, types="private_channel") == [["ops"]]
    shown = (await slack("conversations.info", channel=before))["channel"]
    assert (shown["is_private"], shown["is_member"]) == (True, True)
    assert (await slack.post(before))["ok"]


async def test_a_channel_made_private_without_the_bot_is_hidden_from_it(slack):
    hidden = slack.workspace.add_channel("hidden", member=False).id
    slack.workspace.get_channel("hidden").private = True
    assert (await slack("conversations.info", channel=hidden))["error"] == "channel_not_found"
    assert (await slack.post(hidden))["error"] == "channel_not_found"


async def test_a_new_channel_with_the_name_of_a_deleted_one_has_another_id(slack):
    before = slack.workspace.get_channel("ops").id
    slack.workspace.delete("ops")
    assert slack.workspace.add_channel("ops").id != before


async def test_a_deactivated_person_is_found_again_once_reactivated(slack):
    user = slack.workspace.add_user("ada@example.com")
    get_user(slack.workspace, "ada@example.com").deleted = True
    assert (await slack("users.lookupByEmail", email="ada@example.com"))["error"] == "users_not_found"
    assert (await slack("users.info", user=user.id))["user"]["deleted"] is True
    assert (await slack.post(user.id))["error"] == "user_disabled"
    get_user(slack.workspace, user).deleted = False
    assert (await slack("users.lookupByEmail", email="ada@example.com"))["user"]["id"] == user.id
    assert (await slack.post(user.id))["ok"]


async def test_people_are_found_by_email_unless_deactivated(slack):
    user = slack.workspace.add_user("Ada@Example.com")
    slack.workspace.add_user("gone@example.com", deleted=True)
    assert (await slack("users.lookupByEmail", email="ada@example.COM"))["user"]["id"] == user.id
    assert (await slack("users.lookupByEmail", email="gone@example.com"))["error"] == "users_not_found"
    assert (await slack("users.info", user=user.id))["user"]["profile"]["email"] == "Ada@Example.com"
    token = slack.workspace.add_token(["users:read"])
    assert "email" not in (await slack("users.info", token=token, user=user.id))["user"]["profile"]
    assert (await slack("users.info", user="U404"))["error"] == "user_not_found"


async def test_conversations_list_has_a_rate_limit_per_workspace(slack):
    answers = [(await slack("conversations.list")) for _ in range(21)]
    assert [answer["ok"] for answer in answers] == [True] * 20 + [False]
    assert slack.responses[-1].status == 429
    other = slack.sandbox.add_workspace("Other")
    assert (await slack("conversations.list", token=other.token))["ok"]
    slack.sandbox.tiers = False
    assert (await slack("conversations.list"))["ok"]
