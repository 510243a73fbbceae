"""A WSGI application on loopback, and a browser, for the tests that look at pages."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright
from werkzeug.serving import make_server

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def served(application) -> Iterator[str]:
    """Serve ``application`` from a thread; yields its address without a trailing slash."""
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium without a window."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert path, f"none of {CHROMIUM} is on the PATH; install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()
