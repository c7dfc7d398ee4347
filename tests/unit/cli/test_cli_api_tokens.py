"""`ik-slack api-tokens`: shown once, listed by name, revoked at once."""

from cli_shell import Shell


def test_a_token_is_printed_once_and_listed_by_name_alone(shell: Shell) -> None:
    made = shell("api-tokens", "add", "alertmanager")
    assert made.code == 0
    token = made.out.strip()
    assert token.startswith("iks_")
    listed = shell("api-tokens", "list", "--json")
    assert [one["name"] for one in listed.json] == ["alertmanager"]
    assert token not in listed.out + shell("api-tokens", "list").out


def test_a_name_is_taken_until_it_is_revoked(shell: Shell) -> None:
    assert shell("api-tokens", "add", "one", "--json").json["name"] == "one"
    again = shell("api-tokens", "add", "one")
    assert (again.code, again.out) == (1, "")
    assert "ik-slack api-tokens revoke one" in again.err
    assert shell("api-tokens", "revoke", "one").out == "Revoked one.\n"
    assert shell("api-tokens", "revoke", "one").code == 1
    assert shell("api-tokens", "add", "one").code == 0


def test_a_name_is_something_to_read(shell: Shell) -> None:
    assert shell("api-tokens", "add", "a\nb").code == 2


def test_no_token_yet_says_how_to_make_one(shell: Shell) -> None:
    assert "ik-slack api-tokens add NAME" in shell("api-tokens", "list").out
