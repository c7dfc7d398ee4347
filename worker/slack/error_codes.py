"""Errors in Slack's answers: the table of error codes, with the decision, the reason and the hint of each.

To support another error code, add one row. `format_hint` fills in `{bot}` (the bot's name), `{channel}` (the
destination as the user wrote it) and `{integration}` (its name).
Sources: https://docs.slack.dev/reference/methods/chat.postMessage and the pages of the other methods used.
"""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase

from worker.domain import errors
from worker.domain.errors import Scope, Throttled, Transient, Uncertain, Undeliverable
from worker.domain.hints import ELSE_CORRECT_DESTINATION, NO_HINT, Action, Code, Hint, Step
from worker.domain.integration import REQUIRED_SCOPES
from worker.domain.mrkdwn import cut

#: Wait when Slack gives none: the value of Slack's own example, half of a rate limit's one-minute window.
RETRY_AFTER_DEFAULT_S = 30.0
ORG_WIDE_INSTALL = "org_wide_install"

_SCOPE = re.compile(r"[a-z][a-z:._-]*")


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the table."""

    code: str  #: Slack's error code, or a pattern with `*` for the other codes of a family.
    decision: type[errors.SlackError] | Scope  #: The class of the error; a scope stands for `Blocked` with that scope.
    reason: str  #: What happened: a sentence without its full stop.
    hint: Hint = NO_HINT  #: The step that fixes it, for codes that block a lane or an integration.


LANE, INTEGRATION = Scope

_INVITE_COMMAND = Code("/invite @{bot}")
_INVITE = Hint.of("Type ", _INVITE_COMMAND, " in {channel}.")
_ANOTHER = "or point the subscription at another channel."
_ELSEWHERE = Hint.of(f"Let @{{bot}} post in {{channel}}, {_ANOTHER}")
_UNARCHIVE = Hint.of("Unarchive {channel} and type ", _INVITE_COMMAND, f" in it, {_ANOTHER}")
_CORRECT = Hint.of("Correct the subscription's destination.")
_ADMIN = Hint.of("Ask an administrator of the workspace to allow it; posting then resumes automatically.")
_OAUTH = "In the Slack app's OAuth & Permissions"
_ROTATE = Step(Action.ROTATE_TOKEN, "{integration}")


def _get_token(button: str) -> Hint:
    return Hint.of(f"{_OAUTH}, click {button}, copy the xoxb- token, then ", _ROTATE, ".")


_REINSTALL = _get_token("Reinstall to Workspace")
_INSTALL = _get_token("Install to Workspace")

# fmt: off
ERROR_CODES = (
    # Too many calls.
    ErrorCode("ratelimited", Throttled, "Too many calls"),
    ErrorCode("rate_limited", Throttled, "Too many messages"),
    # Certainly not posted; a later attempt can succeed.
    ErrorCode("service_unavailable", Transient, "Slack is not available at the moment"),
    ErrorCode("request_timeout", Transient, "Slack received only part of the request"),
    ErrorCode("team_added_to_org", Transient, "Slack is moving the workspace into an organisation"),
    ErrorCode("message_limit_exceeded", Transient, "The workspace has used up its messages for now"),
    ErrorCode("external_channel_migrating", Transient, "Slack is moving {channel} to another workspace"),
    ErrorCode("update_failed", Transient, "Slack could not edit the message"),
    ErrorCode("invalid_cursor", Transient, "The channel list changed while it was read"),
    # "It's possible some aspect of the operation succeeded before the error was raised."
    *(ErrorCode(code, Uncertain, "Slack had an internal error") for code in ("internal_error", "fatal_error")),
    # Action required, for one destination.
    ErrorCode("not_in_channel", LANE, "@{bot} is not a member of {channel}", _INVITE),
    ErrorCode("channel_not_found", LANE,
        "@{bot} cannot see {channel}: it is private without the bot, was deleted, or is a typo",
        Hint.of("If the channel is private, type ", _INVITE_COMMAND, " in it.", ELSE_CORRECT_DESTINATION)),
    ErrorCode("is_archived", LANE, "{channel} is archived", _UNARCHIVE),
    ErrorCode("is_inactive", LANE, "{channel} is frozen or archived", _UNARCHIVE),
    ErrorCode("channel_is_limited_access", LANE, "Access to {channel} is limited", _INVITE),
    ErrorCode("restricted_action", LANE, "A workspace setting keeps @{bot} from posting in {channel}", _ELSEWHERE),
    ErrorCode("restricted_action_read_only_channel", LANE, "{channel} is read-only", _ELSEWHERE),
    ErrorCode("restricted_action_thread_only_channel", LANE, "{channel} accepts only replies", _ELSEWHERE),
    ErrorCode("restricted_action_non_threadable_channel", LANE, "{channel} accepts no replies", _ELSEWHERE),
    ErrorCode("restricted_action_thread_locked", LANE, "The thread in {channel} is locked", _ELSEWHERE),
    ErrorCode("restricted_action_*", LANE, "A restriction keeps @{bot} from posting in {channel}", _ELSEWHERE),
    ErrorCode("cannot_reply_to_message", LANE, "The message in {channel} accepts no replies", _ELSEWHERE),
    ErrorCode("posting_to_channel_denied", LANE, "@{bot} is not allowed to post in {channel}", _ELSEWHERE),
    ErrorCode("cant_broadcast_message", LANE, "{channel} does not show replies of @{bot} outside their thread",
        Hint.of("Let @{bot} do so in {channel}, or remove --broadcast from the subscription.")),
    ErrorCode("slack_connect_*_blocked", LANE,
        "{channel} is shared with another company, and one of the two companies blocks this message", _ADMIN),
    ErrorCode("team_not_found", LANE, "Slack does not know which workspace {channel} belongs to",
        Hint.of("Write the channel's id (it starts with C) as the subscription's destination.")),
    # A search by address does not find deactivated users.
    ErrorCode("users_not_found", LANE, "No active member of the workspace has the address {channel}",
        Hint.of("Correct the subscription's destination, invite this person to the workspace, or activate the "
            "deactivated account again.")),
    ErrorCode("user_not_found", LANE, "The workspace has no user {channel}", _CORRECT),
    ErrorCode("user_not_visible", LANE, "@{bot} is not allowed to see the user {channel}", _CORRECT),
    ErrorCode("user_disabled", LANE, "The account of {channel} is deactivated",
        Hint.of("Activate the account again, or point the subscription at someone else.")),
    ErrorCode("cannot_dm_bot", LANE, "{channel} is a bot, and bots accept no direct messages", _CORRECT),
    # The code is about the app, but blocks direct messages only: posts to channels still work.
    ErrorCode("messages_tab_disabled", LANE, "The Slack app accepts no direct messages",
        Hint.of("In the Slack app's settings, go to App Home and switch on the Messages Tab.")),
    # Action required, for everything the token is used for.
    ErrorCode("not_authed", INTEGRATION, "{integration} has no token", _REINSTALL),
    ErrorCode("invalid_auth", INTEGRATION,
        "Slack does not accept the token of {integration}: it is mistyped, or its app is not installed",
        _INSTALL + Hint.of("Or allow this worker's IP.")),
    ErrorCode("token_revoked", INTEGRATION, "The token of {integration} was revoked", _REINSTALL),
    ErrorCode("token_expired", INTEGRATION, "The token of {integration} has expired",
        _REINSTALL + Hint.of("Tokens of apps with token rotation expire: use an app without it.")),
    ErrorCode("account_inactive", INTEGRATION,
        "The app of {integration} was removed from the workspace, or the workspace was deleted", _INSTALL),
    ErrorCode("missing_scope", INTEGRATION, "The token of {integration} was not granted {needed}",
        Hint.of(f"{_OAUTH}, add {{needed}} under Bot Token Scopes, then click Reinstall to Workspace. "
            "If that gives a new token, ", _ROTATE, ".")),
    ErrorCode("no_permission", INTEGRATION, "The token of {integration} is not allowed to make this call",
        Hint.of("Check that @{bot} is a member of the channel.") + _REINSTALL),
    ErrorCode("not_allowed_token_type", INTEGRATION, "The token of {integration} is not a bot token", _REINSTALL),
    ErrorCode("is_bot", INTEGRATION, "The token of {integration} belongs to a legacy bot", _REINSTALL),
    ErrorCode("access_denied", INTEGRATION, "The workspace denies the app of {integration} access", _ADMIN),
    ErrorCode("accesslimited", INTEGRATION, "The workspace denies access from this worker's network", _ADMIN),
    ErrorCode("app_access_restricted", INTEGRATION, "The workspace restricts the app of {integration}", _ADMIN),
    ErrorCode("team_access_not_granted", INTEGRATION, "The workspace has not granted access to {integration}", _ADMIN),
    ErrorCode("org_login_required", INTEGRATION, "The workspace is being moved into an organisation", _ADMIN),
    ErrorCode("two_factor_setup_required", INTEGRATION, "The workspace demands two-factor sign-in", _ADMIN),
    ErrorCode("ekm_access_denied", INTEGRATION, "The workspace's administrators have suspended posting", _ADMIN),
    ErrorCode("enterprise_is_restricted", INTEGRATION, "The organisation does not allow this call", _ADMIN),
    ErrorCode("metadata_must_be_sent_from_app", INTEGRATION,
        "The token of {integration} does not belong to an app", _REINSTALL),
    # The program's own code, for an answer of `auth.test`: such a token names channels of no workspace by itself.
    # https://api.slack.com/enterprise/apps/changes-apis
    ErrorCode(ORG_WIDE_INSTALL, INTEGRATION,
        "The token of {integration} is for a whole organisation, not for one workspace",
        Hint.of("Create the app in one workspace (for its manifest, ", Step(Action.SHOW_MANIFEST),
            "), install it there, copy the xoxb- token, then ", _ROTATE, ".")),
    # The message itself is invalid.
    ErrorCode("no_text", Undeliverable, "The message is empty"),
    ErrorCode("msg_too_long", Undeliverable, "The message is too long"),
    *(ErrorCode(code, Undeliverable, "The message is too large") for code in ("msg_too_large", "http_413")),
    ErrorCode("msg_blocks_too_long", Undeliverable, "The message's blocks are too long"),
    ErrorCode("too_many_attachments", Undeliverable, "The message has too many attachments"),
    ErrorCode("attachment_payload_limit_exceeded", Undeliverable, "The message's attachments are too large"),
    ErrorCode("too_many_contact_cards", Undeliverable, "The message has too many contact cards"),
    ErrorCode("invalid_thread_ts", Undeliverable, "The message to reply to has an impossible timestamp"),
    # The message to edit or delete cannot be edited or deleted.
    ErrorCode("message_not_found", Undeliverable, "The message to edit no longer exists"),
    ErrorCode("thread_not_found", Undeliverable, "The message to reply to no longer exists"),
    ErrorCode("cant_update_message", Undeliverable, "The message to edit was not posted by this bot"),
    *(ErrorCode(code, Undeliverable, "The bot is not allowed to delete the message") for code in (
        "cant_delete_message", "compliance_exports_prevent_deletion",
    )),
    ErrorCode("edit_window_closed", Undeliverable, "The workspace does not allow edits this late"),
    ErrorCode("streaming_state_conflict", Undeliverable, "The message to edit is still being written"),
    *(ErrorCode(code, Undeliverable, "Slack rejected the structure of the message") for code in (
        "invalid_blocks", "invalid_blocks_format", "invalid_attachments", "only_one_table_allowed",
        "invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "markdown_text_conflict",
        "missing_file_data", "block_mismatch", "no_dual_broadcast_content_update",
    )),
    # The call itself is wrong: a bug of our code, which a repeat does not fix.
    *(ErrorCode(code, Undeliverable, "Slack did not understand the call: a bug in infrakitchen-slack") for code in (
        "invalid_arguments", "invalid_arg_name", "invalid_array_arg", "invalid_charset", "invalid_form_data",
        "invalid_post_type", "missing_post_type", "missing_argument", "invalid_json", "json_not_object",
        "invalid_limit", "invalid_types", "method_not_supported_for_channel_type", "unknown_method",
        "method_deprecated", "deprecated_endpoint", "as_user_not_supported", "send_on_behalf_not_allowed",
        "draft_*", "duplicate_*", "upgrade_required", "too_many_users",
        # Codes of messages with files: none is sent with one.
        "file_*", "*_file_type", "max_file_sharing_exceeded", "unable_to_share_files",
    )),
)

#: The same code for a user id: https://docs.slack.dev/reference/methods/chat.postMessage
_USER_NOT_REACHABLE = ErrorCode("channel_not_found", LANE, "@{bot} can send no direct messages to {channel}",
    Hint.of("Check that {channel} is an active member of this workspace, or correct the subscription's destination."))
# fmt: on


def find_error_code(code: str) -> ErrorCode | None:
    """Return the first row that matches a code: a family's row is behind those of its codes."""
    return next((row for row in ERROR_CODES if fnmatchcase(code, row.code)), None)


