"""What the default settings promise: a dead worker's work runs again within 45 s."""

from seqd.settings import Settings

#: The longest that work may stand still for a dead worker.
PROMISED_S = 45.0

#: Looks for which the reconciler's lock outlives a worker that held it when it died.
LOCK_LOOKS = 3

#: An idle worker gets a wakeup at once; one that works looks at the ledger after its unit.
WAKEUP_S = 1.0


def test_by_default_a_dead_workers_unit_is_claimed_again_in_time() -> None:
    settings = Settings()

    lease_runs_out_s = settings.lease_s  # renewed in the moment of death, at worst
    lock_runs_out_s = LOCK_LOOKS * settings.reconcile_s
    looked_s = settings.reconcile_s
    backed_off_s = settings.backoff_s  # not at the first crash of a unit, but at its second

    # 30 + 6 + 2 + 1 + 1 = 40
    total_s = lease_runs_out_s + lock_runs_out_s + looked_s + backed_off_s + WAKEUP_S
    assert total_s == 40.0
    assert total_s < PROMISED_S


def test_by_default_a_lease_outlives_two_lost_renewals() -> None:
    settings = Settings()

    assert settings.lease_s >= 3 * settings.heartbeat_s
