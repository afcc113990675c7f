"""The traps of KEDA and Kubernetes that `seqd doctor --manifest` finds, and files that are none."""

from pathlib import Path

import pytest

from cli_builders import here
from readme_blocks import ROOT
from seqd.doctor.findings import Report
from seqd.doctor.manifests import examine_manifests
from seqd.settings import Settings

#: A ScaledObject that is in order.
SCALER = """
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: mine}
spec:
  minReplicaCount: 0
  cooldownPeriod: 600
  fallback: {failureThreshold: 3, replicas: 1, behavior: currentReplicasIfHigher}
  triggers:
    - type: prometheus
      metadata:
        query: sum(seqd_work_left_seconds)
        threshold: "120"
        activationThreshold: "0"
        ignoreNullValues: "false"
"""

#: A Deployment that is in order.
DEPLOYMENT = """
kind: Deployment
metadata: {name: workers}
spec:
  template:
    spec:
      terminationGracePeriodSeconds: 45
      enableServiceLinks: false
      containers:
        - {name: worker, image: "seqd:cpu", args: [worker]}
"""


def examined(folder: Path, text: str) -> Report:
    file = folder / "m.yaml"
    file.write_text(text)
    return examine_manifests(Settings(), [file])


def test_what_is_shipped_has_no_trap() -> None:
    files = sorted((ROOT / "docker" / "k8s").rglob("*.yaml"))
    shipped = [path for path in files if path.name in ("scaledobject.yaml", "exporter.yaml")]
    shipped += [
        ROOT / "docker" / "k8s" / "base" / f"{name}.yaml" for name in ("serving", "training")
    ]

    report = examine_manifests(Settings(), shipped)

    assert (report.findings, report.not_checked) == ([], [])
    assert len(report.checked) == 4


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ('        ignoreNullValues: "false"\n', "", "keda-ignore-null-values"),
        ('ignoreNullValues: "false"', "ignoreNullValues: true", "keda-ignore-null-values"),
        ('activationThreshold: "0"', 'activationThreshold: "5"', "keda-activation-threshold"),
        ('        activationThreshold: "0"\n', "", "keda-activation-threshold"),
        ("seqd_work_left_seconds", "seqd_queue_items", "keda-waiting-only"),
        ("fallback:", "unknown:", "keda-no-fallback"),
        (", behavior: currentReplicasIfHigher", "", "keda-fallback-behavior"),
        ("cooldownPeriod: 600", "cooldownPeriod: 60", "keda-cooldown"),
        ("  cooldownPeriod: 600\n", "", "keda-cooldown"),
        ("kind: ScaledObject", "kind: ScaledJob", "keda-scaled-job"),
    ],
)
def test_each_trap_of_a_scaler_is_found_alone(
    tmp_path: Path, old: str, new: str, kind: str
) -> None:
    assert old in SCALER

    found = examined(tmp_path, SCALER.replace(old, new)).findings

    assert [one.id for one in found] == [kind]
    assert found[0].what.startswith(f"{tmp_path}/m.yaml: Scaled")


@pytest.mark.parametrize("kind", ["redis", "redis-sentinel", "redis-streams"])
def test_a_scaler_on_a_list_of_seqd_is_found_and_one_on_another_is_not(
    tmp_path: Path, kind: str
) -> None:
    def spec(key: str) -> str:
        name = "stream" if kind == "redis-streams" else "listName"
        trigger = f"[{{type: {kind}, metadata: {{{name}: '{key}'}}}}]"
        return f"kind: ScaledObject\nspec: {{minReplicaCount: 1, triggers: {trigger}}}\n"

    ours = examined(tmp_path, spec("seqd:wakeup.classify.imdb_lstm"))
    others = examined(tmp_path, spec("orders"))

    assert [one.id for one in ours.findings] == ["keda-redis-scaler"]
    assert others.findings == []


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ("Seconds: 45", "Seconds: 20", ["k8s-grace-period"]),
        ("      terminationGracePeriodSeconds: 45\n", "", ["k8s-grace-period"]),
        ("args: [worker]", "args: [exporter]", []),
        ("enableServiceLinks: false", "hostNetwork: false", ["k8s-service-links"]),
        ("seqd:cpu", "web:1", []),
        (
            "args: [worker]",
            "args: [worker], env: [{name: SEQD_DRAIN_S, value: '60'}]",
            ["k8s-grace-period"],
        ),
    ],
)
def test_a_pod_has_time_to_end_and_no_variables_of_services(
    tmp_path: Path, old: str, new: str, kinds: list[str]
) -> None:
    assert old in DEPLOYMENT

    assert [one.id for one in examined(tmp_path, DEPLOYMENT.replace(old, new)).findings] == kinds


def test_several_documents_and_lists_are_read(tmp_path: Path) -> None:
    item = "- {kind: ScaledJob, spec: {triggers: [{type: redis, metadata: {listName: 'seqd:x'}}]}}"
    text = f"{DEPLOYMENT}---\nkind: List\nitems:\n{item}\n--- null\n--- [1, 2]\n--- text\n"

    assert [one.id for one in examined(tmp_path, text).findings] == [
        "keda-scaled-job",
        "keda-redis-scaler",
    ]


def test_a_file_with_nothing_to_look_at_is_not_checked(tmp_path: Path) -> None:
    report = examined(tmp_path, "kind: ConfigMap\n")

    assert [(one.what, one.why) for one in report.not_checked] == [
        (
            f"manifest {tmp_path}/m.yaml",
            "it has no ScaledObject, ScaledJob, and no Deployment, StatefulSet or Pod with seqd",
        )
    ]


@pytest.mark.parametrize(
    "text", ["a: [", "!!python/object/apply:os.system [id]", "[" * 50_000, "a: \x00", "a: *b"]
)
def test_what_is_no_yaml_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(text)

    ended = here(capsys, "doctor", "--manifest", str(file))

    assert ended.status == 2
    assert ended.err.startswith(f"error[invalid_input]: {file} is no YAML: ")


def test_hostile_names_do_not_reach_a_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = SCALER.replace("name: mine", r'name: "a\e[2J\nb"').replace('"120"', "120")
    file = tmp_path / "m.yaml"
    file.write_text(text.replace("seqd_work_left_seconds", r"seqd_queue_items"))

    ended = here(capsys, "doctor", "--manifest", str(file))

    assert ended.status == 1
    assert "\x1b[2J" not in ended.out
    assert r"ScaledObject a\x1b[2J\nb scales by what waits alone" in ended.out
    assert ended.out.endswith("1 check: 1 error\n")
