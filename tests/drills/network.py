"""Hosts on a network of their own: each has a name, an address, and a cable to one switch.

All of it is in namespaces without names, which the kernel removes with the last process in them:
that of a host has one process that ends with this program, however that ends. The interfaces and
rules of the machine are not seen from there.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from worker_fixtures import wait_until

#: How a program gets a network of its own, also one of a user who is not root.
ENTER = ("unshare", "--map-root-user", "--net", "--uts")

#: Where the program itself is, and what it starts beside the hosts.
ADDRESS = "10.77.0.1"
_FIRST_HOST = 11

#: Programs that are needed, and their packages in Debian.
_PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "hostname": "hostname",
    "ip": "iproute2",
    "nft": "nftables",
}

#: What arrives at a host, or at the switch, is thrown away by chance; as `iptables -m statistic`.
_LOSS = """
table inet drill {{
    chain input {{
        type filter hook input priority 0;
        iifname {interface} numgen random mod 1000 < {thousandths} drop
    }}
}}
"""

#: What tells whether all of this can be done here.
_TRIAL = "ip link add here type veth peer name there && nft -f - && nsenter --net --target $$ true"


def why_not() -> str | None:
    """Say why no network can be made here; None where one can."""
    why = _why_not()
    return why and f"network namespaces cannot be made here: {why}"


def _why_not() -> str | None:
    missing = sorted({package for name, package in _PROGRAMS.items() if not shutil.which(name)})
    if missing:
        return f"apt-get install {' '.join(missing)}"
    rules = _LOSS.format(interface="here", thousandths=20)
    tried = subprocess.run(
        [*ENTER, "sh", "-c", _TRIAL], input=rules, capture_output=True, text=True, check=False
    )
    return None if tried.returncode == 0 else " ".join(tried.stderr.split())


class Host:
    """A host, until the program ends: see `inside`."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        # It reads from this program, and so ends with it.
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--uts", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        pid = self._holder.pid
        wait_until(lambda: _network_of(pid) != _network_of(os.getpid()), f"{name} is there")
        #: What goes in front of a command that is to run there.
        self.inside = (shutil.which("nsenter") or "", "--net", "--uts", "--target", str(pid))
        _run(f"ip link add {name} type veth peer name eth0 netns {pid}")
        _run(f"ip link set {name} master switch up")
        for command in (
            f"hostname {name}",
            "ip link set lo up",
            f"ip address add {address}/24 dev eth0",
            "ip link set eth0 up",
        ):
            _run(command, self.inside)

    def cut_off(self) -> None:
        """Pull its cable out of the switch: no connection is closed, nothing is answered."""
        _run(f"ip link set {self.name} down")

    def mend(self) -> None:
        """Put the cable in again."""
        _run(f"ip link set {self.name} up")

    def end(self) -> None:
        """Remove it, once nothing else runs there."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait()


class Network:
    """A switch, and the hosts on it. The process must be in a network of its own, by `ENTER`."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        _run("ip link set lo up")
        _run("ip link add switch type bridge")
        _run(f"ip address add {ADDRESS}/24 dev switch")
        _run("ip link set switch up")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for host in self.hosts:
            host.end()
        _run("ip link delete switch")

    def add_host(self, name: str) -> Host:
        """Connect one more host."""
        host = Host(name, f"10.77.0.{_FIRST_HOST + len(self.hosts)}")
        self.hosts.append(host)
        return host

    def lose(self, percent: float) -> None:
        """Lose so many of the packets to and from each host from now on, by chance."""
        for inside, interface in (((), "switch"), *((one.inside, "eth0") for one in self.hosts)):
            rules = _LOSS.format(interface=interface, thousandths=round(10 * percent))
            _run("nft -f -", inside, rules)


def _network_of(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


def _run(command: str, inside: Sequence[str] = (), text: str = "") -> None:
    subprocess.run([*inside, *command.split()], input=text, text=True, check=True)
