"""How does a request that fails answer?

With one JSON object ``{what, why, remedy}``, whatever failed, and never with what was sent, a stack trace or a secret.
"""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from market.errors import LockstepError
from serving.api.answers import ErrorAnswer
from serving.errors import ApiRefusalError

__all__ = ["answer_refusals", "described", "only", "refusal_response"]

_PAGE = "see /openapi.json, or docs/how-to/http-api.md"


def answer_refusals(app: FastAPI) -> None:
    """Let every failure of a request answer as JSON."""
    handlers: dict[Any, Callable[..., Any]] = {
        ApiRefusalError: _refused,
        RequestValidationError: _invalid,
        HTTPException: _not_found,
        LockstepError: _unavailable,
        SQLAlchemyError: _database_away,
        Exception: _unforeseen,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def refusal_response(status: int, *, what: str, why: str, remedy: str) -> JSONResponse:
    """The answer to a refused request."""
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}.get(status)
    return JSONResponse({"what": what, "why": why, "remedy": remedy}, status_code=status, headers=headers)


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI description: these statuses answer with ``ErrorAnswer``."""
    words = {
        400: "Asked under a host name that is not allowed",
        401: "No token, or a wrong one",
        403: "No token is configured, so nobody may change anything",
        409: "Not in this state",
        411: "A body without a length",
        413: "A body that is too long",
        422: "A parameter or body that is unknown, repeated or out of bounds",
        503: "Something it needs is away",
    }
    return {status: {"model": ErrorAnswer, "description": words[status]} for status in statuses}


def only(*names: str) -> Callable[[Request], None]:
    """A dependency that refuses query parameters of other names, and one given twice."""

    def check(request: Request) -> None:
        given = [name for name, _ in request.query_params.multi_items()]
        if unknown := sorted(set(given) - set(names)):
            raise ApiRefusalError(
                422,
                f"{len(unknown)} unknown query parameter(s)",
                why="one that is ignored in silence would not do what was asked",
                remedy=f"use only {', '.join(names)}" if names else "leave the query out",
            )
        if len(given) != len(set(given)):
            raise ApiRefusalError(
                422, "a query parameter given twice", why="only one can be meant", remedy="give each once"
            )

    return check


def _refused(_request: Request, error: ApiRefusalError) -> JSONResponse:
    return refusal_response(error.status, what=error.what, why=error.why, remedy=error.remedy)


def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    problems = [f"{_place(one['loc'])}: {one['msg']}" for one in error.errors()]
    return refusal_response(
        422,
        what="; ".join(problems)[:500],
        why="a request is done as it was meant, or not at all",
        remedy=f"correct it; {_PAGE}",
    )


def _place(where: Sequence[object]) -> str:
    """``query limit``; a name that the caller made up is not given back."""
    return " ".join(str(part) for part in where[:2]) if len(where) > 1 and where[0] != "body" else str(where[0])


def _not_found(request: Request, error: HTTPException) -> JSONResponse:
    known = {404: "there is no such path", 405: f"{request.method} is not for this path"}
    answer = refusal_response(
        error.status_code,
        what=known.get(error.status_code, "the request cannot be read"),
        why="nothing was done",
        remedy=_PAGE,
    )
    answer.headers.update(error.headers or {})
    return answer


def _unavailable(_request: Request, error: LockstepError) -> JSONResponse:
    return refusal_response(503, what=error.what, why=error.why, remedy=error.remedy)


def _database_away(_request: Request, _error: SQLAlchemyError) -> JSONResponse:
    return refusal_response(
        503,
        what="the database does not answer",
        why="everything is read from it, and nothing is told from memory",
        remedy="start PostgreSQL; lockstep doctor tells what is wrong",
    )


def _unforeseen(_request: Request, error: Exception) -> JSONResponse:
    return refusal_response(
        500,
        what=f"an error nobody foresaw ({type(error).__name__})",
        why="this request was not answered",
        remedy="read the log of lockstep api, and report it",
    )
