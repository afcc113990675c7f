"""The rules and the dashboard of `docker/monitoring`: alerts, panels, queries, names of metrics."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from checkout import ROOT

MONITORING = ROOT / "docker" / "monitoring"
METRICS = ROOT / "docker" / "metrics.md"
RULES = MONITORING / "alerts.yaml"
DASHBOARD = MONITORING / "dashboard.json"
PROMETHEUS_RULE = ROOT / "docker" / "k8s" / "components" / "monitoring" / "prometheusrule.yaml"

#: What a PrometheusRule has around the groups of the rules.
_HEAD = """\
# docker/monitoring/alerts.yaml for the Prometheus Operator; `make monitoring` writes this file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: seqd
  labels:
    # What the operator's Prometheus selects by; change it to yours.
    release: prometheus
spec:
"""

#: What histograms are exported as.
_PARTS = re.compile(r"_(bucket|sum|count)$")


@dataclass(frozen=True)
class Query:
    """A query of a panel, and the name of its lines; `{{label}}` stands for a label's value."""

    expr: str
    legend: str

    def asked(self, rate_interval: str = "1m") -> str:
        """Return what Grafana asks for all namespaces."""
        return self.expr.replace("$namespace", ".*").replace("$__rate_interval", rate_interval)


@dataclass(frozen=True)
class Panel:
    """A panel of the dashboard; a row's title is one of the type `row`, without queries."""

    kind: str
    title: str
    unit: str
    x: int
    y: int
    width: int
    height: int
    queries: tuple[Query, ...]


def alerts() -> list[dict[str, Any]]:
    """Return all alert rules."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[Panel]:
    """Return the panels of the dashboard, in the order in which they are read."""
    found = [_panel_of(one) for one in json.loads(DASHBOARD.read_text("utf-8"))["panels"]]
    return sorted(found, key=lambda panel: (panel.y, panel.x))


def queries() -> Iterator[tuple[str, str]]:
    """Yield each query, of rules and of panels, with where it stands."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for query in panel.queries:
            yield f"panel {panel.title}", query.asked()


def metrics_of(query: str) -> set[str]:
    """Return the names of the metrics of ours in a query, a histogram's without its parts."""
    return {_PARTS.sub("", name) for name in re.findall(r"\bseqd_\w+", query)}


def told_metrics() -> dict[str, set[str]]:
    """Return the labels of each metric, by its name, as the tables of the guide have them."""
    rows = re.findall(r"^\| `(seqd_\w+)` \| (.*?) \|", METRICS.read_text(encoding="utf-8"), re.M)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def prometheus_rule() -> str:
    """Return the rules as the object that the Prometheus Operator takes, comments and all."""
    _, _, groups = RULES.read_text(encoding="utf-8").partition("\ngroups:\n")
    lines = ["groups:", *groups.splitlines()]
    return _HEAD + "".join(f"  {line}\n" if line else "\n" for line in lines)


def _panel_of(found: dict[str, Any]) -> Panel:
    place = found["gridPos"]
    defaults = found.get("fieldConfig", {}).get("defaults", {})
    return Panel(
        kind=found["type"],
        title=found["title"],
        unit=defaults.get("unit", ""),
        x=place["x"],
        y=place["y"],
        width=place["w"],
        height=place["h"],
        queries=tuple(Query(one["expr"], one["legendFormat"]) for one in found.get("targets", [])),
    )


def write_prometheus_rule() -> None:
    """Write the object for the Prometheus Operator."""
    PROMETHEUS_RULE.write_text(prometheus_rule(), encoding="utf-8")
