"""The console by the keyboard alone: no mouse, and no script that puts the focus anywhere."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from seqd.hookspecs import LabelledRecord
from seqd.testing import RunningServices, StubModel

#: Whether the element with the focus is the wanted one, shows the focus, and does not stand above
#: the one that had it before; and the element.
FOCUS = """wanted => {
  const now = document.activeElement, style = getComputedStyle(now);
  const before = window.before?.isConnected ? window.before : now;
  window.before = now;
  return [
    now === wanted,
    now.checkVisibility() && style.outlineStyle !== "none" && style.outlineWidth !== "0px",
    now.getBoundingClientRect().bottom > before.getBoundingClientRect().top,
    now.outerHTML,
  ];
}"""


def trained(records: Sequence[LabelledRecord]) -> Mapping[str, float]:
    return {"validation_accuracy": len(records) / 100}


@pytest.fixture(scope="module")
def models() -> Mapping[str, Any]:
    return {"imdb_lstm": StubModel(classify=lambda text: "positive", train=trained)}


def reach(tab: Page, wanted: Locator, key: str = "Tab") -> None:
    """Press a key until an element has the focus; on the way each shows it, below the last one."""
    expect(wanted).to_be_visible()
    for _ in range(100):
        tab.keyboard.press(key)
        is_there, is_shown, is_below, element = wanted.evaluate(FOCUS)
        assert is_shown, element
        assert is_below or key != "Tab", element
        if is_there:
            return
    raise AssertionError(f"{key} does not come to {wanted}")


def press(tab: Page, role: Any, name: str) -> None:
    """Go to a link or a button, and press Enter on it."""
    reach(tab, tab.get_by_role(role, name=name, exact=True))
    tab.keyboard.press("Enter")


def test_all_that_is_done_by_mouse_is_done_by_keyboard(
    tab: Page,
    services: RunningServices,
    new_key: Callable[..., tuple[str, str]],
    look: Callable[[str], None],
) -> None:
    with services.client() as client:
        for number in (8, 16):
            data = [{"text": f"text {one}", "label": "a"} for one in range(number)]
            client.train(data, model="topics", plugin="imdb_lstm").trained_version()
        done = client.classify(["fine"] * 60).wait().job_id
        client.pause_model("imdb_lstm")
        waiting = client.classify(["fine"]).job_id
    keys, told = tab.keyboard, tab.locator(".told")

    tab.set_viewport_size({"width": 375, "height": 667})  # where filters are closed at first
    tab.goto("/login?next=/models")
    keys.type(new_key("ops", "admin")[0])
    keys.press("Enter")
    press(tab, "link", "Jobs")
    expect(tab.locator("summary")).to_have_text("Filter")
    keys.press("Tab")
    expect(tab.get_by_role("link", name="Skip to the content")).to_be_focused()
    keys.press("Enter")
    reach(tab, tab.locator("summary"))
    keys.press("Enter")
    reach(tab, tab.get_by_label("queued"))
    keys.press("Space")
    reach(tab, tab.get_by_label("Kind"))
    keys.press("ArrowDown")
    reach(tab, tab.get_by_label("metadata NAME=VALUE"))
    keys.type(waiting[:9])
    keys.press("Enter")
    expect(tab.locator("tbody tr")).to_have_count(1)
    expect(tab.locator("summary")).to_contain_text(
        f"state queued, kind classify, text {waiting[:9]}"
    )
    look("phone-jobs")
    reach(tab, tab.get_by_role("region", name="Jobs"))
    last = tab.get_by_role("columnheader").last
    expect(last).not_to_be_in_viewport()
    for _ in range(20):
        keys.press("ArrowRight")
    expect(last).to_be_in_viewport()
    press(tab, "link", waiting)
    press(tab, "button", "Cancel")
    press(tab, "button", "Cancel the job")
    expect(told).to_be_visible()

    tab.goto(f"/jobs/{done}/results")
    reach(tab, tab.get_by_label("Item, by its name"))
    keys.type("row-60")
    press(tab, "button", "Find")
    expect(tab.get_by_text("positive")).to_be_visible()

    press(tab, "link", "Models")
    press(tab, "link", "topics")
    reach(tab, tab.get_by_label("Why, for its history"))
    keys.type("better")
    press(tab, "button", "Promote …")
    press(tab, "button", "Put topics@2 in service")
    expect(told).to_contain_text("topics@2 is in service.")

    reach(tab, tab.get_by_role("button", name="Log out"), "Shift+Tab")
    keys.press("Space")
    expect(tab.get_by_label("Key of this gateway")).to_be_focused()


def test_a_link_keeps_the_focus_when_a_row_comes_above_it(
    tab: Page, services: RunningServices, log_in: Callable[[str, str], str]
) -> None:
    log_in("ops", "admin")
    with services.client() as client:
        client.pause_model("imdb_lstm")
        first = client.classify(["fine"]).job_id
        tab.goto("/jobs")
        expect(tab.locator("#connection")).to_have_text("live")
        reach(tab, tab.get_by_role("link", name=first))

        later = client.classify(["fine"]).job_id

        expect(tab.get_by_role("link", name=later)).to_be_visible()
        expect(tab.get_by_role("link", name=first)).to_be_focused()


def test_no_other_button_takes_the_focus_of_one_that_goes(
    tab: Page, services: RunningServices, log_in: Callable[[str, str], str]
) -> None:
    log_in("ops", "admin")
    with services.client() as client:
        client.pause_model("imdb_lstm")
        job = client.classify(["fine"])
        tab.goto(f"/jobs/{job.job_id}")
        expect(tab.locator("#connection")).to_have_text("live")
        reach(tab, tab.get_by_role("button", name="Cancel"))

        job.cancel()

        expect(tab.get_by_role("button", name="Remove")).to_be_visible()
        expect(tab.locator("button:focus")).to_have_count(0)
