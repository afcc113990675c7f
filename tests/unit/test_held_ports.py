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


def test_a_port_is_for_who_names_it_and_for_nobody_who_asks_for_any() -> None:
    holder = Holder()
    port = hold_port(holder)

    with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
        other.bind((LOOPBACK, port))
    with socket.socket() as nobody, pytest.raises(ConnectionRefusedError):
        nobody.connect((LOOPBACK, port))
    for _ in range(2):  # a server that is started again, too
        with socket.create_server((LOOPBACK, port)) as server:
            assert server.getsockname()[1] == port
    assert choose_port(port) == port


def test_a_port_is_free_again_once_its_holder_is_gone() -> None:
    holder = Holder()
    ports = [hold_port(holder) for _ in range(20)]

    before = [port for port in ports if is_free(port)]
    del holder
    gc.collect()
    after = [port for port in ports if is_free(port)]

    # Another process may have one of them by now.
    assert (before, len(after) > 10) == ([], True)


def is_free(port: int) -> bool:
    with socket.socket() as other:
        try:
            other.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def test_a_port_has_another_that_is_free_so_far_above_it() -> None:
    holder = Holder()

    ports = [hold_port(holder, beside=10_000) for _ in range(50)]

    assert max(ports) <= 55_535
    for port in ports:
        with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
            other.bind((LOOPBACK, port + 10_000))
