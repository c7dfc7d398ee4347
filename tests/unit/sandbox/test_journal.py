"""Messages that outlive the sandbox."""

from pathlib import Path

from worker.sandbox.slack import SlackSandbox


def sandbox(path: Path) -> SlackSandbox:
    """A sandbox with a channel and a person, on a journal."""
    made = SlackSandbox(0, journal=path)
    workspace = made.add_workspace("Acme")
    workspace.add_channel("ops")
    workspace.add_user("ada@example.com")
    return made


def call(made: SlackSandbox, method: str, **args: str):
    """An answer without the wire."""
    (workspace,) = made.workspaces.values()
    answer = made.answer(method, args, workspace.token).body
    assert answer["ok"], answer
    return answer


def test_messages_are_there_again_as_they_last_were(tmp_path: Path):
    first = sandbox(tmp_path / "messages")
    posted = call(first, "chat.postMessage", channel="ops", text="before")
    gone = call(first, "chat.postMessage", channel="ops", text="gone")
    call(first, "chat.update", channel=posted["channel"], ts=posted["ts"], text="after")
    call(first, "chat.delete", channel=gone["channel"], ts=gone["ts"])
    again = sandbox(tmp_path / "messages")
    assert again.messages("ops") == first.messages("ops")
    call(again, "chat.update", channel=posted["channel"], ts=posted["ts"], text="later")
    assert again.messages("ops")[0]["text"] == "later"


def test_a_torn_last_line_costs_only_itself(tmp_path: Path):
    path = tmp_path / "messages"
    call(sandbox(path), "chat.postMessage", channel="ops", text="whole")
    with path.open("a") as file:
        file.write('{"channel": "C1", "ts"')
    assert [message["text"] for message in sandbox(path).messages("ops")] == ["whole"]


def test_reset_forgets_the_journal_too(tmp_path: Path):
    made = sandbox(tmp_path / "messages")
    call(made, "chat.postMessage", channel="ops", text="x")
    made.reset()
    assert sandbox(tmp_path / "messages").messages("ops") == []