def error_from_code(
    code: str, *,
    needed: str = "", provided: str = "", detail: str = "", retry_after_s: float | None = None, to_user: bool = False,
) -> errors.SlackError:  # fmt: skip
    """Return the error to raise for one of Slack's error codes; `Unlisted` for a code without a row.

    `needed` and `provided` are the scopes in an answer of `missing_scope`, `detail` is Slack's remark on the message,
    `retry_after_s` the wait Slack asks for. `to_user` means that the rejected post was a direct message.
    """
    row = _USER_NOT_REACHABLE if to_user and code == _USER_NOT_REACHABLE.code else find_error_code(code)
    if row is None:
        return errors.UnlistedCode(code, f"Slack answered with an unknown error code, {code!r}")
    if isinstance(row.decision, Scope):
        scopes = _missing_scopes(needed, provided)
        hint = row.hint.map(lambda text: text.replace("{needed}", scopes))
        return errors.Blocked(code, row.reason.replace("{needed}", scopes), hint, row.decision)
    if row.decision is Throttled:
        return Throttled(RETRY_AFTER_DEFAULT_S if retry_after_s is None else retry_after_s, code)
    if row.decision is Undeliverable:
        return Undeliverable(code, row.reason, detail)
    return row.decision(code, row.reason)


def _missing_scopes(needed: str, provided: str) -> str:
    """Return the scopes still to be granted, for a sentence.

    Slack joins both lists by commas. Some methods name the scopes of all their uses, and some calls the old name of a
    scope (`chat:write:bot`). If one of the five required scopes is among them, only required scopes are named.
    """
    granted = set(re.findall(_SCOPE, provided))
    missing = [scope for scope in re.findall(_SCOPE, needed) if scope not in granted]
    required = [name for name in REQUIRED_SCOPES if any(f"{scope}:".startswith(f"{name}:") for scope in missing)]
    return " and ".join(required or missing) or "one of the five scopes"


