"""A stand-in for a server program: answers every path on 127.0.0.1 until it is told to end.

    python fake_server.py PORT [ANSWERS.json]

ANSWERS.json maps a path (without its query) to what is sent; everything else gets ``{}``. A path that is not JSON
data but a number gets that status. The port may stand inside another option, as in --web.listen-address=host:PORT.
"""

from __future__ import annotations

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def port_of(arguments: list[str]) -> int:
    """Return the first port among the arguments: a number alone, or what follows the colon of an address."""
    for argument in arguments:
        if found := re.fullmatch(
            r"(?:--web\.listen-address=[^:]*:|--listen=|-httpListenAddr=[^:]*:)?(\d+)", argument
        ):
            return int(found[1])
    raise SystemExit(f"no port in {arguments}")


def answers_in(arguments: list[str]) -> dict[str, object]:
    files = [argument for argument in arguments if argument.endswith(".json")]
    return json.loads(Path(files[0]).read_text()) if files else {}


def main(arguments: list[str]) -> None:
    answers = answers_in(arguments)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0], {})
            self.send_response(answer if isinstance(answer, int) else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    ThreadingHTTPServer(("127.0.0.1", port_of(arguments)), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
