"""The fields of custom resources that our manifests use, as their projects document them.

Of KEDA (`keda.sh/docs`, ScaledObject specification, 2.17 and newer) and of the Prometheus Operator
(`prometheus-operator.dev/docs`, API reference, v1). A field that a manifest gets for the first time
is looked up there and added here; `*` stands for names of one's own.
"""

from collections.abc import Iterator
from typing import Final

from deploy_files import Document

_ENDPOINT: Final = {"port": str, "path": str, "interval": str, "scrapeTimeout": str}
_RULE: Final = {"alert": str, "expr": str, "for": str, "labels.*": str, "annotations.*": str}


def _under(parent: str, fields: dict[str, type]) -> dict[str, type]:
    return {f"{parent}.{name}": kind for name, kind in fields.items()}


_API: Final = {
    "ScaledObject": "keda.sh/v1alpha1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
}

#: By kind, the type of each field of `spec`; of a list that of its elements.
_FIELDS: Final[dict[str, dict[str, type]]] = {
    "ScaledObject": {
        "scaleTargetRef.name": str,
        "pollingInterval": int,
        "cooldownPeriod": int,
        "minReplicaCount": int,
        "maxReplicaCount": int,
        **_under("fallback", {"failureThreshold": int, "replicas": int, "behavior": str}),
        **_under(
            "advanced.horizontalPodAutoscalerConfig.behavior.scaleDown",
            {
                "stabilizationWindowSeconds": int,
                "policies.type": str,
                "policies.value": int,
                "policies.periodSeconds": int,
            },
        ),
        # Numbers and truth values are texts here.
        **_under("triggers", {"type": str, "metricType": str, "metadata.*": str}),
    },
    "ServiceMonitor": {"selector.matchLabels.*": str, **_under("endpoints", _ENDPOINT)},
    "PodMonitor": {
        **_under("selector.matchExpressions", {"key": str, "operator": str, "values": str}),
        **_under("podMetricsEndpoints", _ENDPOINT),
    },
    "PrometheusRule": {"groups.name": str, **_under("groups.rules", _RULE)},
}

#: Fields that a part, where it is there, must have.
_REQUIRED: Final = {
    "ScaledObject": {
        "": ("scaleTargetRef", "triggers"),
        "scaleTargetRef": ("name",),
        "fallback": ("failureThreshold", "replicas"),
        "triggers": ("type", "metadata"),
    },
    "ServiceMonitor": {"": ("selector", "endpoints")},
    "PodMonitor": {"": ("selector", "podMetricsEndpoints")},
    "PrometheusRule": {"groups": ("name",), "groups.rules": ("expr",)},
}


def faults_of(document: Document) -> list[str]:
    """Return what of a custom resource is no field that is known, is of another type, or lacks."""
    kind = document["kind"]
    found = [] if document["apiVersion"] == _API[kind] else [f"apiVersion: {_API[kind]} is due"]
    for path, value in _parts("", document["spec"]):
        if isinstance(value, dict):
            lacking = [name for name in _REQUIRED[kind].get(path, ()) if name not in value]
            found += [f"{path or 'spec'}: {name} is due" for name in lacking]
            continue
        wanted = _type_of(kind, path)
        if wanted is None:
            found.append(f"{path} is not known")
        elif type(value) is not wanted:
            found.append(f"{path} is {value!r}; allowed: {wanted.__name__}")
    return found


def _type_of(kind: str, path: str) -> type | None:
    fields = _FIELDS[kind]
    own = (name for name in fields if name.endswith("*") and path.startswith(name[:-1]))
    return fields.get(path) or fields.get(next(own, ""))


def _parts(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield each object and each value below, by its path; of a list its elements."""
    if isinstance(value, list):
        for one in value:
            yield from _parts(path, one)
        return
    yield path, value
    for name, one in value.items() if isinstance(value, dict) else ():
        yield from _parts(f"{path}.{name}".removeprefix("."), one)
