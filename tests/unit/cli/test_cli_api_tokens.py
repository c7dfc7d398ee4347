"""`ik-slack api-tokens`: a token is shown once, listed by name and revoked immediately."""

from support.cli import Shell


def test_a_token_is_printed_once_and_listed_by_name_alone(shell: Shell) -> None:
    app = shell("api-tokens", "add", "alertmanager")
    assert app.code == 0
    token = app.out.strip()
    assert token.startswith("iks_")
    listed = shell("api-tokens", "list", "--json")
    assert [one["name"] for one in listed.json] == ["alertmanager"]
    assert token not in listed.out + shell("api-tokens", "list").out


def test_the_name_of_an_api_token_is_unique_until_it_is_revoked(shell: Shell) -> None:
    assert shell("api-tokens", "add", "one", "--json").json["name"] == "one"
    again = shell("api-tokens", "add", "one")
    assert (again.code, again.out) == (1, "")
    assert "ik-slack api-tokens revoke one" in again.err
    assert shell("api-tokens", "revoke", "one").out == "Revoked one.\n"
    assert shell("api-tokens", "revoke", "one").code == 1
    assert shell("api-tokens", "add", "one").code == 0


def test_the_name_of_an_api_token_is_printable(shell: Shell) -> None:
    assert shell("api-tokens", "add", "a\nb").code == 2


def test_an_empty_list_of_tokens_names_the_command_that_adds_one(shell: Shell) -> None:
    assert "ik-slack api-tokens add NAME" in shell("api-tokens", "list").out


def test_the_scope_of_a_token_is_shown(shell: Shell) -> None:
    app = shell("api-tokens", "add", "alertmanager", "--only", "webhooks", "--json").json
    assert set(app) == {"name", "token", "only"}
    assert shell("api-tokens", "add", "all", "--json").json["only"] is None
    assert [one["only"] for one in shell("api-tokens", "list", "--json").json] == ["webhooks", None]
    assert "webhooks" in shell("api-tokens", "list").out
    assert shell("api-tokens", "add", "wrong", "--only", "everything").code == 2
