"""Slack's error codes: one row a code, with the class that decides what happens and the words for people.

A new error code is one row. `reason` is what happened, `hint` the step that frees it. The pipeline fills in
`{bot}` (the bot's name), `{channel}` (the destination as a person wrote it) and `{integration}` (its name).
Sources: https://docs.slack.dev/reference/methods/chat.postMessage and the pages of the other methods used.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from fnmatch import fnmatchcase

from worker.domain import errors
from worker.domain.integration import REQUIRED_SCOPES

RETRY_AFTER_DEFAULT_S = 30.0
"""The wait when Slack names none: the number in its own example, half of a rate limit's one-minute window."""

_SCOPE = re.compile(r"[a-z][a-z:._-]*")


class Decision(Enum):
    """What a code means for what waits: a class of `domain/errors.py`, Blocked in its two scopes."""

    THROTTLED = auto()
    TRANSIENT = auto()
    UNCERTAIN = auto()
    LANE = auto()
    INTEGRATION = auto()
    UNDELIVERABLE = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """One error code, or a `*` pattern of several."""

    code: str
    decision: Decision
    reason: str
    hint: str = ""


_THROTTLED, _TRANSIENT, _UNCERTAIN, _LANE, _INTEGRATION, _UNDELIVERABLE = Decision

_INVITE = "Type `/invite @{bot}` in {channel}."
_ELSEWHERE = "Let @{bot} post in {channel}, or point the subscription at another channel."
_UNARCHIVE = (
    "Unarchive {channel} and type `/invite @{bot}` in it, or point the subscription at another channel."
)
_CORRECT = "Correct the subscription's destination."
_ADMIN = "Ask an administrator of the workspace to allow it; posting then resumes by itself."
_OAUTH = "In the Slack app's settings, go to OAuth & Permissions"
_ROTATE = "`ik-slack integrations rotate {integration}`"
_REINSTALL = (
    f"{_OAUTH} and click Reinstall to Workspace, copy the Bot User OAuth Token (it starts with `xoxb-`), "
    f"then run {_ROTATE}."
)
_INSTALL = (
    f"{_OAUTH} and click Install to Workspace (Reinstall, where it was installed before), copy the Bot User "
    f"OAuth Token (it starts with `xoxb-`), then run {_ROTATE}."
)
_SHAPE = "Slack does not take the message as it is built"
_OURS = "Slack did not understand the call, which is a fault of this program"

