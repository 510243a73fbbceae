"""The overview page as served: whole, from this package alone, and under a policy that forbids everything else."""

from __future__ import annotations

import re
from functools import partial
from importlib import resources

import pytest
from flask import Flask

from asahi_analytics import web

FILES = {path.name: path.read_text(encoding="utf-8") for path in (resources.files(web) / "static").iterdir()}


@pytest.fixture
def browser():
    application = Flask("test")
    application.register_blueprint(web.blueprint)
    return partial(application.test_client().get, buffered=True)


def test_the_page_is_html_in_a_language_with_one_main_part(browser):
    answer = browser("/")
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    assert '<html lang="en">' in answer.text
    assert answer.text.count("<main ") == 1


def test_everything_that_the_page_and_its_scripts_name_is_served(browser):
    named = set(re.findall(r'(?:href|src)="(web/[^"]+)"', FILES["index.html"]))
    for name, text in FILES.items():
        if name.endswith(".js"):
            named |= {f"web/{module}" for module in re.findall(r'from "\./([^"]+)"', text)}
    assert len(named) > 5
    for address in named:
        assert browser(f"/{address}").status_code == 200, address


@pytest.mark.parametrize(("name", "kind"), [("app.js", "text/javascript"), ("style.css", "text/css")])
def test_a_file_has_its_own_media_type(browser, name, kind):
    assert browser(f"/web/{name}").mimetype == kind


@pytest.mark.parametrize("path", ["/", "/web/app.js", "/web/icon.svg"])
def test_every_answer_forbids_other_hosts_and_inline_scripts(browser, path):
    headers = browser(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_browser_that_has_the_file_is_told_that_nothing_changed(browser):
    first = browser("/web/app.js")
    again = browser("/web/app.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.headers["Cache-Control"], again.status_code) == ("no-cache", 304)


@pytest.mark.parametrize("name", FILES)
def test_no_file_asks_another_host_and_every_address_is_relative(name):
    text = FILES[name].replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//[a-z]+\.", text)
    assert not re.search(r'(?:href|src)="/|get\("/', text)


def test_the_page_has_no_inline_script_style_or_handler():
    page = FILES["index.html"]
    assert re.findall(r"<script[^>]*>", page) == ['<script type="module" src="web/app.js">']
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_no_script_makes_markup_out_of_text(name):
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", FILES[name])


def test_the_whole_page_weighs_less_than_a_hundred_kilobytes():
    assert sum(len(text.encode()) for text in FILES.values()) < 100_000
