"""Which models a worker serves, by its own setting and by operators' rules on models.

A model that no rule names is served wherever its plugin is. A rule is on items alone: who trains is
decided by slots. Pure: reads records, changes nothing.
"""

from collections.abc import Collection, Iterable, Mapping

from seqd.targets import Place, is_meant, option_of
from seqd.validation import did_you_mean
from seqd_schemas import PlacementRule


def is_placed_on(rule: PlacementRule, place: Place) -> bool:
    """Return True where a rule means the worker."""
    return any(is_meant(place, target) for target in rule.targets)


def serves_model(
    model: str, served: Collection[str], rules: Mapping[str, PlacementRule], place: Place
) -> bool:
    """Return True where a worker serves the items of a model.

    Both have to allow it: its own setting `served`, which allows all where it is empty, and the
    rule of the model, where one stands.
    """
    if served and model not in served:
        return False
    rule = rules.get(model)
    return rule is None or is_placed_on(rule, place)


def unknown_served(served: Collection[str], known: Collection[str]) -> list[str]:
    """Return a sentence for each name to be served that no model of a worker has."""
    return [
        f"SEQD_SERVES (--serves) names {name!r}, and no model here has that name: nothing is "
        f"served by it until one is trained or imported.{did_you_mean(name, known)}"
        for name in served
        if name not in known
    ]


def targets_in_words(targets: Iterable[str]) -> str:
    """Return targets as they are typed: `--on gpu --label zone=a`."""
    return " ".join(
        option if (option := option_of(target)).startswith("--") else f"--on {option}"
        for target in targets
    )
