"""Ports of tests: kept for who names them, and given to nobody who asks for any."""

import gc
import socket
import sys

import pytest

from held_ports import Holder, hold_port
from seqd.local.redis_server import LOOPBACK, choose_port

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux shares a port so"
)


def is_free(port: int) -> bool:
    with socket.socket() as other:
        try:
            other.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def test_a_port_is_for_who_names_it_and_for_nobody_who_asks_for_any() -> None:
    holder = Holder()
    port = hold_port(holder)

    assert not is_free(port)
    with socket.socket() as nobody, pytest.raises(ConnectionRefusedError):
        nobody.connect((LOOPBACK, port))
    for _ in range(2):  # a server that is started again, too
        with socket.create_server((LOOPBACK, port)) as server:
            assert server.getsockname()[1] == port
    assert choose_port(port) == port


def test_a_port_and_the_one_far_above_it_are_free_again_once_their_holder_is_gone() -> None:
    holder = Holder()
    ports = [hold_port(holder, beside=10_000) for _ in range(20)]
    pairs = [(port, port + 10_000) for port in ports]

    before = [port for pair in pairs for port in pair if is_free(port)]
    del holder
    gc.collect()
    after = [port for port in ports if is_free(port)]

    assert max(ports) <= 55_535
    # Another process may have one of them by now.
    assert (before, len(after) > 10) == ([], True)
