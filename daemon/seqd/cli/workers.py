"""`seqd workers`: list workers; cordon, drain, uncordon and restart them.

Each command writes rules into the ledger, where they hold until they are removed: also while a
worker is down, and for one that starts later. Workers follow within about half a second.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Annotated

import typer
from pydantic import ValidationError

from seqd.cli import options, readers
from seqd.cli.showing import Found, shown
from seqd.cli.ui.findings import print_findings, redis_told, say_first
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.workers import print_memory, print_rules, print_workers_list
from seqd.doctor.judging import OF_WORKERS, judged
from seqd.errors import DrainUnfinished, InvalidRequest, InvalidSettings, UnknownWorker
from seqd.ledger import Ledger
from seqd.ledger.overview import fleet_overview
from seqd.local.caller import caller
from seqd.local.slots import parse_slot
from seqd.serving import is_drained, is_listening
from seqd.targets import EVERY_WORKER, Place, meant_by, option_of, rule_for, standing, target_of
from seqd.validation import did_you_mean
from seqd.views.workers import nobody_left_told, seen_workers
from seqd_schemas import CordonAction, CordonRule, WorkerStatus

#: Seconds between two looks of a command that waits.
_LOOK_S = 0.2

#: Age of a request to restart from which on it is removed with the next one.
_OLD_RESTART_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """Which workers are meant."""

    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Workers by name, or slots such as gpu:0@host.", metavar="TARGET…"),
    ] = None
    host: Annotated[
        list[str] | None, typer.Option("--host", help="All workers of a host; may be given again.")
    ] = None
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", metavar="KEY=VALUE", help="All workers with a label; may be given again."
        ),
    ] = None

    @property
    def is_said(self) -> bool:
        """True where anything says it."""
        return bool(self.targets or self.host or self.label)

    def of(
        self,
        workers: Sequence[WorkerStatus],
        rules: Sequence[CordonRule] = (),
        *,
        ahead: bool = False,
        hint: str = " With --ahead the rule is made for one that starts later.",
    ) -> list[str]:
        """Return the targets of rules. Raises UnknownWorker for one that nobody has.

        A rule that stands may be meant again though its workers are gone.
        """
        wanted = targets_typed(self.targets, self.host, self.label, workers)
        if not wanted:
            raise InvalidRequest(
                "no worker is meant; allowed: names of workers, slots such as gpu:0@host, --host "
                "HOST, --label KEY=VALUE. `seqd workers list` shows them"
            )
        known = {rule.target for rule in rules}
        for target in wanted:
            check_form(target)
            if target not in known and not ahead and not meant_by([target], workers):
                raise unknown_target(target, workers, known, hint)
        return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRule(Meant):
    """A rule that is to be made."""

    reason: Annotated[
        str, typer.Option("--reason", help="Why, for whoever looks at the workers.")
    ] = ""
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", "-y", help="Do not ask, also where no worker is left to run a model."
        ),
    ] = False
    ahead: Annotated[
        bool,
        typer.Option(
            "--ahead", help="Also for a target that means no worker now: one may start later."
        ),
    ] = False


Wait = Annotated[bool, typer.Option("--wait", help="Wait until it is done.")]
Timeout = Annotated[
    float,
    readers.typed(
        "--timeout-s",
        by=readers.seconds(0.1, 604_800),
        help="Seconds to wait at most; then exit 75.",
    ),
]


@shown
def list_workers() -> Found:
    """List the workers with their states and what they have in hand, and the rules that stand."""
    with options.open_ledger() as ledger:
        fleet = ledger.transport.run(fleet_overview(ledger))
        workers, silent, now_ms = fleet.workers, fleet.silent, fleet.at_ms
        rules = None if fleet.rules is None else standing(fleet.rules)
        seen = seen_workers(
            workers,
            silent,
            fleet.unheard,
            now_ms,
            in_hand=ledger.fleet.in_hand([*(one.worker for one in workers), *silent]),
            last=ledger.fleet.last_records(silent),
        )

    def view(screen: Screen) -> None:
        say_first(screen, redis_told(fleet))
        if seen or fleet.no_writes is None:
            print_workers_list(screen, seen)
        print_findings(screen, [one for one in judged(fleet) if one.id in OF_WORKERS])
        print_memory(screen, workers)
        print_rules(screen, rules, workers, now_ms)

    rows = [one.as_json() for one in seen]
    return Found({"workers": rows, "rules": rules, "takes_no_writes": fleet.no_writes}, view)


@options.takes(NewRule, "asked")
def cordon(asked: NewRule) -> None:
    """Have workers claim nothing new; they finish what they have in hand, and stay up."""
    with options.open_ledger() as ledger:
        _set(ledger, CordonAction.CORDON, asked)


@options.takes(NewRule, "asked")
def drain(
    every: Annotated[
        bool, typer.Option("--all", help="All workers, also those that start later.")
    ] = False,
    wait: Wait = False,
    timeout_s: Timeout = 600.0,
    *,
    asked: NewRule,
) -> None:
    """Have workers claim nothing new, finish or release what they have in hand, and end.

    A training writes a checkpoint and goes on elsewhere. Nothing is started in their place before
    `seqd workers uncordon`.
    """
    if every:
        if asked.is_said:
            raise InvalidRequest("--all means all workers; leave the targets away")
        asked = replace(asked, host=[EVERY_WORKER.partition(":")[2]])
    with options.open_ledger() as ledger:
        workers = ledger.fleet.workers()
        wanted = _set(ledger, CordonAction.DRAIN, asked)
        if wait:
            names = {one.worker for one in meant_by(wanted, workers)}
            _wait_until(lambda: _still_up(ledger, wanted, names), "not drained", timeout_s)
            Screen().say("Drained.", "green")


@options.takes(Meant, "meant")
def uncordon(
    every: Annotated[
        bool, typer.Option("--all", help="Remove the rule of `drain --all`; others stay.")
    ] = False,
    wait: Wait = False,
    timeout_s: Timeout = 600.0,
    *,
    meant: Meant,
) -> None:
    """Remove the rules for these targets: their workers claim again, and are started again.

    With --wait, until each of these targets has a worker that takes work, and no other.
    """
    with options.open_ledger() as ledger:
        rules = standing(ledger.cordons.rules())
        if every:
            if meant.is_said:
                raise InvalidRequest("--all means the rule of `drain --all`; name it or targets")
            removed = [rule for rule in rules if rule.target == EVERY_WORKER]
        else:
            workers = ledger.fleet.workers()
            wanted = meant.of(workers, rules, ahead=True)
            removed = [rule for rule in rules if rule.target in wanted]
            for target in wanted:
                if not any(rule.target == target for rule in removed):
                    raise _no_rule(target, rules, workers)
        if removed:
            with _audited(ledger, "uncordon", removed):
                ledger.cordons.change(remove=removed)
        screen = Screen()
        for rule in removed:
            screen.say(f"Uncordoned {option_of(rule.target)}.", "green")
        if not removed:
            screen.say("No rule of `drain --all` stands.")
        left = [rule for rule in rules if rule not in removed]
        if every and left:
            stay = ", ".join(f"{option_of(rule.target)} ({rule.action})" for rule in left)
            screen.say(f"Other rules stay: {stay}.", "yellow")
        elif not every:
            _say_who_is_held(screen, left, removed, ledger.fleet.workers())
        if wait:
            held = left if every else []
            _wait_until(lambda: _not_ready(ledger, removed, held), "not ready", timeout_s)
            screen.say("Ready.", "green")


@options.takes(Meant, "asked")
def restart(wait: Wait = False, timeout_s: Timeout = 1_800.0, *, asked: Meant) -> None:
    """Replace workers of `seqd up`, one at a time over all hosts; without a target, all of them.

    Each new worker is started first, and the old one drains once that takes work. On a GPU, whose
    memory may not hold both, the old one drains first.
    """
    with options.open_ledger() as ledger:
        workers = [one for one in ledger.fleet.workers() if not is_drained(one)]
        known = ledger.cordons.rules()
        now_ms = ledger.fleet.now_ms()
        if asked.is_said:
            wanted = asked.of(workers, hint="")
            meant = meant_by(wanted, workers)
        else:
            meant = [one for one in workers if one.supervised]
            wanted = sorted({f"host:{one.host}" for one in meant})
        _refuse_foreign(meant)
        rules = [_rule(target, CordonAction.RESTART, "", now_ms) for target in wanted]
        old = [
            rule
            for rule in known
            if rule.action is CordonAction.RESTART
            and rule.at_ms < now_ms - _OLD_RESTART_MS
            and rule.target not in wanted
        ]
        with _audited(ledger, "restart", rules):
            ledger.cordons.change(add=rules, remove=old)
        screen = Screen()
        many = "1 worker is" if len(meant) == 1 else f"{len(meant)} workers are"
        screen.say(f"{many} replaced, one at a time.")
        foreign = [one.worker for one in workers if not one.supervised]
        if foreign and not asked.is_said:
            screen.say(f"Not started by `seqd up`, and left as they are: {', '.join(foreign)}.")
        if wait:
            try:
                names = {one.worker for one in meant}
                _wait_until(lambda: _still_old(ledger, rules, names), "not replaced", timeout_s)
            except KeyboardInterrupt:
                screen.say("They are replaced all the same.")
                raise
            ledger.cordons.change(remove=rules)
            screen.say("Replaced.", "green")
            fleet = ledger.transport.run(fleet_overview(ledger))
            own = replace(fleet, workers=meant_by(wanted, fleet.workers))
            print_findings(screen, [one for one in judged(own) if one.id == "unfit-workers"])


def _audited(
    ledger: Ledger, action: str, rules: Sequence[CordonRule]
) -> AbstractContextManager[None]:
    """Write an act on workers into the audit, in front of a `with` block."""
    reasons = {rule.reason for rule in rules if rule.reason and action != "uncordon"}
    targets = " ".join(rule.target for rule in rules)
    return ledger.audit.act(f"workers.{action}", targets, {"reason": "; ".join(sorted(reasons))})


def _set(ledger: Ledger, action: CordonAction, asked: NewRule) -> list[str]:
    """Set rules, say what they do, and return their targets."""
    workers, known = ledger.fleet.workers(), standing(ledger.cordons.rules())
    wanted = asked.of(workers, known, ahead=asked.ahead)
    meant = meant_by(wanted, workers)
    if not asked.yes:
        _confirm(ledger, action, meant, workers)
    now_ms = ledger.fleet.now_ms()
    rules = [_rule(target, action, asked.reason, now_ms) for target in wanted]
    with _audited(ledger, action.value, rules):
        ledger.cordons.change(add=rules)
    for target in wanted:
        names = [one.worker for one in meant_by([target], meant)]
        who = ", ".join(names) or "no worker that is up"
        Screen().say(f"{action} {option_of(target)}: {who}")
    return wanted


def targets_typed(
    names: Sequence[str] | None,
    hosts: Sequence[str] | None,
    labels: Sequence[str] | None,
    workers: Sequence[WorkerStatus],
) -> list[str]:
    """Return names, hosts and labels as targets, each once. Raises InvalidRequest for a label."""
    targets = [_target_of_name(name, workers) for name in names or ()]
    targets += [f"host:{host}" for host in hosts or ()]
    for label in labels or ():
        key, equals, _ = label.partition("=")
        if not key or not equals:
            raise InvalidRequest(f"--label is {label!r}; allowed: KEY=VALUE, such as pool=a")
        targets.append(f"label:{label}")
    return list(dict.fromkeys(targets))


def _target_of_name(name: str, workers: Sequence[WorkerStatus]) -> str:
    """Return the target of a name: its slot, where the worker's next start gets another name."""
    for one in workers:
        if name == f"{one.slot}@{one.host}":
            return f"slot:{name}"
        if name == one.worker:
            return target_of(one)
    return f"slot:{name}" if _is_slot_at_host(name) else f"worker:{name}"


