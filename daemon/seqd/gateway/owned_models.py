"""Whose models there are: a tenant sees its own and nobody's, and changes its own alone."""

from seqd.admission import find_model
from seqd.errors import ModelNameTaken, NotAllowed
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Exchange
from seqd_schemas import DEFAULT_TENANT, CatalogEntry, ModelReference


def seen_models(ledger: LedgerParts, tenant: str | None) -> Exchange[dict[str, CatalogEntry]]:
    """Return the models that are there for a tenant, by name; without one, all."""
    catalog = yield from ledger.fleet.catalog.steps()
    return {name: entry for name, entry in catalog.items() if _is_seen(entry, tenant)}


def model_checked(ledger: LedgerParts, model: str, tenant: str | None) -> Exchange[None]:
    """Raise UnknownModel for a model that is not there for a tenant, as if there were none."""
    if tenant is None:
        return
    name = ModelReference.parse(model).name
    entry = yield from ledger.fleet.published.steps(name)
    if entry is None or not _is_seen(entry, tenant):
        find_model(name, (yield from seen_models(ledger, tenant)))


def own_model_checked(ledger: LedgerParts, model: str, tenant: str | None) -> Exchange[None]:
    """Raise ModelNameTaken or NotAllowed for a model that a tenant may not change.

    One that there is not becomes its own. What is nobody's is that of the tenant `default`.
    """
    entry = yield from ledger.fleet.published.steps(model)
    if tenant is None or entry is None or (entry.owner or DEFAULT_TENANT) == tenant:
        return
    if entry.owner is not None:
        raise ModelNameTaken(f"The model name {model!r} is taken. Choose another one.")
    raise NotAllowed(
        f"Model {model!r} is shared by all, and this key may not change it. Make one of your own "
        "with it: by a `suffix`, or as another `model` with it as the `plugin`."
    )


def _is_seen(entry: CatalogEntry, tenant: str | None) -> bool:
    return tenant is None or entry.owner in (None, tenant)
