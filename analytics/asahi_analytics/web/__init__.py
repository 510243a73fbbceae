"""The overview page at ``/``: one HTML file, one style sheet and a few scripts, served from this package.

The page asks the service's own endpoints and nothing else: no other host, no inline script or style, so that the
strict policy below holds. Its addresses are relative, so it works behind a proxy that adds a path.
"""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response

blueprint = Blueprint("overview", __name__, static_folder="static", static_url_path="/web")

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@blueprint.get("/")
def overview() -> Response:
    """Return the page; what it shows it asks for itself."""
    return blueprint.send_static_file("index.html")


@blueprint.after_request
def add_headers(response: Response) -> Response:
    """Forbid what the page does not need; let the browser keep files but ask whether they changed."""
    response.headers.update(HEADERS)
    response.headers["Cache-Control"] = "no-cache"
    return response