def _is_slot_at_host(name: str) -> bool:
    try:
        parse_slot(name.rpartition("@")[0])
    except InvalidSettings:
        return False
    return True


def check_form(target: str) -> None:
    """Raise InvalidRequest for a target that can name no worker."""
    try:
        _rule(target, CordonAction.CORDON, "", 0)
    except ValidationError:
        raise InvalidRequest(
            f"{target.partition(':')[2]!r} names no worker; allowed: up to 260 characters, no space"
        ) from None


def unknown_target(
    target: str, workers: Sequence[WorkerStatus], known: set[str], hint: str
) -> UnknownWorker:
    """Return the error for a target that no worker is, with the nearest that there are."""
    if target == EVERY_WORKER:
        return UnknownWorker(f"No worker is up.{hint}")
    kind, _, value = target.partition(":")
    there = {
        "worker": {one.worker for one in workers} | {f"{one.slot}@{one.host}" for one in workers},
        "host": {one.host for one in workers},
        "label": {f"{key}={value}" for one in workers for key, value in one.labels.items()},
    }
    names = there["worker" if kind == "slot" else kind]
    noun = {"host": "host", "label": "label"}.get(kind, "name or slot")
    names |= {rule.partition(":")[2] for rule in known if rule.startswith(f"{kind}:")}
    listed = ", ".join(sorted(names)[:10]) or "none"
    return UnknownWorker(
        f"No worker that is up has the {noun} {value!r}.{did_you_mean(value, names)} There are: "
        f"{listed}.{hint}"
    )


