"""The alert rules and the dashboard: understood by Prometheus, whole, and told of in the guide."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from deploy_files import DOCKER, documents, run, tool, unknown_in
from monitoring.files import (
    MONITORING,
    PROMETHEUS_RULE,
    RULES,
    alerts,
    metrics_of,
    panels,
    prometheus_rule,
    queries,
    told_metrics,
)
from seqd.settings import Settings

#: Alerts of something that has happened: there is nothing to wait for.
#: Labels that Prometheus itself adds.
OF_PROMETHEUS = {"namespace", "job", "instance", "pod", "le", "alertname", "severity"}

EVENTS = {"SeqdHang", "SeqdOutOfMemory", "SeqdDeviceLost", "SeqdResultsRemovedEarly"}


def promtool(*arguments: str) -> str:
    done = run(tool("promtool", "prometheus"), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_understands_the_rules_and_the_example_that_reads_them() -> None:
    said = promtool("check", "config", str(MONITORING / "prometheus.yaml"))

    assert f"SUCCESS: {len(alerts())} rules found" in said


@pytest.mark.slow
def test_each_alert_fires_and_ends_when_it_should_and_else_none_does() -> None:
    promtool("test", "rules", str(MONITORING / "alerts_test.yaml"))

    told = (MONITORING / "alerts_test.yaml").read_text(encoding="utf-8")
    untested = [one["alert"] for one in alerts() if one["alert"] not in told]
    assert untested == []


def test_prometheus_understands_each_query_of_the_dashboard(tmp_path: Path) -> None:
    asked = [{"record": f"asked{at}", "expr": query} for at, (_, query) in enumerate(queries())]
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": asked}]}))

    promtool("check", "rules", str(rules))

    assert len(asked) > len(alerts())


def test_each_query_asks_for_metrics_and_labels_that_the_guide_tells_of() -> None:
    told = told_metrics()
    for where, query in queries():
        names, groups = metrics_of(query), re.findall(r"by \(([^)]*)\)", query)
        labels = OF_PROMETHEUS.union(*(told.get(name, set()) for name in names))

        assert names <= told.keys(), where
        assert set(re.findall(r"\w+", " ".join(groups))) <= labels, where


def test_each_alert_says_how_urgent_it_is_and_what_to_do() -> None:
    runbook = (DOCKER / "RUNBOOK.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", runbook, re.M)
    anchors = {title.lower().replace(" ", "-") for title in titles}
    for rule in alerts():
        told = rule["annotations"]

        assert rule["labels"] in ({"severity": "page"}, {"severity": "ticket"}), rule
        assert ("for" in rule) == (rule["alert"] not in EVENTS), rule
        assert set(told) == {"summary", "description", "runbook_url"}, rule
        assert "seqd " in told["description"], rule
        page, _, anchor = told["runbook_url"].partition("#")
        assert page == "docker/RUNBOOK.md", rule
        assert anchor in anchors, rule
        # A fleet that two exporters tell of is one, and fleets are told apart.
        assert "by (namespace" in rule["expr"], rule
    named = set(re.findall(r"`(Seqd\w+)`", runbook))
    assert named - {rule["alert"] for rule in alerts()} == set()


def test_each_command_that_an_alert_names_is_there() -> None:
    unknown = {
        command: missing
        for rule in alerts()
        for command in re.findall(r"`seqd ([^`]+)`", rule["annotations"]["description"])
        for words in [shlex.split(command.replace("{{ $labels.", "").replace(" }}", ""))]
        for missing in [unknown_in(words)]
        if missing
    }

    assert unknown == {}


def test_redis_is_full_for_the_alerts_before_new_jobs_are_refused() -> None:
    refused = Settings.model_fields["max_memory_share"].default
    limits = {
        rule["alert"]: float(rule["expr"].rpartition(">")[2])
        for rule in alerts()
        if rule["alert"] in ("SeqdRedisMemoryHigh", "SeqdRedisFull")
    }

    assert limits["SeqdRedisMemoryHigh"] < limits["SeqdRedisFull"] < refused


def test_the_rules_of_the_prometheus_operator_are_the_same() -> None:
    """`make monitoring` writes them again."""
    (ours,) = documents(RULES)
    (theirs,) = documents(PROMETHEUS_RULE)

    assert theirs["spec"] == ours
    assert PROMETHEUS_RULE.read_text(encoding="utf-8") == prometheus_rule()


def test_the_panels_fill_the_dashboard_without_covering_each_other() -> None:
    found = panels()
    cells = [
        (x, y)
        for panel in found
        for x in range(panel.x, panel.x + panel.width)
        for y in range(panel.y, panel.y + panel.height)
    ]

    assert len(cells) == len(set(cells))
    assert len(cells) == 24 * max(panel.y + panel.height for panel in found)


def test_each_panel_has_a_title_a_unit_and_lines_with_names() -> None:
    for panel in panels():
        assert panel.title
        if panel.kind != "row":
            assert panel.unit and panel.queries, panel.title
            assert all("namespace" in query.expr for query in panel.queries), panel.title
        if panel.kind == "timeseries":
            names = [query.legend for query in panel.queries]
            assert all(names) and len(names) == len(set(names)), panel.title
            for query in panel.queries:
                for label in re.findall(r"{{(\w+)}}", query.legend):
                    assert re.search(rf"by \([^)]*\b{label}\b", query.expr), query


def test_the_guide_has_a_row_for_each_alert_and_for_each_row_of_the_dashboard() -> None:
    text = (DOCKER / "monitoring.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(Seqd\w+)` \| (\w+) \| .+ \| (\S+) \|$", text, re.M)

    assert told == [
        (
            rule["alert"],
            rule["labels"]["severity"],
            rule["annotations"]["runbook_url"].partition("#")[2],
        )
        for rule in alerts()
    ]
    rows = [panel.title for panel in panels() if panel.kind == "row"]
    assert re.findall(r"^\| \*\*(.+)\*\* \|", text, re.M) == rows
