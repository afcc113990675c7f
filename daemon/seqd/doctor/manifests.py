"""What Kubernetes manifests are looked at for: the known traps of KEDA, and of a pod's end.

Reads files alone: neither Redis nor a cluster is asked. It needs PyYAML.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from seqd.doctor.findings import Check, Finding, NotChecked, Report, Severity, finding
from seqd.doctor.running import run_checks
from seqd.errors import InvalidInput, InvalidSettings
from seqd.kinds import TRAIN

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Bytes of a file that are read.
_MAX_BYTES: Final = 4 * 2**20

#: Documents of a file that are looked at.
_MAX_DOCUMENTS: Final = 1_000

_SCALERS: Final = ("ScaledObject", "ScaledJob")
_WORKLOADS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod")

#: Metrics of which one has to be in a query: they count work in hand.
_WHOLE: Final = ("seqd_work_left_seconds", "seqd_busy_workers", "seqd_leased_items")

#: What KEDA and Kubernetes take where a manifest says nothing.
_KEDA_COOLDOWN_S: Final = 300
_KUBERNETES_GRACE_S: Final = 30

#: Seconds below which a trickle of jobs starts and ends a fleet of none all the time.
_COOLDOWN_S: Final = 600

#: Seconds that a worker takes to end beside SEQD_DRAIN_S: a call of a plugin that is on, and Redis
#: that is away for 5 s.
_END_S: Final = 35.0

#: A mapping of YAML, as it is read.
_Node = Mapping[str, object]


def examine_manifests(settings: "Settings", files: Sequence[Path]) -> Report:
    """Return the traps in manifests.

    Raises InvalidInput for a file that is no YAML, and InvalidSettings without PyYAML.
    """
    report = Report()
    for file in files:
        found = _Manifest(file, _documents(file), settings)
        report.add(run_checks([Check(f"manifest {file}", found.findings)]))
    return report


def _documents(file: Path) -> list[object]:
    try:
        import yaml
    except ModuleNotFoundError:
        raise InvalidSettings(
            "seqd doctor --manifest needs PyYAML, which is not installed: pip install "
            "'seqd[doctor]'"
        ) from None
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}.") from None
    if len(content) > _MAX_BYTES:
        raise InvalidInput(f"{file} has more than {_MAX_BYTES:,} bytes, which no manifest has.")
    try:
        # That of libyaml bounds nesting; PyYAML's own takes seconds to find out.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        documents = list(yaml.load_all(content, Loader=loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = " ".join(str(error).split())[:300]
        raise InvalidInput(f"{file} is no YAML: {first}.") from None
    return documents[:_MAX_DOCUMENTS]


@dataclass(frozen=True, slots=True)
class _Manifest:
    file: Path
    documents: list[object]
    settings: "Settings"

    def findings(self) -> Iterator[Finding]:
        objects = [one for document in self.documents for one in _objects(document)]
        known = 0
        for one in objects:
            kind, where = _text(one.get("kind")), f"{self.file}: {_named(one)}"
            if kind in _SCALERS:
                known += 1
                yield from _scaler(where, one, self.settings)
            elif kind in _WORKLOADS and _is_of_seqd(one):
                known += 1
                yield from _workload(where, one, self.settings)
        if not known:
            raise NotChecked(
                f"it has no {', '.join(_SCALERS)}, and no Deployment, StatefulSet or Pod with seqd"
            )


def _objects(document: object) -> Iterator[_Node]:
    """Yield a document, or those of a `List` in it."""
    node = _node(document)
    items = node.get("items")
    if _text(node.get("kind")).endswith("List") and isinstance(items, list):
        yield from (_node(item) for item in items)
    elif node:
        yield node


def _scaler(where: str, scaler: _Node, settings: "Settings") -> Iterator[Finding]:
    spec = _node(scaler.get("spec"))
    triggers = [_node(one) for one in _list(spec.get("triggers"))]
    ours = [one for one in triggers if _is_of_ours(one, settings)]
    if not ours:
        return
    if scaler.get("kind") == "ScaledJob":
        yield finding(
            "keda-scaled-job",
            f"{where} starts a Job by the work that is left",
            "Scale a Deployment by a ScaledObject: docker/k8s/components/keda/scaledobject.yaml",
        )
    for number, trigger in enumerate(triggers):
        if trigger in ours:
            yield from _trigger(f"{where}, trigger {number + 1}", trigger, spec)
    queries = [_query(one) for one in ours if _query(one)]
    if queries and not any(metric in query for metric in _WHOLE for query in queries):
        yield finding(
            "keda-waiting-only",
            f"{where} scales by what waits alone: {queries[0]}",
            f'Scale by sum(seqd_work_left_seconds{{task!="{TRAIN}"}}), which counts work in hand',
        )
    if scaler.get("kind") == "ScaledObject":
        yield from _bounds(where, spec, has_query=bool(queries))


def _trigger(where: str, trigger: _Node, spec: _Node) -> Iterator[Finding]:
    kind, metadata = _text(trigger.get("type")), _node(trigger.get("metadata"))
    if kind.startswith("redis"):
        key = metadata.get("listName", metadata.get("stream"))
        yield finding(
            "keda-redis-scaler",
            f"{where} is the scaler {kind} on the key {_text(key)}",
            "Use the scaler prometheus on seqd_work_left_seconds: docker/scaling.md",
        )
        return
    if _text(metadata.get("ignoreNullValues", "true")).lower() != "false":
        given = metadata.get("ignoreNullValues")
        told = "no ignoreNullValues, which is true then"
        yield finding(
            "keda-ignore-null-values",
            f"{where} has {told if given is None else f'ignoreNullValues {_text(given)}'}",
            'Set ignoreNullValues: "false", and a fallback',
        )
    wakes_from_zero = _number(spec.get("minReplicaCount"), 0) == 0
    activation = metadata.get("activationThreshold")
    if activation is None and wakes_from_zero:
        yield finding(
            "keda-activation-threshold",
            f"{where} has no activationThreshold, and minReplicaCount is 0",
            'Say activationThreshold: "0": it is the default, and nobody raises what is written',
            severity=Severity.WARNING,
        )
    elif activation is not None and _number(activation, -1) != 0:
        yield finding(
            "keda-activation-threshold",
            f"{where} has activationThreshold {_text(activation)}",
            'Set activationThreshold: "0"',
            severity=None if wakes_from_zero else Severity.WARNING,
        )


def _bounds(where: str, spec: _Node, *, has_query: bool) -> Iterator[Finding]:
    fallback = _node(spec.get("fallback"))
    if has_query and not fallback:
        yield finding(
            "keda-no-fallback",
            f"{where} has no fallback",
            "Set fallback: {failureThreshold: 3, replicas: 1, behavior: currentReplicasIfHigher}",
        )
    elif has_query and fallback.get("behavior") not in (
        "currentReplicasIfHigher",
        "currentReplicas",
    ):
        yield finding(
            "keda-fallback-behavior",
            f"{where} has a fallback with the behavior {_text(fallback.get('behavior', 'static'))}",
            "Set behavior: currentReplicasIfHigher (KEDA 2.17 or newer)",
        )
    cooldown_s = _number(spec.get("cooldownPeriod"), _KEDA_COOLDOWN_S)
    if _number(spec.get("minReplicaCount"), 0) == 0 and cooldown_s < _COOLDOWN_S:
        said = "" if spec.get("cooldownPeriod") is not None else ", KEDA's default"
        yield finding(
            "keda-cooldown",
            f"{where} goes to zero {cooldown_s:g} s after the last work (cooldownPeriod{said})",
            f"Set cooldownPeriod: {_COOLDOWN_S}, or minReplicaCount: 1",
        )


def _workload(where: str, workload: _Node, settings: "Settings") -> Iterator[Finding]:
    spec = _pod_of(workload)
    grace_s = _number(spec.get("terminationGracePeriodSeconds"), _KUBERNETES_GRACE_S)
    drain_s = _drain_s(spec, settings)
    is_default = spec.get("terminationGracePeriodSeconds") is None
    if _is_worker(spec) and grace_s < drain_s + _END_S:
        yield finding(
            "k8s-grace-period",
            f"{where} gives workers {grace_s:g} s to end"
            f"{' (the default)' if is_default else ''}; with SEQD_DRAIN_S {drain_s:g} they may "
            f"take {drain_s + _END_S:g} s",
            f"Set terminationGracePeriodSeconds: {max(45, round(drain_s + _END_S + 10))}",
            severity=Severity.ERROR if grace_s <= drain_s else Severity.WARNING,
        )
    if spec.get("enableServiceLinks") is not False:
        yield finding(
            "k8s-service-links",
            f"{where} has enableServiceLinks on, as it is by default",
            "Set enableServiceLinks: false",
        )


def _is_of_ours(trigger: _Node, settings: "Settings") -> bool:
    """Return whether a trigger looks at seqd: at its metrics, or at its keys in Redis."""
    kind, metadata = _text(trigger.get("type")), _node(trigger.get("metadata"))
    if kind.startswith("redis"):
        key = _text(metadata.get("listName", metadata.get("stream")))
        return key.startswith((f"{settings.prefix}:", f"{settings.prefix}."))
    return "seqd_" in _query(trigger)


def _query(trigger: _Node) -> str:
    return _text(_node(trigger.get("metadata")).get("query"))


def _pod_of(workload: _Node) -> _Node:
    spec = _node(workload.get("spec"))
    return spec if workload.get("kind") == "Pod" else _node(_node(spec.get("template")).get("spec"))


def _containers(spec: _Node) -> list[_Node]:
    return [_node(one) for one in _list(spec.get("containers"))]


def _is_of_seqd(workload: _Node) -> bool:
    return any(
        "seqd" in _text(one.get("image"))
        or any(_text(_node(row).get("name")).startswith("SEQD_") for row in _list(one.get("env")))
        or "seqd" in map(_text, [*_list(one.get("command")), *_list(one.get("args"))])
        for one in _containers(_pod_of(workload))
    )


def _is_worker(spec: _Node) -> bool:
    words = [
        _text(word)
        for one in _containers(spec)
        for word in [*_list(one.get("command")), *_list(one.get("args"))]
    ]
    return not words or bool({"worker", "up"} & set(words))


def _drain_s(spec: _Node, settings: "Settings") -> float:
    """Return SEQD_DRAIN_S as a container has it, else as it is here."""
    for one in _containers(spec):
        for row in map(_node, _list(one.get("env"))):
            if row.get("name") == "SEQD_DRAIN_S":
                return _number(row.get("value"), settings.drain_s)
    return settings.drain_s


def _named(node: _Node) -> str:
    name = _node(node.get("metadata")).get("name")
    return f"{_text(node.get('kind'))} {_text(name)}".strip()


def _node(value: object) -> _Node:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    """Return a value as YAML has it; '' for none, and for what is no single value."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else ""


def _number(value: object, otherwise: float) -> float:
    try:
        return float(_text(value)) if value is not None else otherwise
    except ValueError:
        return otherwise
