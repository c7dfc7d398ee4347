"""`/api/v1/integrations` and `/channels`: Slack app installations, their tokens, and what they see."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field, SecretStr

from worker.asking.choosing import every_integration, one_integration
from worker.asking.connecting import disabled, enabled, plain_tested, removed, rotated_to, tested
from worker.asking.rows import plain_channel, plain_integration
from worker.bootstrap import Services
from worker.domain.delivery import canonical_destination
from worker.domain.integration import Secret
from worker.pipeline.connect import add_integration
from worker.web.api.reading import LIMIT, After, Asked, Id, Limit, body_of, documented_body
from worker.web.api.shapes import (
    ChannelShape,
    Discarded,
    IntegrationShape,
    RotatedIntegration,
    Rows,
    TestedIntegration,
)
from worker.web.audit import about, audited
from worker.web.problems import ANY, Faulty, documented

CHANGED = documented(400, 404, 409, 413, 415, 422, 502, *ANY)
Line = Annotated[str, Field(max_length=500)]
Token = Annotated[SecretStr, Field(min_length=1, max_length=500)]


class Added(Asked):
    """A Slack app installation by its name, and the Bot User OAuth Token."""

    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^\S(.*\S)?$")]
    token: Token
    description: Line = ""
    labels: Annotated[tuple[Line, ...], Field(max_length=50)] = ()


class Rotated(Asked):
    """Another token; with `force` also one of another workspace."""

    token: Token
    force: bool = False


class Tried(Asked):
    """With `post` a short test message is posted there too."""

    post: str | None = None


def integrations(made: Services) -> APIRouter:
    """All that can be done with them."""
    router = audited("/integrations")
    _reads(router, made)
    _tokens(router, made)
    _switches(router, made)
    return router


def _reads(router: APIRouter, made: Services) -> None:
    @router.get("", response_model=Rows[IntegrationShape], responses=documented(*ANY))
    async def list_integrations() -> Any:
        """All of them by name, with their health; never a token."""
        return {"rows": [plain_integration(one) for one in await every_integration(made)]}

    @router.get("/{name}", response_model=IntegrationShape, responses=documented(404, 422, *ANY))
    async def show_integration(name: Id) -> Any:
        """One by its name or id."""
        return plain_integration(await one_integration(made, name))


def _tokens(router: APIRouter, made: Services) -> None:
    @router.post(
        "", status_code=201, response_model=IntegrationShape, responses=CHANGED, openapi_extra=_body(Added)
    )
    async def add_integration_(request: Request) -> Any:
        """Test a bot token, and save it sealed. A name that exists gets the new token."""
        asked = await body_of(request, Added)
        if not asked.name.isprintable():
            raise Faulty(422, "name: it has characters that cannot be printed.")
        made.vault.require()
        about(request, integration=asked.name)
        token = Secret(asked.token.get_secret_value().strip())
        saved = await add_integration(
            made.integrations, made.gateway, asked.name, token,
            description=asked.description, labels=asked.labels,
        )  # fmt: skip
        return plain_integration(saved)

    @router.post(
        "/{name}/rotate", response_model=RotatedIntegration, responses=CHANGED, openapi_extra=_body(Rotated)
    )
    async def rotate_integration(name: Id, request: Request) -> Any:
        """Give it another token, tested first; what waited for it goes on by itself."""
        asked = await body_of(request, Rotated)
        token = Secret(asked.token.get_secret_value().strip())
        rotated, said = await rotated_to(made, name, token, force=asked.force)
        return {**plain_integration(rotated), "warnings": said}

    @router.post(
        "/{name}/test", response_model=TestedIntegration, responses=CHANGED, openapi_extra=_body(Tried)
    )
    async def test_integration(name: Id, request: Request) -> Any:
        """From token to channels; a check that fails is no error of the request."""
        asked = await body_of(request, Tried)
        destination = canonical_destination(asked.post) if asked.post else None
        if asked.post and destination is None:
            raise Faulty(422, "post: it is none of #channel, a conversation id, an email or a user id.")
        return plain_tested(*await tested(made, await made.integrations.find(name), destination))


def _switches(router: APIRouter, made: Services) -> None:
    @router.post("/{name}/disable", response_model=IntegrationShape, responses=CHANGED)
    async def disable_integration(name: Id) -> Any:
        """Post nothing with it; what is for it waits."""
        await disabled(made, name)
        return plain_integration(await one_integration(made, name))

    @router.post("/{name}/enable", response_model=IntegrationShape, responses=CHANGED)
    async def enable_integration(name: Id) -> Any:
        """Post with it again, what waited first."""
        await enabled(made, name)
        return plain_integration(await one_integration(made, name))

    @router.delete("/{name}", responses=CHANGED)
    async def remove_integration(name: Id, with_subscriptions: bool = False) -> Discarded:
        """Forget it and its token; refused while subscriptions use it, unless they go with it."""
        _, lost = await removed(made, name, with_subscriptions=with_subscriptions)
        return Discarded(discarded=lost)


def channels(made: Services) -> APIRouter:
    """The directory as last read."""
    router = audited()

    @router.get("/channels", response_model=Rows[ChannelShape], responses=documented(404, 422, *ANY))
    async def list_channels(
        integration: str | None = None,
        member: Annotated[bool, Query(description="Only those the bot is a member of")] = False,
        after: After = None,
        limit: Limit = LIMIT,
    ) -> Any:
        """Of one integration or of all, by integration and name."""
        some = [await made.integrations.find(integration)] if integration else await made.integrations.all()
        known = [(each, channel) for each in some for channel in await made.directory.all(each.id)]
        named = sorted(
            ((f"{each.id}:{channel.name}:{channel.id}", each, channel) for each, channel in known),
            key=lambda one: one[0],
        )
        wanted = [one for one in named if one[0] > (after or "") and (one[2].is_member or not member)]
        rows = [plain_channel(each, channel) for _, each, channel in wanted[:limit]]
        return {"rows": rows, "next": wanted[limit - 1][0] if len(wanted) > limit else None}

    return router


def _body(model: type[Asked]) -> dict[str, Any]:
    return documented_body(model)
