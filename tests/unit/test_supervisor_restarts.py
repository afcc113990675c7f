"""How long a slot stays empty after its worker died, and when its work runs again."""

import pytest

from seqd.local.child import deaths_in_a_row, restart_wait_s
from seqd.settings import Settings

#: The longest that work may stand still for a dead worker.
PROMISED_S = 45.0

#: Looks for which the reconciler's lock outlives a worker that held it when it died.
LOCK_LOOKS = 3

#: An idle worker gets a wakeup at once; one that works looks at the ledger after its unit.
WAKEUP_S = 1.0


def test_the_wait_doubles_from_one_second_up_to_thirty():
    assert [restart_wait_s(deaths) for deaths in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    ("lived_s", "was_ready", "by_signal", "deaths"),
    [
        (59.9, False, False, 6),
        (60.0, False, False, 1),
        (2.0, True, True, 1),
        # One that is killed while it starts, and one that ends itself.
        (2.0, False, True, 6),
        (2.0, True, False, 6),
    ],
)
def test_who_lived_for_a_minute_or_was_killed_at_work_starts_the_count_anew(
    lived_s, was_ready, by_signal, deaths
):
    assert deaths_in_a_row(5, lived_s, was_ready=was_ready, by_signal=by_signal) == deaths


def test_by_default_a_dead_workers_unit_is_claimed_again_in_time():
    settings = Settings()

    lease_runs_out_s = settings.lease_s  # renewed in the moment of death, at worst
    lock_runs_out_s = LOCK_LOOKS * settings.reconcile_s
    looked_s = settings.reconcile_s
    backed_off_s = settings.backoff_s  # not at the first crash of a unit, but at its second

    # 30 + 6 + 2 + 1 + 1 = 40
    total_s = lease_runs_out_s + lock_runs_out_s + looked_s + backed_off_s + WAKEUP_S
    assert total_s == 40.0
    assert total_s < PROMISED_S