def error_from_answer(
    status: int, headers: Mapping[str, str], body: object, *, to_user: bool = False
) -> errors.SlackError:
    """Return the error an answer stands for: by the code in its JSON, or without one by its HTTP status."""
    code = text_at(body, "error")
    if status == 429:
        return error_from_code("ratelimited", retry_after_s=_retry_after_s(headers))
    if status >= 500 and find_error_code(code) is None:
        return Uncertain(f"http_{status}", f"Slack failed (HTTP {status})")
    if re.fullmatch(r"[a-z][a-z0-9_.]{0,79}", code):
        return error_from_code(
            code,
            needed=text_at(body, "needed") or headers.get("x-accepted-oauth-scopes", ""),
            provided=text_at(body, "provided") or headers.get("x-oauth-scopes", ""),
            detail=_detail(body),
            retry_after_s=_retry_after_s(headers),
            to_user=to_user,
        )
    if status < 300:
        return unreadable_answer()
    if find_error_code(f"http_{status}"):
        return error_from_code(f"http_{status}")
    reason = f"A proxy answered instead of Slack (HTTP {status}); check the proxy and SLACK_API_URL"
    return Transient(f"http_{status}", reason)


def unreadable_answer() -> Uncertain:
    """Return the error for an answer that does not show what Slack did."""
    return Uncertain("unreadable_answer", "Slack was asked and its answer cannot be read")


def text_at(body: object, *path: str) -> str:
    """Return the text at a path in an answer; empty if it is missing or of another type."""
    for key in path:
        body = body.get(key) if isinstance(body, Mapping) else None
    return body if isinstance(body, str) else ""


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Return the wait in `Retry-After`: https://docs.slack.dev/apis/web-api/rate-limits.

    Slack gives seconds; a proxy in between may give a date, https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    asked = headers.get("Retry-After", "")
    try:
        wait_s = float(asked)
    except ValueError:
        wait_s = math.nan
        with suppress(ValueError, TypeError):  # the clock is that of the answer
            wait_s = (parsedate_to_datetime(asked) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    return RETRY_AFTER_DEFAULT_S if math.isnan(wait_s) else wait_s


def _detail(body: object) -> str:
    """Return Slack's remarks on the message, such as the place of an error in its blocks."""
    metadata = body.get("response_metadata") if isinstance(body, Mapping) else None
    messages = metadata.get("messages") if isinstance(metadata, Mapping) else None
    if not isinstance(messages, list):
        return ""
    return cut("; ".join(str(message).removeprefix("[ERROR] ") for message in messages[:5]), 500)
