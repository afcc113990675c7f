"""What could be a plugin: the daemon's own ones and all entry points of the group `seqd`.

Only names and addresses; nothing is imported here. Called by `host`, which decides what is
loaded, and in which order.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import seqd
from seqd.hookspecs.hooks import PROJECT

#: Plugins that are part of the daemon, by the name under which they can be disabled.
BUILT_IN: Final[Mapping[str, str]] = {"job_log": "seqd.registry.job_log:plugin"}

#: What stands in a table where a plugin came from no installed distribution.
UNPACKAGED: Final = "(none)"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One thing to try, and where it comes from."""

    name: str
    #: Imports it and gives the plugin object. May raise anything.
    load: Callable[[], object]
    distribution: str = UNPACKAGED
    version: str = ""
    #: `module` or `module:attribute`, for messages.
    address: str = ""

    @property
    def module(self) -> str:
        """The module part of the address."""
        return self.address.partition(":")[0]

    @property
    def origin(self) -> str:
        """The distribution and its version, for messages."""
        return f"{self.distribution} {self.version}".strip()


def discover() -> tuple[Candidate, ...]:
    """Find all candidates, sorted by name, then the daemon's own first, then by distribution.

    `entry_points(group=...)` reads each distribution once even when `sys.path` has it twice,
    and keeps two distributions that use one name, so that the second can be refused.
    """
    found = [_built_in(name, address) for name, address in BUILT_IN.items()]
    found += [_installed(entry) for entry in entry_points(group=PROJECT)]
    return tuple(sorted(found, key=_order))


def _order(candidate: Candidate) -> tuple[str, bool, str, str]:
    foreign = candidate.distribution != PROJECT
    return candidate.name, foreign, candidate.distribution, candidate.address


def _built_in(name: str, address: str) -> Candidate:
    return Candidate(
        name=name,
        load=partial(_import, address),
        distribution=PROJECT,
        version=seqd.__version__,
        address=address,
    )


def _installed(entry: EntryPoint) -> Candidate:
    distribution = entry.dist
    return Candidate(
        name=entry.name,
        load=entry.load,
        distribution=UNPACKAGED if distribution is None else distribution.name,
        version="" if distribution is None else distribution.version,
        address=entry.value,
    )


def _import(address: str) -> object:
    module, _, attribute = address.partition(":")
    return getattr(importlib.import_module(module), attribute)
