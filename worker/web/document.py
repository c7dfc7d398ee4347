"""The OpenAPI document: what a problem looks like is in it; and what methods a path takes, as it says."""

import re
from typing import Any

from fastapi import FastAPI

from worker.web.problems import ProblemDetails


class Documented(FastAPI):
    """An application whose document knows the shape that `documented` refers to."""

    def openapi(self) -> dict[str, Any]:
        """Made once."""
        if self.openapi_schema is None:
            schemas = super().openapi()["components"]["schemas"]
            schemas[ProblemDetails.__name__] = ProblemDetails.model_json_schema()
        assert self.openapi_schema is not None  # noqa: S101  # what FastAPI has just made
        return self.openapi_schema

    def allowed(self, path: str) -> str:
        """The methods a path takes, for `Allow`; a router by itself names those of one route."""
        paths: dict[str, dict[str, Any]] = self.openapi()["paths"]
        found = [path] if path in paths else [one for one in paths if re.fullmatch(_pattern(one), path)]
        return ", ".join(sorted({method.upper() for one in found for method in paths[one]}))


def _pattern(template: str) -> str:
    """`/a/{id}` as an expression."""
    return "".join(
        "[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"({\w+})", template)
    )
