"""The gateway's log: which request a line is about."""

import logging

import httpx
import pytest

from gateway_builders import served
from seqd.gateway.app import gateway_app
from seqd.gateway.logs import request_log
from seqd.testing import RunningServices

pytestmark = pytest.mark.processes


def test_a_line_that_a_request_has_caused_ends_in_its_id_and_no_other_does(
    services: RunningServices, caplog: pytest.LogCaptureFixture
) -> None:
    app = gateway_app(services.settings)

    @app.get("/v1/broken")
    async def broken() -> None:
        raise RuntimeError("a fault of ours")

    log = request_log()
    asked = {"x-request-id": "order-17"}
    with caplog.filtering(log.filters[0]), served(app, services.settings) as port:  # type: ignore[arg-type]
        address = f"http://127.0.0.1:{port}"
        answer = httpx.get(f"{address}/v1/broken", headers=asked)
        logging.getLogger("seqd").warning("nobody asked for this")
        httpx.get(f"{address}/v1/models", headers={"x-request-id": "order-18"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert answer.headers["x-request-id"] == "order-17"
    fault, other = (
        log.format(record)
        for record in caplog.records
        if "ASGI" in record.message or "nobody" in record.message
    )
    assert fault.splitlines()[0].endswith("request=order-17")
    assert "RuntimeError: a fault of ours" in fault
    assert other.endswith("nobody asked for this")
