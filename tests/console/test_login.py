"""Who gets in: login by a key, its session and its end, and what no form or role may do."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from cli_builders import Ended
from seqd.gateway.app import gateway_app
from seqd.testing import RunningServices
from service_guide import serving
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

Look = Callable[[str], None]
NewKey = Callable[..., tuple[str, str]]

#: What every page has, whatever becomes of the request.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

#: The form's token as a browser has it, in its cookie and in the form.
TOKEN = "t" * 32


def of(secret: str = "") -> dict[str, str]:
    """Return the headers of a browser with a session."""
    return {"cookie": f"seqd_key={secret}; seqd_token={TOKEN}"}


def test_a_page_without_a_session_leads_to_the_login_and_a_key_leads_back(
    tab: Page, new_key: NewKey, look: Look
) -> None:
    secret, _ = new_key("acme", "read")

    tab.goto("/failures?code=plugin_error")
    look("login")
    tab.get_by_label("Key of this gateway").fill("seqd-wrong")
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("There is no such key, or no more.")).to_be_visible()
    look("login_refused")
    tab.get_by_label("Key of this gateway").fill(f" {secret} ")
    tab.get_by_role("button", name="Log in").click()

    expect(tab.get_by_role("heading", name="Dead letters")).to_be_visible()
    assert tab.url.endswith("/failures?code=plugin_error")
    assert all(one["httpOnly"] and one["sameSite"] == "Strict" for one in tab.context.cookies())
    tab.get_by_role("button", name="Log out").click()
    expect(tab.get_by_label("Key of this gateway")).to_be_visible()
    tab.goto("/")
    expect(tab.get_by_label("Key of this gateway")).to_be_visible()


def test_a_revoked_key_ends_the_session_at_the_next_page_and_in_one_that_is_watched(
    tab: Page, web: httpx.Client, new_key: NewKey, seqd: Callable[..., Ended], gateway: str
) -> None:
    secret, key_id = new_key("acme", "read")
    tab.context.add_cookies([{"name": "seqd_key", "value": secret, "url": gateway}])
    tab.goto("/failures")
    expect(tab.locator("#connection")).to_have_text("live")

    seqd("keys", "revoke", key_id)
    wait_until(lambda: web.get("/", headers=of(secret)).is_redirect, "the key is forgotten")
    tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # it asks again

    expect(tab.get_by_text("The session has ended: its key has expired")).to_be_visible()
    assert tab.url.endswith("/login?next=%2Ffailures")


@pytest.mark.parametrize(
    ("then", "leads_to"),
    [
        ("/jobs?state=failed&text=%C3%A9", "/jobs?state=failed&text=%C3%A9"),
        *((elsewhere, "/") for elsewhere in (
            "", "jobs", "https://evil.example/", "//evil.example", "/\\evil.example",
            "\\\\evil.example", "/\t/evil.example", "/\n/evil.example", " //evil.example",
            "javascript:alert(1)", "/a\r\nset-cookie: a=b",
        )),
    ],
)  # fmt: skip
def test_a_login_leads_to_a_page_of_ours_and_nowhere_else(
    web: httpx.Client, new_key: NewKey, then: str, leads_to: str
) -> None:
    form = {"key": new_key("acme", "read")[0], "next": then, "token": TOKEN}

    assert web.post("/login", data=form, headers=of()).headers["location"] == leads_to


def test_keys_that_open_nothing_say_why(web: httpx.Client, new_key: NewKey) -> None:
    limited, _ = new_key("acme", "read", "--rate", "1")
    web.get("/", headers=of(limited))
    expired, _ = new_key("acme", "read", "--expires", "1s")
    wait_until(lambda: web.get("/", headers=of(expired)).is_redirect, "it has expired")

    for key, why in {
        limited: "as many requests in a minute as it may",
        expired: "The key has expired.",
        "é\x00": "There is no such key",
        "": "There is no such key",
    }.items():
        refused = web.post("/login", data={"key": key, "token": TOKEN}, headers=of())
        assert refused.status_code == 401
        assert why in refused.text
        assert "seqd_key" not in refused.headers.get("set-cookie", "")
    large = {f"field{number}": "x" * 1_000_000 for number in range(17)}
    assert web.post("/login", data=large, headers=of()).status_code == 413


def test_a_form_of_elsewhere_is_refused_and_changes_nothing(
    web: httpx.Client, new_key: NewKey, seqd: Callable[..., Ended]
) -> None:
    secret, _ = new_key("ops", "admin")
    keys = seqd("keys", "list", "--json").json()
    forms: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"token": TOKEN}, {"sec-fetch-site": "cross-site"}),
        ({"token": TOKEN}, {"sec-fetch-site": "same-site"}),
        ({"token": TOKEN}, {"cookie": f"seqd_key={secret}"}),
        ({"token": ""}, {"cookie": f"seqd_key={secret}; seqd_token="}),
        ({"token": "another"}, {}),
        ({"token": "é"}, {}),
        ({}, {}),
    ]

    for token, headers in forms:
        for path in ("/keys", "/login", "/logout"):
            form = {"tenant": "acme", "role": "admin", "key": secret, **token}
            refused = web.post(path, data=form, headers={**of(secret), **headers})
            assert refused.status_code == 403, (path, token, headers)
            assert "seqd_key" not in refused.headers.get("set-cookie", "")
    assert [one["id"] for one in seqd("keys", "list", "--json").json()] == [
        one["id"] for one in keys
    ]


def routes_of(router: Any) -> Iterator[tuple[str, str]]:
    """Yield the method and a path of each route that is the console's."""
    for route in router.routes:
        if hasattr(route, "original_router"):
            yield from routes_of(route.original_router)
        elif not route.path.startswith(("/v1", "/docs", "/openapi.json", "/static")):
            path = re.sub(r"{[a-z_]+(:path)?}", "1-1", route.path)
            yield from ((method, path) for method in route.methods - {"HEAD"})


