"""The edge of the Data API: counts a request, checks who asks, lets faults strike, and turns the answer into HTTP."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from thumbrank_core.simulator import api_errors
from thumbrank_core.simulator.api_errors import ApiError
from thumbrank_core.simulator.connections import Dropped
from thumbrank_core.simulator.fields import Selection, compile_fields
from thumbrank_core.simulator.methods import METHODS, Method
from thumbrank_core.simulator.parameters import check_parameters
from thumbrank_core.simulator.quota import Bucket
from thumbrank_core.simulator.rendering import GZIP_ABOVE, compressed, encode, render
from thumbrank_core.simulator.reporting_access import owner_of
from thumbrank_core.simulator.requests import Query
from thumbrank_core.simulator.schemas import SCHEMAS
from thumbrank_core.simulator.simulation import Simulation

INVALID_KEY = "invalid"
"""The key that Google does not know."""
DISABLED_KEY = "disabled"
"""The key of a project that has not enabled the Data API. Any other key is accepted."""

_EXHAUSTED: dict[Bucket, Callable[[], ApiError]] = {
    "search": partial(api_errors.too_many, "Search Queries", "day"),
    "stats_batch": partial(api_errors.too_many, "Batch Get Stats Queries", "day"),
    "default": api_errors.quota_exceeded,
}
_REFUSALS: dict[str | None, Callable[[], ApiError]] = {
    "burst_429": partial(api_errors.too_many, "Queries", "minute"),
    "throttle_403": api_errors.user_rate_limit,
    "http_500": api_errors.internal_error,
    "http_503": api_errors.backend_error,
}
_HTML_ERROR = (
    "<!DOCTYPE html><html lang=en><title>Error 502 (Server Error)!!1</title><p><b>502.</b> <ins>That's an error.</ins>"
    "<p>The server encountered a temporary error and could not complete your request.<p>Please try again in 30 seconds."
)


def data_api_routes(simulation: Simulation) -> list[Route]:
    """A route for each method."""
    return [
        Route(f"/youtube/v3/{method.path}", Endpoint(simulation, method).answer, methods=["GET", "POST"])
        for method in METHODS
    ]


class Endpoint:
    """One method as a route."""

    def __init__(self, simulation: Simulation, method: Method) -> None:
        self._simulation = simulation
        self._method = method

    async def answer(self, request: Request) -> Response:
        """The answer to a request, or what befalls it instead."""
        simulation, method = self._simulation, self._method
        # A request costs its unit when it arrives, whatever becomes of it.
        within_quota = simulation.quota.charge(method.bucket, simulation.clock.now)
        number = simulation.requests
        simulation.requests += 1
        gzip = "gzip" in request.headers.get("accept-encoding", "")
        try:
            query = self._identified(request, await _query(request, number))
            if not within_quota:
                raise _EXHAUSTED[method.bucket]()
            fault = simulation.faults.of_request(number)
            if fault in _REFUSALS:
                raise _REFUSALS[fault]()
            if fault == "slow":
                await asyncio.sleep(simulation.behaviour.slow_seconds)
            elif fault == "dropped":
                return Dropped(simulation.connections)
            elif fault == "html_error":
                return Response(_HTML_ERROR, 502, media_type="text/html; charset=UTF-8")
            body, etag = self.contents(query)
        except ApiError as error:
            return _json(encode(error.body()), gzip, error.code)
        if fault == "truncated_json":
            return _json(body[: 2 * len(body) // 3], gzip)
        simulation.served[method.name] += 1
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"etag": f'"{etag}"'})
        return _json(body, gzip, etag=etag)

    def _identified(self, request: Request, query: Query) -> Query:
        """The request with whose it is: an owner's token, or any key that is not refused."""
        authorization = request.headers.get("authorization")
        if authorization is None:
            _check_key(request, query)
            return query
        simulation = self._simulation
        return replace(query, owner=owner_of(simulation.live.world, authorization, simulation.grants).id)

    def contents(self, query: Query) -> tuple[bytes, str]:
        """The JSON and its etag; ApiError where the request is not one that the method answers."""
        check_parameters(self._method.name, query)
        fields = query.get("fields")
        if fields is not None:
            query = replace(query, selection=_selection(self._method.name, fields))
        return render(self._method.answer(self._simulation, query), query.selection)


@lru_cache(maxsize=256)
def _selection(method: str, text: str) -> Selection:
    """What `fields` says; a collector sends the same one all the time."""
    return compile_fields(text, SCHEMAS[method])


def _check_key(request: Request, query: Query) -> None:
    key = query.get("key") or request.headers.get("x-goog-api-key")
    if not key:
        raise api_errors.no_key()
    if key == INVALID_KEY:
        raise api_errors.bad_key()
    if key == DISABLED_KEY:
        raise api_errors.service_disabled()


async def _query(request: Request, number: int) -> Query:
    """The parameters from the address or, where that would be too long, from a form."""
    values = parse_qs(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if request.method == "POST":
        if request.headers.get("x-http-method-override", "").upper() != "GET":
            raise api_errors.method_not_allowed()
        for name, more in parse_qs((await request.body()).decode("latin-1"), keep_blank_values=True).items():
            values.setdefault(name, []).extend(more)
    return Query(values, host=f"http://{request.headers.get('host', '127.0.0.1')}", number=number)


def _json(body: bytes, gzip: bool, status: int = 200, etag: str | None = None) -> Response:
    headers = {"vary": "Accept-Encoding"}
    if etag is not None:
        headers["etag"] = f'"{etag}"'
    if gzip and len(body) > GZIP_ABOVE:
        body = compressed(body)
        headers["content-encoding"] = "gzip"
    return Response(body, status, headers, media_type="application/json; charset=UTF-8")
