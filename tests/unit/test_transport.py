"""Exchanges that run in a thread of their own, beside whoever started them."""

import threading
from typing import cast

import pytest
from redis import Redis

from seqd.ledger.exchange import Exchange, Start, Until
from seqd.ledger.scripts import Scripts
from seqd.ledger.transport import Transport


def test_an_exchange_in_a_thread_of_its_own_ends_without_an_error_when_the_client_is_closed(
    monkeypatch: pytest.MonkeyPatch,
):
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    transport = Transport(cast(Redis, None), cast(Scripts, None), lambda route: None)
    signal = transport.signal()

    def wait_for_ever() -> Exchange[None]:
        while True:
            yield Until(signal, lambda: False, 0.01)

    transport.send(Start(wait_for_ever(), "waits", is_daemon=True))
    (thread,) = (one for one in threading.enumerate() if one.name == "waits")
    transport.close()
    thread.join(timeout=5)

    assert not thread.is_alive()
    assert raised == []