def test_each_page_wants_a_session_and_each_act_more_than_the_role_read(
    web: httpx.Client, services: RunningServices, new_key: NewKey
) -> None:
    secret, _ = new_key("acme", "read")
    routes = list(routes_of(gateway_app(services.settings)))
    assert ("POST", "/failures/purge") in routes

    for method, path in routes:
        form = {"data": {"token": TOKEN, "sure": "yes"}} if method == "POST" else {}
        for headers in ({}, of(), of("seqd-wrong")):
            refused = web.request(method, path, headers=headers, **form)
            assert refused.headers["content-security-policy"] == POLICY, (method, path)
            if path not in ("/login", "/logout"):
                assert refused.status_code == 303, (method, path)
                assert refused.headers["location"].startswith("/login?next=%2F")
        answer = web.request(method, path, headers=of(secret), **form)
        assert answer.headers["content-security-policy"] == POLICY, (method, path)
        if path in ("/login", "/logout"):
            continue
        if method == "POST":
            assert answer.status_code == 403, path
            assert "The key has the role read; allowed here:" in answer.text, path
        forms = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]*)"', answer.text)
        assert forms == ["/logout"], path


def test_a_cookie_never_opens_the_api(web: httpx.Client, new_key: NewKey) -> None:
    secret, _ = new_key("ops", "admin")

    assert web.get("/keys", headers=of(secret)).status_code == 200
    for path in ("/v1/models", "/v1/jobs", "/v1/events"):
        assert web.get(path, headers=of(secret)).status_code == 401, path


def test_without_keys_pages_are_open_on_this_machine_and_cookies_are_secure_behind_tls(
    services: RunningServices, new_key: NewKey
) -> None:
    alone = services.settings.model_copy(update={"prefix": "no-keys"})
    with serving(gateway_app(alone)) as address, httpx.Client(base_url=address) as web:
        assert web.get("/").status_code == 200
        for headers in ({"sec-fetch-site": "cross-site"}, {"host": "rebound.example"}):
            assert web.get("/", headers=headers).status_code == 403, headers
        entered = web.post("/login", data={"key": "any", "token": TOKEN}, headers=of())
        assert entered.headers["location"] == "/"
        assert "seqd_key" not in entered.headers.get("set-cookie", "")

    proxied = services.settings.model_copy(update={"gateway_proxies": ("127.0.0.1",)})
    form = {"key": new_key("acme", "read")[0], "token": TOKEN}
    with serving(gateway_app(proxied)) as address:
        headers = {**of(), "x-forwarded-proto": "https"}
        entered = httpx.post(f"{address}/login", data=form, headers=headers)
    (cookie,) = entered.headers.get_list("set-cookie")
    assert cookie.startswith("seqd_key=seqd-")
    assert {"HttpOnly", "SameSite=strict", "Secure"} <= set(cookie.split("; "))


def test_what_is_done_with_a_key_bears_its_id(
    gateway: str, services: RunningServices, new_key: NewKey
) -> None:
    secret, key_id = new_key("acme", "admin")
    with httpx.Client(base_url=gateway, headers=of(secret)) as web, services.client() as client:
        web.post("/models/imdb_lstm/pause", data={"token": TOKEN, "sure": "yes"})
        (pause,) = client.paused_models().values()
        client.resume_model("imdb_lstm")

    assert pause.by == key_id