# fmt: off
ROWS = (
    # Too fast.
    Row("ratelimited", _THROTTLED, "Too many calls"),
    Row("rate_limited", _THROTTLED, "Too many messages"),

    # Not posted for sure; time mends it.
    Row("service_unavailable", _TRANSIENT, "Slack is not available at the moment"),
    Row("request_timeout", _TRANSIENT, "Slack received only part of the request"),
    Row("team_added_to_org", _TRANSIENT, "Slack is moving the workspace into an organisation"),
    Row("message_limit_exceeded", _TRANSIENT, "The workspace has used up its messages for now"),
    Row("external_channel_migrating", _TRANSIENT, "Slack is moving {channel} to another workspace"),
    Row("update_failed", _TRANSIENT, "Slack could not edit the message"),
    Row("invalid_cursor", _TRANSIENT, "The channel list changed while it was read"),

    # "It's possible some aspect of the operation succeeded before the error was raised."
    Row("internal_error", _UNCERTAIN, "Slack had an error of its own"),
    Row("fatal_error", _UNCERTAIN, "Slack had an error of its own"),

    # A person must act, for one destination.
    Row("not_in_channel", _LANE, "@{bot} is not a member of {channel}", _INVITE),
    Row("channel_not_found", _LANE,
        "@{bot} sees no {channel}: a private channel it was not invited to, a deleted one, or a typo",
        "If {channel} is private, type `/invite @{bot}` in it. If it was deleted or is a typo, correct the "
        "subscription's destination."),
    Row("is_archived", _LANE, "{channel} is archived", _UNARCHIVE),
    Row("is_inactive", _LANE, "{channel} is frozen or archived", _UNARCHIVE),
    Row("channel_is_limited_access", _LANE, "Access to {channel} is limited", _INVITE),
    Row("restricted_action", _LANE, "A workspace setting keeps @{bot} from posting in {channel}", _ELSEWHERE),
    Row("restricted_action_read_only_channel", _LANE, "{channel} is read-only", _ELSEWHERE),
    Row("restricted_action_thread_only_channel", _LANE, "{channel} takes replies only", _ELSEWHERE),
    Row("restricted_action_non_threadable_channel", _LANE, "{channel} takes no replies", _ELSEWHERE),
    Row("restricted_action_thread_locked", _LANE, "The thread in {channel} is locked", _ELSEWHERE),
    Row("restricted_action_*", _LANE, "A restriction keeps @{bot} from posting in {channel}", _ELSEWHERE),
    Row("cannot_reply_to_message", _LANE, "The message in {channel} takes no replies", _ELSEWHERE),
    Row("slack_connect_*_blocked", _LANE,
        "{channel} is shared with another company, and one of the two blocks this", _ADMIN),
    Row("team_not_found", _LANE, "Slack cannot tell which workspace {channel} belongs to",
        "Write the channel's id (it starts with C) as the subscription's destination."),
    # Slack hides deactivated people from a search by address.
    Row("users_not_found", _LANE, "No active member of the workspace has the address {channel}",
        "Correct the subscription's destination, invite {channel} to the workspace, or activate the account "
        "again if it is deactivated."),
    Row("user_not_found", _LANE, "The workspace has no user {channel}", _CORRECT),
    Row("user_not_visible", _LANE, "@{bot} may not see the user {channel}", _CORRECT),
    Row("user_disabled", _LANE, "The account of {channel} is deactivated",
        "Activate the account again, or point the subscription at someone else."),
    Row("cannot_dm_bot", _LANE, "{channel} is a bot, which takes no direct messages", _CORRECT),
    # Slack's word is about the app, yet it stops direct messages only: channels go on.
    Row("messages_tab_disabled", _LANE, "The Slack app takes no direct messages",
        "In the Slack app's settings, go to App Home and switch on the Messages Tab."),

    # A person must act, for everything the token does.
    Row("not_authed", _INTEGRATION, "{integration} has no token", _REINSTALL),
    Row("invalid_auth", _INTEGRATION,
        "Slack does not accept the token of {integration}: it is mistyped, the app is not installed in the "
        "workspace, or this worker's network address is not allowed",
        f"{_INSTALL} If the token is right, add this worker's address to the app's allowed IP addresses, "
        "also under OAuth & Permissions."),
    Row("token_revoked", _INTEGRATION, "The token of {integration} was revoked", _REINSTALL),
    Row("token_expired", _INTEGRATION, "The token of {integration} has expired",
        f"{_REINSTALL} Tokens of apps with token rotation expire: use an app without it."),
    Row("account_inactive", _INTEGRATION,
        "The app of {integration} was removed from the workspace, or the workspace was deleted", _INSTALL),
    Row("missing_scope", _INTEGRATION, "The token of {integration} was not granted {needed}",
        f"{_OAUTH}, add {{needed}} under Bot Token Scopes, then click Reinstall to Workspace. "
        f"If that gives a new token, run {_ROTATE}."),
    Row("no_permission", _INTEGRATION, "The token of {integration} may not do this",
        "Check that the five scopes are under Bot Token Scopes and that @{bot} is a member of {channel}. "
        + _REINSTALL),
    Row("not_allowed_token_type", _INTEGRATION, "The token of {integration} is not a bot's", _REINSTALL),
    Row("is_bot", _INTEGRATION, "The token of {integration} is a legacy bot's", _REINSTALL),
    Row("access_denied", _INTEGRATION, "The workspace denies the app of {integration} access", _ADMIN),
    Row("accesslimited", _INTEGRATION, "The workspace denies access from this worker's network", _ADMIN),
    Row("app_access_restricted", _INTEGRATION, "The workspace restricts the app of {integration}", _ADMIN),
    Row("team_access_not_granted", _INTEGRATION, "The workspace was not opened to {integration}", _ADMIN),
    Row("org_login_required", _INTEGRATION, "The workspace is being moved into an organisation", _ADMIN),
    Row("two_factor_setup_required", _INTEGRATION, "The workspace demands two-factor sign-in", _ADMIN),
    Row("ekm_access_denied", _INTEGRATION, "The workspace's administrators have suspended posting", _ADMIN),
    Row("enterprise_is_restricted", _INTEGRATION, "The organisation does not allow this call", _ADMIN),
    Row("metadata_must_be_sent_from_app", _INTEGRATION, "The token of {integration} is no app's", _REINSTALL),

    # The message is at fault.
    Row("no_text", _UNDELIVERABLE, "The message is empty"),
    Row("msg_too_long", _UNDELIVERABLE, "The message is too long"),
    Row("msg_too_large", _UNDELIVERABLE, "The message is too large"),
    Row("msg_blocks_too_long", _UNDELIVERABLE, "The message's blocks are too long"),
    Row("invalid_blocks", _UNDELIVERABLE, _SHAPE),
    Row("invalid_blocks_format", _UNDELIVERABLE, _SHAPE),
    Row("invalid_attachments", _UNDELIVERABLE, _SHAPE),
    Row("only_one_table_allowed", _UNDELIVERABLE, _SHAPE),
    Row("too_many_attachments", _UNDELIVERABLE, "The message has too many attachments"),
    Row("attachment_payload_limit_exceeded", _UNDELIVERABLE, "The message's attachments are too large"),
    Row("too_many_contact_cards", _UNDELIVERABLE, "The message has too many contact cards"),
    Row("invalid_metadata_format", _UNDELIVERABLE, _SHAPE),
    Row("invalid_metadata_schema", _UNDELIVERABLE, _SHAPE),
    Row("metadata_too_large", _UNDELIVERABLE, _SHAPE),
    Row("markdown_text_conflict", _UNDELIVERABLE, _SHAPE),
    Row("invalid_thread_ts", _UNDELIVERABLE, "The message to reply to has an impossible timestamp"),
    Row("missing_file_data", _UNDELIVERABLE, _SHAPE),
    Row("http_413", _UNDELIVERABLE, "The message is too large"),
    # The message to edit or delete is at fault.
    Row("message_not_found", _UNDELIVERABLE, "The message to edit is gone"),
    Row("cant_update_message", _UNDELIVERABLE, "The message to edit is not this bot's"),
    Row("cant_delete_message", _UNDELIVERABLE, "The message to delete is not this bot's"),
    Row("edit_window_closed", _UNDELIVERABLE, "The workspace does not allow edits this late"),
    Row("streaming_state_conflict", _UNDELIVERABLE, "The message to edit is still being written"),
    Row("block_mismatch", _UNDELIVERABLE, _SHAPE),
    Row("no_dual_broadcast_content_update", _UNDELIVERABLE, _SHAPE),
    # The call is at fault: ours to mend, and not to repeat.
    Row("invalid_arguments", _UNDELIVERABLE, _OURS),
    Row("invalid_arg_name", _UNDELIVERABLE, _OURS),
    Row("invalid_array_arg", _UNDELIVERABLE, _OURS),
    Row("invalid_charset", _UNDELIVERABLE, _OURS),
    Row("invalid_form_data", _UNDELIVERABLE, _OURS),
    Row("invalid_post_type", _UNDELIVERABLE, _OURS),
    Row("missing_post_type", _UNDELIVERABLE, _OURS),
    Row("missing_argument", _UNDELIVERABLE, _OURS),
    Row("invalid_json", _UNDELIVERABLE, _OURS),
    Row("json_not_object", _UNDELIVERABLE, _OURS),
    Row("invalid_limit", _UNDELIVERABLE, _OURS),
    Row("invalid_types", _UNDELIVERABLE, _OURS),
    Row("method_not_supported_for_channel_type", _UNDELIVERABLE, _OURS),
    Row("unknown_method", _UNDELIVERABLE, _OURS),
    Row("method_deprecated", _UNDELIVERABLE, _OURS),
    Row("deprecated_endpoint", _UNDELIVERABLE, _OURS),
    Row("as_user_not_supported", _UNDELIVERABLE, _OURS),
    Row("send_on_behalf_not_allowed", _UNDELIVERABLE, _OURS),
    Row("draft_*", _UNDELIVERABLE, _OURS),
    Row("duplicate_*", _UNDELIVERABLE, _OURS),
)

