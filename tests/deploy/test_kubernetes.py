"""The Kubernetes files: built by kustomize, and held against the schemas of the API."""

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from deploy_files import DOCKER, OVERLAYS, Document, documents, labels_match, run, tool
from seqd.settings import Settings

pytestmark = pytest.mark.slow

#: The oldest and the newest Kubernetes that the files are for; DRA as it is used is of 1.34.
VERSIONS = ("1.34", "1.37")

#: A worker ends within this, as its guide says.
DRAIN_S = 35

#: Each overlay, and one of them with the component `gateway`.
BUILDS = (*OVERLAYS, "cpu+gateway")

WORKLOADS = ("Deployment", "StatefulSet")
CUSTOM = ("ScaledObject", "ServiceMonitor")


@cache
def built(overlay: str) -> list[Document]:
    """Return what `kubectl apply -k` would send, also for an overlay `+` a component."""
    name, _, component = overlay.partition("+")
    if not component:
        return built_in(DOCKER / "k8s" / "overlays" / name)
    with TemporaryDirectory() as folder:
        return built_in(own_overlay(Path(folder), f"overlays/{name}", component))


def built_in(folder: Path) -> list[Document]:
    done = run(tool("kustomize", "kustomize"), "build", str(folder))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return list(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> list[Document]:
    return [one for one in built(overlay) if one["kind"] in kinds]


def named(overlay: str, kind: str, name: str) -> Document:
    (found,) = [one for one in of_kind(overlay, kind) if one["metadata"]["name"] == name]
    return found


def pod_of(workload: Document) -> Document:
    pod: Document = workload["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", BUILDS)
def test_each_object_is_as_the_api_wants_it(overlay: str, version: str) -> None:
    validator = pytest.importorskip(
        "kubernetes_validate", reason="pip install 'seqd[deploy]'", exc_type=ImportError
    )

    for document in built(overlay):
        if document["kind"] not in CUSTOM:
            validator.validate(document, version, strict=True)


def test_a_field_that_the_api_does_not_have_is_found() -> None:
    validator = pytest.importorskip(
        "kubernetes_validate", reason="pip install 'seqd[deploy]'", exc_type=ImportError
    )
    wrong = {**named("cpu", "PodDisruptionBudget", "seqd-serving")}
    wrong["spec"] = {**wrong["spec"], "maxUnavailible": 1}

    with pytest.raises(validator.ValidationError, match="maxUnavailible"):
        validator.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("overlay", BUILDS)
def test_each_pod_is_closed_and_has_the_time_that_its_program_needs(overlay: str) -> None:
    for workload in of_kind(overlay, *WORKLOADS):
        pod = pod_of(workload)
        is_worker = workload["metadata"]["name"] not in ("seqd-exporter", "seqd-gateway")
        goes_on_s = Settings.model_fields["drain_s"].default
        assert not is_worker or pod["terminationGracePeriodSeconds"] >= DRAIN_S + goes_on_s
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10_001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert pod["enableServiceLinks"] is False
        kinds = {key for volume in pod["volumes"] for key in volume} - {"name"}
        assert kinds <= {"emptyDir", "secret", "persistentVolumeClaim"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
            assert "memory" in container["resources"]["limits"]
            assert container["image"] == ("seqd:gpu" if overlay.startswith("gpu") else "seqd:cpu")
            for probe in ("livenessProbe", "readinessProbe") if is_worker else ():
                # One that is missed takes no worker out.
                assert container[probe]["failureThreshold"] >= 2
                # What costs no start of Python; `test_probes.py` measures it.
                assert container[probe]["exec"]["command"][0] == "seqd-probe"
    namespace = named(overlay, "Namespace", "seqd")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("overlay", BUILDS)
def test_no_pod_has_a_token_or_a_right_in_the_cluster(overlay: str) -> None:
    pods = [pod_of(workload) for workload in of_kind(overlay, *WORKLOADS)]

    assert [pod["automountServiceAccountToken"] for pod in pods] == [False] * len(pods)
    assert not [pod for pod in pods if "serviceAccountName" in pod]
    assert not of_kind(overlay, "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


@pytest.mark.parametrize("overlay", BUILDS)
def test_each_selector_selects_the_pods_that_it_means(overlay: str) -> None:
    labels = {
        workload["metadata"]["name"]: workload["spec"]["template"]["metadata"]["labels"]
        for workload in of_kind(overlay, *WORKLOADS)
    }

    def selected(selector: Document) -> list[str]:
        return [name for name, has in labels.items() if labels_match(selector, has)]

    for budget in of_kind(overlay, "PodDisruptionBudget"):
        assert selected(budget["spec"]["selector"]["matchLabels"]) == [budget["metadata"]["name"]]
    for service in of_kind(overlay, "Service"):
        assert selected(service["spec"]["selector"]) == [service["metadata"]["name"]]
    for policy in of_kind(overlay, "NetworkPolicy"):
        name, found = (
            policy["metadata"]["name"],
            selected(policy["spec"]["podSelector"].get("matchLabels", {})),
        )
        assert found == (list(labels) if name == "seqd" else [name])
    (monitor,) = of_kind(overlay, "ServiceMonitor")
    service = named(overlay, "Service", "seqd-exporter")
    assert labels_match(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])
    assert {one["port"] for one in monitor["spec"]["endpoints"]} == (
        {port["name"] for port in service["spec"]["ports"]}
    )


@pytest.mark.parametrize("overlay", BUILDS)
def test_the_autoscaler_takes_no_figure_for_no_work(overlay: str) -> None:
    (scaled,) = of_kind(overlay, "ScaledObject")

    for trigger in scaled["spec"]["triggers"]:
        assert trigger["metadata"]["ignoreNullValues"] == "false"
        assert trigger["metadata"]["activationThreshold"] == "0"
        # KEDA's fallback is for average values alone.
        assert trigger["metricType"] == "AverageValue"
    assert scaled["spec"]["fallback"]["replicas"] >= 1
    # Else it takes busy pods away while nothing is known.
    assert scaled["spec"]["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert scaled["spec"]["minReplicaCount"] == 0
    target = named(overlay, "Deployment", scaled["spec"]["scaleTargetRef"]["name"])
    assert "replicas" not in target["spec"]


def test_each_query_is_one_that_prometheus_understands(tmp_path: Path) -> None:
    (scaled,) = documents(DOCKER / "k8s" / "components" / "keda" / "scaledobject.yaml")
    queries = [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
    rules = tmp_path / "rules.yaml"
    asked = [{"record": f"asked{at}", "expr": query} for at, query in enumerate(queries)]
    rules.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": asked}]}))

    done = run(tool("promtool", "prometheus"), "check", "rules", str(rules))

    assert done.returncode == 0, done.stderr


def test_a_gpu_is_asked_for_by_the_device_plugin_or_by_a_claim() -> None:
    for overlay, kind, name in [
        (overlay, kind, name)
        for overlay in ("gpu", "gpu-dra")
        for kind, name in (("Deployment", "seqd-serving"), ("StatefulSet", "seqd-training"))
    ]:
        pod = pod_of(named(overlay, kind, name))
        (container,) = pod["containers"]
        assert container["args"][-1].endswith("gpu:0")
        limits = container["resources"]["limits"]
        claims = container["resources"].get("claims", [])
        if overlay == "gpu":
            assert limits["nvidia.com/gpu"] == "1" and not claims
        else:
            assert "nvidia.com/gpu" not in limits
            (claim,) = pod["resourceClaims"]
            assert claims == [{"name": claim["name"]}]
            template = named(overlay, "ResourceClaimTemplate", claim["resourceClaimTemplateName"])
            (request,) = template["spec"]["spec"]["devices"]["requests"]
            assert request["exactly"]["count"] == 1


@pytest.mark.parametrize("overlay", BUILDS)
def test_what_leaves_a_pod_goes_to_peers_that_are_named(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    rules = [rule for policy in policies for rule in policy["spec"].get("egress", ())]

    assert rules and all(rule["to"] and rule["ports"] for rule in rules)
    assert all(peer for rule in rules for peer in rule["to"])
    (redis,) = [rule for rule in rules if {"protocol": "TCP", "port": 6379} in rule["ports"]]
    assert redis["to"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "redis"}}}
    ]


def test_with_tls_each_pod_has_the_authority_of_redis(tmp_path: Path) -> None:
    documents_ = built_in(own_overlay(tmp_path, "overlays/cpu", "tls"))

    pods = [pod_of(one) for one in documents_ if one["kind"] in WORKLOADS]
    assert len(pods) == 3
    for pod in pods:
        (container,) = pod["containers"]
        (volume,) = [one for one in pod["volumes"] if one["name"] == "redis-tls"]
        assert volume["secret"]["secretName"] == "seqd-redis-tls"
        mount = {"name": "redis-tls", "mountPath": "/etc/seqd/tls", "readOnly": True}
        assert mount in container["volumeMounts"]
        assert {"name": "SEQD_REDIS_CA_FILE", "value": "/etc/seqd/tls/ca.crt"} in container["env"]


def test_gateways_share_the_files_that_workers_read_and_leave_their_service_before_they_end() -> (
    None
):
    overlay = "cpu+gateway"
    (settings,) = of_kind(overlay, "ConfigMap")
    assert settings["data"]["SEQD_GATEWAY_FILES"] == "/files"
    assert "SEQD_REQUIRED_MODELS" in settings["data"]
    gateway = named(overlay, "Deployment", "seqd-gateway")
    for workload in (
        gateway,
        named(overlay, "Deployment", "seqd-serving"),
        named(overlay, "StatefulSet", "seqd-training"),
    ):
        pod = pod_of(workload)
        (container,) = pod["containers"]
        (volume,) = [one for one in pod["volumes"] if one["name"] == "files"]
        (mount,) = [one for one in container["volumeMounts"] if one["name"] == "files"]
        assert volume["persistentVolumeClaim"]["claimName"] == "seqd-files"
        assert (mount["mountPath"], mount.get("readOnly")) == (
            "/files",
            None if workload is gateway else True,
        )
        assert container["envFrom"][0]["configMapRef"]["name"] == settings["metadata"]["name"]

    pod = pod_of(gateway)
    _, waits_s = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] > DRAIN_S + int(waits_s)
    (rule,) = named(overlay, "NetworkPolicy", "seqd-gateway")["spec"]["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]


def own_overlay(folder: Path, resource: str, *components: str) -> Path:
    """Make the overlay of somebody who builds on a folder of `k8s/`, with these components."""
    files = Path(os.path.relpath(DOCKER / "k8s", folder.resolve()))
    own = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "seqd",
        "resources": [str(files / resource)],
        "components": [str(files / "components" / name) for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(own))
    return folder


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    """Return the overlay of somebody who has added the component `monitoring`."""
    folder = tmp_path_factory.mktemp("watched")
    return built_in(own_overlay(folder, "overlays/cpu", "monitoring"))


def test_the_objects_of_the_monitoring_are_as_the_api_wants_them(watched: list[Document]) -> None:
    added = [one for one in watched if one["kind"] in ("PodMonitor", "PrometheusRule")]

    assert sorted(one["kind"] for one in added) == ["PodMonitor", "PrometheusRule"]
    validator = pytest.importorskip(
        "kubernetes_validate", reason="pip install 'seqd[deploy]'", exc_type=ImportError
    )
    for document in watched:
        if document["kind"] not in (*CUSTOM, "PodMonitor", "PrometheusRule"):
            validator.validate(document, VERSIONS[0], strict=True)


def test_prometheus_reads_each_worker_on_the_port_of_its_metrics(watched: list[Document]) -> None:
    (monitor,) = [one for one in watched if one["kind"] == "PodMonitor"]
    (match,) = monitor["spec"]["selector"]["matchExpressions"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]

    read = {
        workload["metadata"]["name"]: [
            port["name"]
            for container in pod_of(workload)["containers"]
            for port in container["ports"]
        ]
        for workload in watched
        if workload["kind"] in WORKLOADS
        and workload["spec"]["template"]["metadata"]["labels"][match["key"]] in match["values"]
    }

    assert read == {name: [endpoint["port"]] for name in ("seqd-serving", "seqd-training")}
