"""Says in Kubernetes whether this worker's pod is busy, so that a scale-down takes idle pods first.

By the annotation `controller.kubernetes.io/pod-deletion-cost` of its own pod, which a ReplicaSet
heeds: the lowest goes first. It is a hint: the API may be away, and work never waits for it. The
parent patches it; whether its child is busy, the ledger knows by the child's leases. Several
workers in one pod say the same: a pod is busy while one of them is.
"""

import json
import logging
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from math import inf
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import quote

from seqd.errors import REDIS_ERRORS, InvalidSettings
from seqd.settings import pod_variables
from seqd.worker.background import PeriodicTask

if TYPE_CHECKING:
    from seqd.ledger import Ledger

log = logging.getLogger(__name__)

ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"

#: Costs of an idle and of a busy pod. One without the annotation has 0.
IDLE_COST, BUSY_COST = 0, 100

#: Where Kubernetes mounts a pod's service account.
ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")

#: Seconds between two looks, and between two patches at least. A pod that has just become idle
#: keeps the cost of a busy one until then, which does no harm.
LOOK_S = 1.0
PATCH_EVERY_S = 5.0

#: Seconds between two looks for other workers of the same pod.
NAMES_EVERY_S = 30.0

#: Seconds after which a patch without an answer is given up.
ANSWER_S = 5.0

#: Seconds until a patch that failed is tried again: doubled with each, up to the longest.
FIRST_RETRY_S, LONGEST_RETRY_S = 5.0, 300.0


@dataclass(frozen=True, slots=True)
class PodApi:
    """This worker's pod at the API server of its cluster."""

    url: str
    #: Read for each request: Kubernetes renews it about every hour.
    token_file: Path
    ca_file: Path

    @classmethod
    def of_environment(cls, folder: Path = ACCOUNT_FOLDER) -> "PodApi":
        """Return it as Kubernetes tells it to each pod. Raises InvalidSettings where it does not.

        `POD_NAME` and `POD_NAMESPACE` are of the manifest, by the downward API.
        """
        pod = pod_variables()
        missing = [name for name, value in pod.items() if not value]
        missing += [
            str(folder / name) for name in ("token", "ca.crt") if not (folder / name).is_file()
        ]
        if missing:
            raise InvalidSettings(
                f"SEQD_POD_DELETION_COST is true, and of what a pod needs for it there is no "
                f"{', no '.join(missing)}. Set POD_NAME and POD_NAMESPACE by fieldRef, mount the "
                "service account's token, or leave SEQD_POD_DELETION_COST out"
            )
        host, port, name, namespace = pod.values()
        address = f"[{host}]" if ":" in host else host
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(name, safe='')}"
        return cls(f"https://{address}:{port}{path}", folder / "token", folder / "ca.crt")

    def patch(self, cost: int) -> None:
        """Write the cost. Raises OSError or HTTPException, which say why the server did not."""
        body = json.dumps({"metadata": {"annotations": {ANNOTATION: str(cost)}}}).encode()
        request = urllib.request.Request(  # noqa: S310  always https
            self.url,
            data=body,
            method="PATCH",
            headers={
                "Authorization": f"Bearer {self.token_file.read_text().strip()}",
                "Content-Type": "application/strategic-merge-patch+json",
                "Accept": "application/json",
            },
        )
        # No proxy of the environment's: the API server is inside the cluster.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.ca_file)),
        )
        with opener.open(request, timeout=ANSWER_S) as answer:
            answer.read()


class PodWork:
    """Whether any worker of this pod holds work."""

    def __init__(self, ledger: "Ledger", worker: str, host: str) -> None:
        self._ledger = ledger
        self._worker = worker
        self._host = host
        self._names: list[str] = []
        self._read_at = -inf

    def is_busy(self) -> bool:
        """Return True while one of them does. Raises what the ledger raises."""
        if monotonic() - self._read_at >= NAMES_EVERY_S:
            self._names = [self._worker, *self._ledger.fleet.names_on(self._host)]
            self._read_at = monotonic()
        return self._ledger.backlog.is_any_busy(self._names)


class DeletionCost(PeriodicTask):
    """Patches the pod when its worker becomes busy or idle."""

    def __init__(
        self,
        patch: Callable[[int], None],
        is_busy: Callable[[], bool],
        *,
        patch_every_s: float = PATCH_EVERY_S,
    ) -> None:
        """`is_busy` says whether the worker holds work; it may raise what Redis makes it raise."""
        super().__init__("deletion cost", LOOK_S)
        self._patch = patch
        self._is_busy = is_busy
        self._patch_every_s = patch_every_s
        self._cost: int | None = None
        self._due_at = 0.0
        self._failures = 0

    def run_once(self) -> None:
        """Patch, if the worker has become busy or idle and it is time."""
        if monotonic() < self._due_at:
            return
        try:
            cost = BUSY_COST if self._is_busy() else IDLE_COST
        except REDIS_ERRORS:
            return  # which others have said, and the cost stays as it was
        if cost == self._cost:
            return
        try:
            self._patch(cost)
        except (OSError, HTTPException) as error:
            self._wait(error)
            return
        if self._failures:
            log.info("the API of Kubernetes answers again: pod-deletion-cost=%d", cost)
        self._failures, self._cost = 0, cost
        self._due_at = monotonic() + self._patch_every_s

    def _wait(self, error: Exception) -> None:
        wait_s = min(FIRST_RETRY_S * 2.0 ** min(self._failures, 30), LONGEST_RETRY_S)
        self._failures += 1
        self._due_at = monotonic() + wait_s
        log.warning(
            "pod-deletion-cost not written, tried again in %.0f s; work goes on: %s%s",
            wait_s,
            error,
            _advice(error),
        )


def _advice(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError) and error.code in (401, 403):
        return ". The pod's service account needs a Role with the verb patch on pods"
    return ""
