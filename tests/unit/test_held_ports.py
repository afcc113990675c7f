"""Ports of tests: kept for who names them, and given to nobody who asks for any."""

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
