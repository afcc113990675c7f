"""A worker says at the API of Kubernetes whether it is busy; here a small HTTPS server plays it."""

import json
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from seqd.errors import InvalidSettings, RedisUnreachable
from seqd.ledger import Ledger, connect
from seqd.worker import deletion_cost
from seqd.worker.deletion_cost import BUSY_COST, IDLE_COST, DeletionCost, PodApi, PodWork
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

TOKEN = "a-token-of-the-pod"


@dataclass
class ApiServer:
    """What was asked, and what is answered."""

    folder: Path
    status: int = 200
    #: Path, headers and body of each patch.
    patches: list[tuple[str, dict[str, str], object]] = field(default_factory=list)

    @property
    def costs(self) -> list[str]:
        return [
            body["metadata"]["annotations"][deletion_cost.ANNOTATION] for _, _, body in self.patches
        ]

    def task(self, is_busy: Callable[[], bool], **options: float) -> DeletionCost:
        return DeletionCost(PodApi.of_environment(self.folder).patch, is_busy, **options)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    server = ApiServer(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if server.status == 200:
                server.patches.append((self.path, dict(self.headers), body))
            self.send_response(server.status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            pass

    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.crt")
    (folder / "token").write_text(f"{TOKEN}\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.socket = context.wrap_socket(http.socket, server_side=True)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(http.server_address[1]))
    monkeypatch.setenv("POD_NAME", "seqd-7d9f")
    monkeypatch.setenv("POD_NAMESPACE", "models")
    yield server
    http.shutdown()
    http.server_close()
    thread.join(10)


def test_the_cost_is_patched_when_busy_changes_and_not_in_between(api: ApiServer) -> None:
    states = iter([False, False, True, True, True, False])
    task = api.task(lambda: next(states), patch_every_s=0.0)

    for run in range(6):
        task.run_once()
        if run == 2:  # Kubernetes has renewed it
            (api.folder / "token").write_text("the next")

    assert api.costs == [str(IDLE_COST), str(BUSY_COST), str(IDLE_COST)]
    path, headers, _ = api.patches[0]
    assert path == "/api/v1/namespaces/models/pods/seqd-7d9f"
    assert headers["Content-Type"] == "application/strategic-merge-patch+json"
    tokens = [headers["Authorization"] for _, headers, _ in api.patches]
    assert tokens == [f"Bearer {TOKEN}", f"Bearer {TOKEN}", "Bearer the next"]


def test_a_worker_that_changes_often_is_patched_at_most_every_few_seconds(api: ApiServer) -> None:
    states = iter([False, *[True, False] * 50])
    task = api.task(lambda: next(states))

    for _ in range(50):
        task.run_once()

    assert api.costs == ["0"]


def test_an_api_that_refuses_is_a_line_with_the_right_that_is_missing_and_asked_less_and_less(
    api: ApiServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.status = 403
    now = [1_000.0]
    monkeypatch.setattr(deletion_cost, "monotonic", lambda: now[0])
    task = api.task(lambda: True)
    caplog.set_level(logging.INFO)

    for _ in range(20):  # 5 s after the first, 10 s after the second
        task.run_once()
        now[0] += 1.0
    api.status = 200
    now[0] += 300
    task.run_once()

    assert [record.getMessage() for record in caplog.records] == [
        *(
            f"pod-deletion-cost not written, tried again in {wait_s} s; work goes on: HTTP Error "
            "403: Forbidden. The pod's service account needs a Role with the verb patch on pods"
            for wait_s in (5, 10, 20)
        ),
        "the API of Kubernetes answers again: pod-deletion-cost=100",
    ]
    assert api.costs == ["100"]


def test_a_server_that_is_not_the_clusters_gets_no_token_and_a_redis_that_is_away_changes_nothing(
    api: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    def is_busy() -> bool:
        raise RedisUnreachable("away")

    api.task(is_busy).run_once()
    trustme.CA().cert_pem.write_to_path(api.folder / "ca.crt")
    api.task(lambda: True).run_once()

    assert "certificate verify failed" in caplog.text
    assert api.patches == []


def test_a_setting_without_a_pod_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "POD_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POD_NAME", "seqd-1")

    with pytest.raises(InvalidSettings) as refused:
        PodApi.of_environment(tmp_path)

    assert str(refused.value) == (
        "SEQD_POD_DELETION_COST is true, and of what a pod needs for it there is no "
        "KUBERNETES_SERVICE_HOST, no KUBERNETES_SERVICE_PORT, no POD_NAMESPACE, no "
        f"{tmp_path}/token, no {tmp_path}/ca.crt. Set POD_NAME and POD_NAMESPACE by fieldRef, "
        "mount the service account's token, or leave SEQD_POD_DELETION_COST out"
    )


@pytest.mark.slow
def test_a_pod_is_busy_while_a_worker_in_it_is(api: ApiServer, empty_cluster: Cluster) -> None:
    worker, settings = empty_cluster.start_ready(), empty_cluster.settings
    client = empty_cluster.client()
    with connect(str(settings.redis_url)) as redis:
        work = PodWork(Ledger(redis, settings, lambda route: None), worker.name, "elsewhere")
        task = api.task(work.is_busy, patch_every_s=0.1)
        task.start()
        try:
            wait_until(lambda: api.costs == ["0"], "it says that it is idle")
            texts = [str(n) for n in range(8)]
            job = client.classify(texts, model="echo", parameters={"delay_ms": 400})
            wait_until(lambda: api.costs[-1] == "100", "it says that it is busy")
            job.wait(30)
            wait_until(lambda: api.costs[-1] == "0", "it says that it is idle again")
        finally:
            task.close()

    assert api.costs == ["0", "100", "0"]
