"""The contract at `/openapi.json`: every route, with what it allows and with what it does not.

schemathesis draws the requests and judges the answers; half of those with an identifier name
something that there is.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig

from gateway_builders import new_key
from seqd.gateway.app import gateway_app
from seqd.settings import Settings
from seqd.testing import RunningServices, StubModel
from seqd_schemas import KeyRole
from service_guide import serving

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: Requests of each route.
EXAMPLES = 25

#: Not whether all that the contract allows is accepted, and nothing else: it knows no model's
#: parameters, and a number may come as a text.
JUDGED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)

OPERATIONS = [
    (method.upper(), path)
    for path, methods in gateway_app(Settings()).openapi()["paths"].items()
    for method in methods
]


@pytest.fixture(scope="module")
def models() -> Mapping[str, Any]:
    def trained(_: object) -> Mapping[str, float]:
        return {"validation_accuracy": 0.5}

    return {
        "imdb_lstm": StubModel(classify=lambda text: "positive", train=trained),
        "char_lstm": lambda prompt: iter((prompt, " and so on")),
    }


@pytest.fixture(scope="module")
def gateway(services: RunningServices) -> Iterator[str]:
    app = gateway_app(services.settings)
    app.state.stopped.set()  # a stream ends where it would wait
    with serving(app) as address:
        yield address


@pytest.fixture(scope="module")
def contract(gateway: str) -> Any:
    config = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
    return schemathesis.openapi.from_url(f"{gateway}/openapi.json", config=config)


@pytest.fixture(scope="module")
def key(services: RunningServices) -> Mapping[str, str]:
    """The header that says who sends a request."""
    return {"authorization": f"Bearer {new_key(services, 'shop', KeyRole.OPERATE)}"}


@pytest.fixture
def known(web: httpx.Client, key: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """One of each thing that has an identifier, by the name of its place in a path."""

    def made(method: str, path: str, **body: Any) -> str:
        reply = web.request(method, path, headers=key, **body).raise_for_status().json()
        return str(reply.get("id", reply.get("job_id")))

    job = {"kind": "classify", "model": "imdb_lstm"}
    job["source"] = {"type": "inline", "items": [{"custom_id": "a", "text": "a fine film"}]}
    rows = b'{"text": "a fine film", "label": "good"}\n' * 8
    file = made("POST", "/v1/files", files={"file": rows}, data={"purpose": "batch"})
    data = made("POST", "/v1/files", files={"file": rows}, data={"purpose": "fine-tune"})
    asked = {"input_file_id": file, "endpoint": "/v1/classify"}
    hook = made("POST", "/v1/webhook_endpoints", json={"url": "https://shop.example"})
    yield {
        "name": "imdb_lstm",
        "model": "imdb_lstm",
        "file_id": file,
        "input_file_id": file,
        "training_file": data,
        "job_id": made("PUT", f"/v1/jobs/known-{data}", json=job),
        "batch_id": made("POST", "/v1/batches", json=asked),
        "training_id": made(
            "POST",
            "/v1/fine_tuning/jobs",
            json={"model": "imdb_lstm", "training_file": data, "suffix": "shop"},
        ),
        "webhook_id": hook,
    }
    for one in web.get("/v1/webhook_endpoints", headers=key).json()["data"]:
        made("DELETE", f"/v1/webhook_endpoints/{one['id']}")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_a_route_answers_as_its_contract_says(
    contract: Any, key: Mapping[str, str], known: Mapping[str, str], method: str, path: str
) -> None:
    operation = contract[path][method]
    cases = st.one_of(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)
    checks = CHECKS.get_by_names(JUDGED)

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(cases, st.booleans())
    def answers(case: Any, is_known: bool) -> None:
        if is_known and case.path_parameters:
            case.path_parameters = {name: known[name] for name in case.path_parameters}
        is_allowed = case.meta.generation.mode is GenerationMode.POSITIVE
        if is_known and is_allowed and isinstance(case.body, dict):
            case.body |= {name: known[name] for name in case.body.keys() & known.keys()}
        case.call_and_validate(checks=checks, headers=key, timeout=60)

    answers()
