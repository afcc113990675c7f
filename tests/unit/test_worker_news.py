"""A worker's record is published a moment after it has changed, once for all that has by then."""

from seqd.worker.leases import StateNews
from worker_fixtures import wait_until


def test_changes_in_a_row_are_published_once_and_the_last_of_them():
    published, state = list[str](), ["ready"]
    news = StateNews(lambda: published.append(state[0]), after_s=0.2)

    for name in ("busy", "ready", "busy"):
        state[0] = name
        news.note()

    assert published == []
    wait_until(lambda: published != [], "it is published")
    assert published == ["busy"]
