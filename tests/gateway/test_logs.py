"""Which request a line of the gateway's log, and the answer to one that met a fault, are about."""

from pathlib import Path

import httpx
import pytest

from gateway_builders import running_gateway
from seqd.gateway.app import gateway_app
from seqd.testing import RunningServices
from service_guide import serving
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes


def test_a_line_that_a_request_has_caused_ends_in_its_id_and_no_other_does(
    services: RunningServices, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with running_gateway(services, log) as gateway, httpx.Client(base_url=gateway.address) as web:
        form = {"files": {"file": b"a line"}, "data": {"purpose": "fine-tune"}}
        file = web.post("/v1/files", **form).json()["id"]
        for one in Path(services.settings.files_root).glob(f"{file}*"):
            one.unlink()
        for request_id in ("order-17", "order-18"):
            web.get(f"/v1/files/{file}/content", headers={"x-request-id": request_id})
        gateway.process.terminate()
        wait_until(lambda: "Finished server process" in log.read_text(), "it ends")

    lines = log.read_text().splitlines()
    caused = [line for line in lines if "Is SEQD_GATEWAY_FILES the same" in line]
    assert [line.rpartition(" ")[2] for line in caused] == ["request=order-17", "request=order-18"]
    assert [line for line in lines if "request=" in line] == caused


def test_the_answer_to_a_request_that_met_a_fault_bears_its_id(services: RunningServices) -> None:
    app = gateway_app(services.settings)

    @app.get("/v1/broken")
    async def broken() -> None:
        raise RuntimeError("a fault of ours")

    with serving(app) as address:
        answer = httpx.get(f"{address}/v1/broken", headers={"x-request-id": "order-17"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert answer.headers["x-request-id"] == "order-17"
