"""A small service around one treatsel model: predict, recommend, describe the model, count requests.

Run: TREATSEL_MODEL=model.treatsel python app.py --port 8000

A prediction takes a fraction of a millisecond, so it runs in the event loop. More processes (`--workers`) use
more cores; each has its own counters. Of the values that were sent, a response repeats only the patient's id,
and the names of keys that are not in the codebook.
"""

import argparse
import asyncio
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.supervisors import Multiprocess

from treatsel import serve
from treatsel.errors import TreatselError
from treatsel.recommendation import DEFAULT_RULE, RULES

MAX_BYTES = 64 * 1024  # per request; a record is a few kilobytes
MAX_KEYS = 1000  # per record
SECONDS = 10.0  # within which the head, and then the body, of a request must arrive
ON_INVALID = ("flag", "raise")


class RefusedError(Exception):
    """A request that is rejected: HTTP status and reason."""

    def __init__(self, status: int, why: str) -> None:
        self.status, self.why = status, why


def make_app(model: serve.FittedModel, today: Callable[[], date] = date.today) -> FastAPI:
    """Return the application for a loaded model; `today` is compared with its review date."""
    app = FastAPI(title="treatsel", docs_url=None, redoc_url=None)
    counts: Counter[str] = Counter()

    @app.post("/predict")
    async def predict(request: Request, on_invalid: str = "flag") -> Response:
        """Return probabilities of all outcomes under all arms, with intervals, warnings and audit record."""
        return await answered(
            request,
            lambda record: model.predict(
                record, on_invalid=one_of("on_invalid", on_invalid, ON_INVALID), date=today()
            ),
        )

    @app.post("/recommend")
    async def recommend(request: Request, rule: str = DEFAULT_RULE, on_invalid: str = "flag") -> Response:
        """Return the arm that the rule gives, its status, best set and difference to the comparator.

        The default is the rule that was validated.
        """
        return await answered(
            request,
            lambda record: model.recommend(
                record,
                rule=one_of("rule", rule, RULES),
                on_invalid=one_of("on_invalid", on_invalid, ON_INVALID),
                date=today(),
            ),
        )

    @app.get("/model")
    def describe() -> dict[str, Any]:
        """Return a description of the model."""
        return {
            "model_id": model.model_id,
            "intended_use": model.intended_use and dict(model.intended_use),
            "outcomes": list(model.outcomes),
            "arms": list(model.arms),
            "covariates": {name: model.codebook[name].allowed for name in model.codebook.covariates},
        }

    @app.get("/metrics")
    def metrics() -> Response:
        """Return the counters in the Prometheus text format."""
        lines = [f"treatsel_{name} {value:g}" for name, value in sorted(counts.items())]
        return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")

    async def answered(request: Request, work: Callable[[dict[str, Any]], Any]) -> Response:
        start = time.perf_counter()
        counts["requests_total"] += 1
        try:
            result = work(await record_of(request)).to_dict()
        except RefusedError as refused:
            return refusal(refused.status, refused.why)
        except (
            TreatselError
        ) as error:  # the message names columns and allowed values, never a value of the patient
            return refusal(422, str(error), faults=[fault.to_dict() for fault in error.faults])
        for warning in result.get("warnings", ()):
            counts[f'warnings_total{{code="{warning["code"]}"}}'] += 1
        counts["seconds_total"] += time.perf_counter() - start
        return Response(json.dumps(result, allow_nan=False), media_type="application/json")

    def refusal(status: int, why: str, **details: Any) -> Response:
        counts[f'refused_total{{status="{status}"}}'] += 1
        # the rest of a body that was not read must not be taken for the next request
        headers = {"Connection": "close"} if status in (408, 413) else None
        return JSONResponse({"error": why, **details}, status_code=status, headers=headers)

    return app


async def record_of(request: Request) -> dict[str, Any]:
    """Return the record in a request's body: one JSON object, each key once, numbers finite."""
    body = await body_of(request)
    try:
        record = json.loads(body, parse_constant=_no_constant, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        raise RefusedError(400, "The body must be JSON with unique keys and finite numbers.") from None
    if not isinstance(record, dict):
        raise RefusedError(400, "The body must be a JSON object: covariates by name.")
    if len(record) > MAX_KEYS:
        raise RefusedError(422, f"The record has too many keys. It may have at most {MAX_KEYS:,}.")
    return record


async def body_of(request: Request) -> bytes:
    """Return a request's body, which must be complete within `SECONDS` and not exceed `MAX_BYTES`."""
    body = b""
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BYTES:
                    raise RefusedError(
                        413, f"The body is too large. A record has at most {MAX_BYTES:,} bytes."
                    )
    except TimeoutError:
        raise RefusedError(408, f"The body did not arrive within {SECONDS:g} seconds.") from None
    except ClientDisconnect:  # no one reads the response, but the counters show it
        raise RefusedError(499, "The client closed the connection.") from None
    return body


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """Return an option if it is allowed; otherwise reject it without repeating its value."""
    if value not in allowed:
        raise RefusedError(422, f"{name} must be {' or '.join(allowed)}.")
    return value


class TimedProtocol(AutoHTTPProtocol):
    """HTTP connections that are closed if the head of a request does not arrive in time.

    uvicorn limits only the time between a response and the first byte of the next request.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to watch a new connection."""
        super().connection_made(transport)
        self._seen = None
        self._watch()

    def _watch(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        cycle = self.cycle
        if cycle is self._seen and (cycle is None or cycle.response_complete):
            self.transport.close()
        else:
            self._seen = cycle
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        self._timer.cancel()
        super().connection_lost(exc)


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a key occurs twice")
    return record


def __getattr__(name: str) -> FastAPI:
    """Load the model when the server requests `app`, not when this file is imported."""
    if name != "app":
        raise AttributeError(name)
    return make_app(serve.load_model(os.environ["TREATSEL_MODEL"]))


def main() -> None:
    """Serve the model named by TREATSEL_MODEL."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    # IPPROTO_TCP stated: only then does asyncio disable Nagle's algorithm, which delays responses by 40 ms
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((args.host, args.port))
        listening.set_inheritable(True)
        config = uvicorn.Config("app:app", workers=args.workers, log_level="error", http=TimedProtocol)
        if args.workers == 1:
            uvicorn.Server(config).run(sockets=[listening])
        else:
            Multiprocess(config, sockets=[listening]).run()


if __name__ == "__main__":
    main()