_TO_A_PERSON = Row("channel_not_found", _LANE, "Slack lets @{bot} send no direct messages to {channel}",
    "Check that {channel} is an active member of this workspace, or correct the subscription's destination.")
"""The same code is said of people: https://docs.slack.dev/reference/methods/chat.postMessage"""
# fmt: on

_EXACT = {row.code: row for row in ROWS if "*" not in row.code}
_PATTERNS = tuple(row for row in ROWS if "*" in row.code)


def row(code: str) -> Row | None:
    """The row of a code; an exact one goes before a pattern."""
    return _EXACT.get(code) or next((row for row in _PATTERNS if fnmatchcase(code, row.code)), None)


def refusal(
    code: str,
    *,
    needed: str = "",
    provided: str = "",
    detail: str = "",
    retry_after_s: float | None = None,
    to_a_person: bool = False,
) -> errors.Refusal:
    """What an error code means, for the caller to raise; a code without a row is `Unlisted`.

    `needed` and `provided` are what `missing_scope` answers with, `detail` is what Slack says of the message,
    `retry_after_s` the wait Slack asks for; `to_a_person` when what was refused is a direct message.
    """
    found = _TO_A_PERSON if to_a_person and code == _TO_A_PERSON.code else row(code)
    if found is None:
        return errors.Unlisted(code, f"Slack answered {code!r}, which this program does not know")
    match found.decision:
        case Decision.THROTTLED:
            return errors.Throttled(RETRY_AFTER_DEFAULT_S if retry_after_s is None else retry_after_s, code)
        case Decision.TRANSIENT:
            return errors.Transient(code, found.reason)
        case Decision.UNCERTAIN:
            return errors.Uncertain(code, found.reason)
        case Decision.UNDELIVERABLE:
            return errors.Undeliverable(code, found.reason, detail)
    scopes = _scopes(needed, provided)
    scope = errors.Scope.LANE if found.decision is Decision.LANE else errors.Scope.INTEGRATION
    return errors.Blocked(
        code, found.reason.replace("{needed}", scopes), found.hint.replace("{needed}", scopes), scope
    )


def _scopes(needed: str, provided: str) -> str:
    """The scopes still to be granted, as people read them.

    Slack joins both lists by commas. Some methods name every scope that one of their uses takes, and some
    calls the name a scope had before (`chat:write:bot`): where any of the five is among them, that is it.
    """
    granted = set(re.findall(_SCOPE, provided))
    wanted = [scope for scope in re.findall(_SCOPE, needed) if scope not in granted]
    ours = [one for one in REQUIRED_SCOPES if any(f"{scope}:".startswith(f"{one}:") for scope in wanted)]
    return " and ".join(f"`{scope}`" for scope in ours or wanted) or "one of the five scopes"