def _no_rule(
    target: str, rules: Sequence[CordonRule], workers: Sequence[WorkerStatus]
) -> UnknownWorker:
    meant = meant_by([target], workers)
    wider = [rule_for(rules, Place.of(one)) for one in meant]
    options_ = sorted({option_of(rule.target) for rule in wider if rule is not None})
    if options_:
        return UnknownWorker(
            f"No rule is for {option_of(target)} itself. What means it: `seqd workers uncordon "
            f"{' '.join(options_)}`, which ends that for all whom the rule means."
        )
    standing = ", ".join(option_of(rule.target) for rule in rules) or "none"
    return UnknownWorker(f"No rule is for {option_of(target)}. Rules stand for: {standing}.")


def _confirm(
    ledger: Ledger,
    action: CordonAction,
    meant: Sequence[WorkerStatus],
    workers: Sequence[WorkerStatus],
) -> None:
    """Ask where nobody is left to run something. Raises Unconfirmed where nobody can be asked."""
    says = nobody_left_told(workers, {one.worker for one in meant}, ledger.fleet.catalog())
    if not says:
        return
    options.ask(f"{says}\n{action} all the same?", f"{says} Say --yes to {action} all the same.")


def _refuse_foreign(meant: Sequence[WorkerStatus]) -> None:
    """Raise InvalidRequest for workers that no `seqd up` has started, and when there are none."""
    foreign = [one.worker for one in meant if not one.supervised]
    if foreign:
        raise InvalidRequest(
            f"{', '.join(foreign[:5])}: not started by `seqd up`, so whoever starts it has to "
            "restart it: `seqd workers drain … --wait`, then its supervisor's restart, then `seqd "
            "workers uncordon …`"
        )
    if not meant:
        raise UnknownWorker("No worker of `seqd up` is up. `seqd workers list` shows who is.")


