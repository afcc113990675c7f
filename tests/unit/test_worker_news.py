"""A worker's record is published a moment after it has changed, once for all that has by then."""

import time
from threading import Event

from seqd.worker.news import StateNews


def test_changes_in_a_row_are_published_once_and_the_last_of_them():
    published, state = list[str](), ["ready"]
    news = StateNews(lambda: published.append(state[0]), after_s=0.2)

    for name in ("busy", "ready", "busy"):
        state[0] = name
        news.note()

    assert published == []
    deadline = time.monotonic() + 10
    while not published and time.monotonic() < deadline:
        time.sleep(0.01)
    assert published == ["busy"]


def test_what_changes_after_that_is_published_too_also_where_publishing_failed():
    heard = Event()

    def publish() -> None:
        if not heard.is_set():
            heard.set()
            raise ValueError("a fault of ours")
        again.set()

    again = Event()
    news = StateNews(publish, after_s=0.001)
    news.note()
    assert heard.wait(10)

    deadline = time.monotonic() + 10
    while not again.is_set() and time.monotonic() < deadline:
        news.note()
        time.sleep(0.01)
    assert again.is_set()
