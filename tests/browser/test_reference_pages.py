"""`/docs` and `/redoc` in a real browser: complete, under the page's security policy, without other hosts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect
from tests.support.running_service import RunningService


@dataclass
class Watched:
    """A page, with the hosts that it contacted and the errors that it reported."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("requestfailed", lambda request: self.faults.append(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda message: self.faults.append(f"{message.type}: {message.text}"))


@pytest.fixture
def watched(context: BrowserContext, paced: RunningService) -> Iterator[Watched]:
    """A page that must stay on its host and keep a clean console."""
    watched = Watched(context.new_page())
    yield watched
    assert watched.faults == []
    assert watched.hosts - {""} == {urlsplit(paced.url).netloc}  # "" stands for data: URLs


def operations(service: RunningService) -> list[str]:
    """Return the summary of every operation in the OpenAPI document."""
    paths = httpx.get(f"{service.url}/openapi.json").raise_for_status().json()["paths"]
    return [operation["summary"] for methods in paths.values() for operation in methods.values()]


def test_docs_show_every_route_and_try_one(watched: Watched, paced: RunningService) -> None:
    page = watched.page
    page.goto(f"{paced.url}/docs")
    for summary in operations(paced):
        expect(page.get_by_text(summary, exact=True).first).to_be_visible()
    page.locator("#operations-operation-livez_livez_get, [id$=livez_get]").first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    expect(page.locator(".live-responses-table")).to_contain_text("alive")


def test_redoc_shows_every_route(watched: Watched, paced: RunningService) -> None:
    page = watched.page
    page.goto(f"{paced.url}/redoc")
    for summary in operations(paced):
        expect(page.get_by_role("heading", name=summary).first).to_be_attached()
    expect(page.get_by_text("Download OpenAPI")).to_be_visible()
    # its styles apply, although inline styles are forbidden
    menu = page.locator(".menu-content")
    assert menu.evaluate("element => getComputedStyle(element).position") in {"sticky", "fixed"}
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/errors"])
def test_pages_allow_no_inline_scripts_and_no_other_hosts(path: str, paced: RunningService) -> None:
    answer = httpx.get(f"{paced.url}{path}", headers={"Accept": "text/html"})
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "://" not in answer.text.replace("http://www.w3.org", "")


def test_only_the_files_of_the_pages_are_served(paced: RunningService) -> None:
    for name in ("swagger.html", "..%2Fstudio%2Findex.html", "favicon.png", "__init__.py", ""):
        assert httpx.get(f"{paced.url}/docs/assets/{name}").status_code == 404