def _still_up(ledger: Ledger, wanted: Sequence[str], names: set[str]) -> list[str]:
    """Return the workers that have not drained, each with what it does; adds to `names`.

    One of them that is not heard of just now has not ended: who ends in order says so.
    """
    meant = meant_by(wanted, ledger.fleet.workers())
    names |= {one.worker for one in meant}
    drained = {one.worker for one in meant if one.cordon and one.cordon.phase == "drained"}
    up = ({one.worker for one in meant} | (names & ledger.fleet.silent_workers().keys())) - drained
    held = ledger.fleet.in_hand(up)
    return [f"{name} ({held.get(name, (0, 0))[1]} units in hand)" for name in sorted(up)]


def _not_ready(
    ledger: Ledger, removed: Sequence[CordonRule], held: Sequence[CordonRule]
) -> list[str]:
    """Return the workers that do not take work yet, and the targets that have none.

    Those that a rule of `held` means are left out.
    """
    everyone, waiting = ledger.fleet.workers(), list[str]()
    workers = [one for one in everyone if rule_for(held, Place.of(one)) is None]
    for rule in removed:
        meant = meant_by([rule.target], workers)
        late = [one.worker for one in meant if one.cordon is not None or not is_listening(one)]
        waiting += late if meant else [option_of(rule.target)]
    return waiting


def _still_old(ledger: Ledger, rules: Sequence[CordonRule], names: set[str]) -> list[str]:
    """Return which of the workers were not replaced.

    One that is not heard of just now has not ended: who ends in order says so. Raises
    DrainUnfinished where `seqd up` has given it up.
    """
    up = {one.worker for one in ledger.fleet.workers()} | ledger.fleet.silent_workers().keys()
    old = sorted(names & up)
    standing = ledger.cordons.rules()
    if old and any(rule not in standing for rule in rules):
        raise DrainUnfinished(
            f"{', '.join(old)}: not replaced, since a new worker did not come up; the old ones go "
            "on. The screen of `seqd up` and the log of the slot, in SEQD_DATA_DIR/logs, say why."
        )
    return old


def _wait_until(left: Callable[[], list[str]], what: str, timeout_s: float) -> None:
    """Wait until nobody is left. Raises DrainUnfinished when the time is over."""
    deadline_s = time.monotonic() + timeout_s
    while names := left():
        if time.monotonic() >= deadline_s:
            raise DrainUnfinished(
                f"{', '.join(names)}: {what} after {timeout_s:g} s (--timeout-s). It goes on; "
                "`seqd workers list` shows how far it is."
            )
        time.sleep(_LOOK_S)


def _say_who_is_held(
    screen: Screen,
    left: Sequence[CordonRule],
    removed: Sequence[CordonRule],
    workers: Sequence[WorkerStatus],
) -> None:
    """Say which of the workers that were uncordoned another rule means."""
    for one in meant_by([rule.target for rule in removed], workers):
        rule = rule_for(left, Place.of(one))
        if rule is not None:
            screen.say(
                f"{one.worker} claims nothing still, by the {rule.action} of "
                f"{option_of(rule.target)}.",
                "yellow",
            )


def _rule(target: str, action: CordonAction, reason: str, at_ms: int) -> CordonRule:
    return CordonRule(target=target, action=action, reason=reason[:500], by=caller(), at_ms=at_ms)
