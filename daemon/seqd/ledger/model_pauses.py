"""Models that operators have paused: no unit of their items is claimed until they go on.

They stand in one small hash until they are removed. `claim.lua` leaves their queues out, so a pause
holds for all workers from one moment on; a disabled model's jobs are refused by `submit.lua`.
Trainings run on no version, and go on.
"""

import time
from time import monotonic
from typing import TYPE_CHECKING, cast

from seqd.errors import ModelDisabled, WrongState
from seqd.ledger.exchange import Exchange, Whole, command, exchange
from seqd.ledger.fleet import readable
from seqd.ledger.rules import Rules
from seqd_schemas import MAX_PAUSED_MODELS, Keys, to_stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqd_schemas import JobRecord, ModelPause, Waiting


class ModelPauses(Rules):
    """The pauses on one server under one key prefix."""

    name = "paused_models"

    def __init__(self, ledger: Whole) -> None:
        super().__init__(ledger)
        #: When they were read last, and those.
        self._recent: tuple[float, dict[str, ModelPause]] = (float("-inf"), {})

    @exchange
    def all(self) -> "Exchange[dict[str, ModelPause]]":
        """Return the pauses that stand, by model, in alphabetical order."""
        from seqd_schemas import ModelPause

        return {rule.model: rule for rule in (yield from self.stored(ModelPause))}

    @exchange
    def recent(self, max_age_s: float) -> "Exchange[dict[str, ModelPause]]":
        """Return what `all` does, or did within the last `max_age_s` seconds."""
        read_s, pauses = self._recent
        if monotonic() - read_s > max_age_s:
            pauses = yield from self.all.steps()
            self._recent = (monotonic(), pauses)
        return pauses

    @exchange
    def pause(self, rule: "ModelPause") -> Exchange[bool]:
        """Pause or disable a model, in the place of the rule before; False where it stood already.

        Raises InvalidRequest where too many models would be paused, and WrongState for a pause of a
        model that is disabled, which stays so.
        """
        before = (yield from self.all.steps()).get(rule.model)
        if before is not None and before.disabled and not rule.disabled:
            raise WrongState(
                f"Model {rule.model} is {pause_in_words(before)}. It begins no unit as it is, and "
                "a pause would let it take new jobs again: nothing is changed. To have it take "
                f"them, and wait, `seqd models resume {rule.model}` first."
            )
        too_many = (
            f"models would be paused; allowed: {MAX_PAUSED_MODELS}. Let those go on that need no "
            "pause any more: `seqd models resume NAME`."
        )
        return (yield from self._set(rule.model, to_stored(rule), too_many))

    @exchange
    def resume(self, model: str) -> Exchange[bool]:
        """Let a model's jobs go on, and take new ones; False where it was not paused."""
        return (yield from self._set(model, "", ""))

    def _set(self, model: str, rule: str, too_many: str) -> Exchange[bool]:
        self._recent = (float("-inf"), {})
        return (yield from self.change_stored(MAX_PAUSED_MODELS, [(model, rule)], too_many)) == 1


def paused_models(keys: Keys) -> Exchange[frozenset[str]]:
    """Return the names of the models that are paused."""
    # All that reads pauses has the right to this command.
    rules = cast(dict[bytes, bytes], (yield from command("HGETALL", keys.paused_models())))
    return frozenset(name.decode() for name in rules)


def disabled(rule: bytes) -> ModelDisabled:
    """Return the error for a job on a disabled model, by the rule as it is stored."""
    from seqd_schemas import ModelPause

    known = readable(ModelPause, [rule])
    if not known:
        return ModelDisabled("The model is disabled by an operator: it takes no new jobs.")
    (pause,) = known
    return ModelDisabled(
        f"Model {pause.model} takes no new jobs: {pause_in_words(pause)}. Try again when an "
        f"operator has enabled it (`seqd models resume {pause.model}`), or use another model."
    )


def pause_in_words(pause: "ModelPause") -> str:
    """Return who paused a model, since when and why: `paused by ana@h1 since 08:10: repair`."""
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(pause.at_ms / 1000))
    since = f" since {at}" if pause.at_ms else ""
    what = "disabled" if pause.disabled else "paused"
    why = f": {pause.reason}" if pause.reason else ""
    return f"{what} by {pause.by or 'somebody'}{since}{why}"


def paused_waiting(record: "JobRecord", pauses: "Mapping[str, ModelPause]") -> "Waiting | None":
    """Return why a job waits whose model is paused; None of any other."""
    from seqd_schemas import Waiting, WaitingCode, engine_of

    pause = pauses.get(record.model)
    if pause is None or record.version is None or not record.state.may_claim:
        return None
    if engine_of(record.job):
        return None  # it is computed elsewhere
    return Waiting(
        code=WaitingCode.MODEL_PAUSED,
        message=pause_told(pause),
    )


def pause_told(pause: "ModelPause") -> str:
    """Return a sentence on a pause, and how it ends."""
    return (
        f"Model {pause.model} is {pause_in_words(pause)}. Its jobs go on by `seqd models resume "
        f"{pause.model}`."
    )
