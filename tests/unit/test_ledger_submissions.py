"""How a refusal of the ledger reads; that it refuses at all is tested on a server."""

import pytest

from builders import a_classify_job
from seqd.ledger.submissions import refusal


@pytest.mark.parametrize(
    ("reason", "waiting", "said"),
    [
        (b"tenant_jobs", 1, "has 1 open job; allowed: 1 (SEQD_MAX_TENANT_JOBS of"),
        (b"tenant_jobs", 1_200, "has 1,200 open jobs; allowed: 1 (SEQD_MAX_TENANT_JOBS of"),
        (b"tenant_items", 1, "has 1 item waiting; allowed: 1 (SEQD_MAX_TENANT_ITEMS of"),
        (b"tenant_bytes", 1, "has 1 byte of input waiting; allowed: 1 (SEQD_MAX_TENANT_BYTES of"),
    ],
)
def test_a_quota_counts_one_thing_as_one(reason: bytes, waiting: int, said: str) -> None:
    error = refusal(a_classify_job(tenant="shop"), [reason, waiting, 1, 0])

    assert str(error) == (
        f"Tenant 'shop' {said} the workers). Nothing was written. Try again in 5 s, when some are "
        "done."
    )
