"""Random walks over the ledger, which must keep all its promises after each step.

Beside `test_ledger_interleavings`, which knows in advance what each of a few steps does, these
take all steps that there are and ask what stands in Redis. The walks are always the same ones. A
failure names its walk and what was done; `-k walk-7` takes it again. More of them:
`HOSTILE_CASES=500 pytest tests/integration/test_ledger_walks.py`.
"""

import pytest

from hostile_cases import CASES
from ledger_fixtures import Environment
from ledger_walk import Walk

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("seed", range(CASES), ids=lambda seed: f"walk-{seed}")
def test_whatever_is_done_the_ledger_keeps_its_promises(
    environment: Environment, seed: int
) -> None:
    walk = Walk(environment, seed)

    try:
        walk.go()
    except Exception as error:
        error.add_note("\n".join((f"Walk {seed} took these steps:", *walk.notes)))
        raise
