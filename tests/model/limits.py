"""What operators set: limits of tenants, and models that are paused or disabled."""

from collections.abc import Collection

from model.ledger import Ledger, Refused
from seqd_schemas import TenantLimits

#: The models that there are.
Models = Collection[str]


def set_tenant(
    ledger: Ledger, tenant: str, limits: TenantLimits, unset: Collection[str]
) -> TenantLimits:
    """Set a tenant's limits, and take others away; return those that it has."""
    changes = limits.model_dump(exclude_none=True)
    if not changes and not unset:
        raise Refused("invalid_request")
    own = ledger.own_limits.get(tenant, TenantLimits())
    own = own.model_copy(update={**changes, **dict.fromkeys(unset)})
    if own.weight == 1.0:
        own = own.model_copy(update={"weight": None})
    ledger.own_limits[tenant] = own
    return own


def pause_model(ledger: Ledger, model: str, known: Models, *, disables: bool) -> None:
    """Begin no unit of a model's items; of a disabled one, take no job either."""
    if model not in known:
        raise Refused("unknown_model")
    if disables:
        ledger.disabled_models.add(model)
        ledger.paused_models.discard(model)
    elif model in ledger.disabled_models:
        raise Refused("wrong_state")
    else:
        ledger.paused_models.add(model)


def resume_model(ledger: Ledger, model: str) -> bool:
    """Let a model's jobs go on; return False where they did."""
    was_held_up = model in ledger.paused_models | ledger.disabled_models
    ledger.paused_models.discard(model)
    ledger.disabled_models.discard(model)
    ledger.resumed_models += was_held_up
    return was_held_up
