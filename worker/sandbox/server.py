"""The sandbox's addresses: the Web API, its own controls, and the page that shows its messages."""

from typing import TYPE_CHECKING

from aiohttp import web

from worker.sandbox import control, page, wire
from worker.sandbox.calls import Answer, Refused
from worker.sandbox.methods import METHODS
from worker.sandbox.state import Json

if TYPE_CHECKING:
    from worker.sandbox.slack import SlackSandbox

BODY_LIMIT = 8 * 1024 * 1024


def application(sandbox: "SlackSandbox") -> web.Application:
    """Everything the sandbox serves."""

    async def call(request: web.Request) -> web.Response:
        return await serve_call(sandbox, request)

    served = web.Application(client_max_size=BODY_LIMIT)
    served.router.add_route("*", "/api/{method}", call)
    served.add_routes(control.routes(sandbox))
    served.add_routes(page.routes(sandbox))
    return served


async def serve_call(sandbox: "SlackSandbox", request: web.Request) -> web.Response:
    """One call of the Web API, with the fault it may meet."""
    name = request.match_info["method"]
    method = METHODS.get(name)
    token = warning = ""
    args: Json = {}
    answer: Answer | None = None
    try:
        args, token, warning = await wire.read_arguments(request, method is not None and method.reads)
    except Refused as refused:
        answer = Answer(refused.answer)
    channel = str(args.get("channel", ""))
    fault = sandbox.next_fault(name, channel)
    if answer is None:
        answer = sandbox.answer(name, args, token) if fault is None or fault.stored else Answer({})
    sandbox.record(name, channel, fault.name if fault else answer.body.get("error", "ok"))
    if warning:
        answer.warn(warning)
    await wire.pause(sandbox.latency_s, sandbox.closing)
    response = wire.told(answer)
    return await wire.spoil(request, response, fault, sandbox.closing) if fault else response
