"""The page itself: a built template with a document pasted in, and a server for it."""

from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from nasir.errors import json_text

TEMPLATE = Path(__file__).with_name("page.html")
"""Built from `page/` by `make page`."""

_PLACE = "/*DOCUMENT*/null"


def html_page(document: Mapping[str, object]) -> str:
    """Returns the page of a document.

    The document is data to the page's program, which shows names in it as text only. A "<" in it
    is written as an escape, so that no name ends the element around it.
    """
    data = json_text(document).replace("<", "\\u003c")
    template = TEMPLATE.read_text(encoding="utf-8")
    assert template.count(_PLACE) == 1, "the template has one place for the document"
    return template.replace(_PLACE, data)


def serve(page: str, port: int = 0) -> ThreadingHTTPServer:
    """Returns a server of the page on this machine alone; `serve_forever` runs it.

    Any other path than / is not found. With port 0 the system selects a free one.
    """
    return ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, page.encode()))


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, content: bytes, *given: object) -> None:
        self.content = content
        super().__init__(*given)  # pyright: ignore[reportArgumentType]

    def do_GET(self) -> None:
        """Sends the page."""
        found = self.path.partition("?")[0] == "/"
        content = self.content if found else b"not found\n"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8" if found else "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Requests are not printed."""
