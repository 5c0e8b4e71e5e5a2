"""What the OpenAPI schema says beyond what the views do."""

from __future__ import annotations

from typing import Any


def add_errors(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Every operation may answer with an error, always of the one shape."""
    error = {"$ref": "#/components/schemas/Error"}
    response = {
        "description": "What went wrong, and for whom it is to mend.",
        "content": {"application/json": {"schema": error}},
    }
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"].setdefault("default", response)
    return result
