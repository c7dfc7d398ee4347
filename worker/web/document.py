"""The OpenAPI document: problems stand in it as what they are; and what methods a path takes, as it says."""

import re
from typing import Any

from fastapi import FastAPI

from worker.web.problems import PROBLEM_JSON, ProblemDetails

_REF = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}


class Documented(FastAPI):
    """An application whose document says `application/problem+json` where it is true."""

    def openapi(self) -> dict[str, Any]:
        """Made once."""
        if self.openapi_schema is None:
            for path in super().openapi()["paths"].values():
                for operation in path.values():
                    for answer in operation["responses"].values():
                        _as_problem(answer)
        assert self.openapi_schema is not None  # noqa: S101  # what FastAPI has just made
        return self.openapi_schema

    def allowed(self, path: str) -> str:
        """The methods a path takes, for `Allow`; a router by itself names those of one route."""
        paths: dict[str, dict[str, Any]] = self.openapi()["paths"]
        found = [path] if path in paths else [one for one in paths if re.fullmatch(_pattern(one), path)]
        return ", ".join(sorted({method.upper() for one in found for method in paths[one]}))


def _as_problem(answer: dict[str, Any]) -> None:
    content = answer.get("content", {})
    if content.get("application/json", {}).get("schema") == _REF:
        answer["content"] = {PROBLEM_JSON: content["application/json"]}


def _pattern(template: str) -> str:
    """`/a/{id}` as an expression."""
    return "".join(
        "[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"({\w+})", template)
    )
