"""The deployment examples are what their schemas say, agree with each other, and name metrics that there are."""

from __future__ import annotations

import json
import re
import urllib.request

import jsonschema
import kubernetes_validate
import numpy as np
import promql_parser
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from support.deployment_files import DEPLOY, adapter, command, documents, kubernetes_objects
from support.triton_server import needs_server, started_server

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.serving.load.asked_model import find_model
from resnas_deploy.serving.load.level import Level, run_level
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import ModelSettings
from resnas_deploy.serving.server.addresses import Address

KUBERNETES = "1.32"
# What we use of https://prometheus.io/docs/prometheus/latest/configuration/configuration
PROMETHEUS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["scrape_configs"],
    "properties": {
        "global": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"scrape_interval": {"type": "string", "pattern": "^[0-9]+s$"}},
        },
        "scrape_configs": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["job_name"],
                "properties": {
                    "job_name": {"type": "string"},
                    "static_configs": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                "targets": {"type": "array", "items": {"type": "string", "pattern": "^[^/]+:[0-9]+$"}}
                            },
                        },
                    },
                    "kubernetes_sd_configs": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {"role": {"enum": ["pod"]}},
                        },
                    },
                    "relabel_configs": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["source_labels"],
                            "properties": {
                                "source_labels": {"type": "array", "items": {"type": "string", "pattern": "^[a-z_]+$"}},
                                "separator": {"type": "string"},
                                "regex": {"type": "string"},
                                "action": {"enum": ["keep", "drop", "replace"]},
                                "target_label": {"type": "string", "pattern": "^[a-z_]+$"},
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture
def objects():
    """The objects of the Kubernetes example by their kind."""
    return kubernetes_objects()


def test_kubernetes_takes_every_object(objects):
    assert set(objects) == {
        *("Deployment", "Service", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget")
    }
    for found in [*objects.values(), *documents("kubernetes/ingress.yaml")]:
        kubernetes_validate.validate(found, KUBERNETES, strict=True)


def test_the_objects_fit_each_other_and_the_server(objects):
    deployment, service, scaler = (objects[kind] for kind in ("Deployment", "Service", "HorizontalPodAutoscaler"))
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8000, "grpc": 8001, "metrics": 8002}  # Triton's own
    assert deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"] == service["spec"]["selector"]
    assert {port["targetPort"] for port in service["spec"]["ports"]} == set(ports)
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[name]["httpGet"]
        assert asked["port"] == "http"
        assert asked["path"] == ("/v2/health/live" if name == "livenessProbe" else "/v2/health/ready")
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert len(mounts) == len(volumes)
    assert mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory"
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    (ending,) = [word for word in command() if word.startswith("--exit-timeout-secs=")]
    assert pod["spec"]["terminationGracePeriodSeconds"] > pause + int(ending.partition("=")[2])


def test_a_pod_can_do_no_more_than_serve(objects):
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/dev/shm", "/tmp"}
    assert all(
        "sizeLimit" in volume["emptyDir"] for volume in pod["volumes"] if volume["name"] != "key"
    )  # or a pod could fill its node's disk or memory


def test_only_clients_reach_the_pods_and_they_reach_nobody(objects):
    policy = objects["NetworkPolicy"]["spec"]
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    assert [[port["port"] for port in rule["ports"]] for rule in policy["ingress"]] == [["http", "grpc"], ["metrics"]]
    assert all(rule["from"] for rule in policy["ingress"])  # an empty one would be everybody


def test_a_drain_of_nodes_leaves_pods(objects):
    budget = objects["PodDisruptionBudget"]["spec"]
    assert budget["selector"]["matchLabels"] == objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert budget["maxUnavailable"] < objects["HorizontalPodAutoscaler"]["spec"]["minReplicas"]


def test_the_key_is_a_secret_that_the_server_reads_where_it_is_mounted(objects):
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    (mount,) = (each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "key")
    (volume,) = (each for each in pod["volumes"] if each["name"] == "key")
    assert volume["secret"]["secretName"] == "resnas-key"
    assert volume["secret"]["defaultMode"] == 0o440  # root's, and of fsGroup's
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"]
    assert f"RESNAS_KEY_FILE:-{mount['mountPath']}/key}}" in (DEPLOY / "serve.sh").read_text()
    assert "--from-literal=key=" in (DEPLOY / "kubernetes" / "serving.yaml").read_text()


def test_the_proxy_bounds_bodies_and_opens_inference_alone(objects):
    ports = {port["name"] for port in objects["Service"]["spec"]["ports"]}
    for found in documents("kubernetes/ingress.yaml"):
        assert found["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == "64m"
        assert found["spec"]["tls"]
        (rule,) = found["spec"]["rules"]
        for path in rule["http"]["paths"]:
            service = path["backend"]["service"]
            assert service["name"] == objects["Service"]["metadata"]["name"]
            assert service["port"]["name"] in ports
            grpc = re.fullmatch(r"/inference\.GRPCInferenceService/(ModelInfer|ModelMetadata|\w+Ready)", path["path"])
            assert grpc or path["path"] in ("/v2/models", "/v2/health")
    assert "--http-max-input-size=67108864" in command()


def test_the_autoscalers_metric_is_the_one_that_the_adapter_makes(objects):
    (metric,) = objects["HorizontalPodAutoscaler"]["spec"]["metrics"]
    (rule,) = adapter()["rules"]["custom"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]


def test_the_configuration_of_prometheus():
    (found,) = documents("prometheus.yml")
    jsonschema.validate(found, PROMETHEUS)
    by_name, by_pod = found["scrape_configs"]
    for rule in by_pod["relabel_configs"]:
        re.compile(rule.get("regex", ""))
    assert by_name["static_configs"][0]["targets"] == ["localhost:8002"]  # Triton's metrics
    labels = {rule.get("target_label") for rule in by_pod["relabel_configs"]}
    (rule,) = adapter()["rules"]["custom"]
    assert rule["resources"]["overrides"].keys() == {"namespace", "pod"} <= labels  # by which the adapter finds a pod


def test_the_dashboard_is_one_of_grafanas():
    """Everything in it is known to Grafana's own model: what that does not know would be lost on the way."""
    found = json.loads((DEPLOY / "grafana.json").read_text())
    again = json.loads(json.dumps(Dashboard.from_json(found), cls=JSONEncoder))
    assert_holds(again, found)
    places = [panel["gridPos"] for panel in found["panels"]]
    cells = {
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    }
    assert len(cells) == sum(place["w"] * place["h"] for place in places)  # none over another
    named = {name for name in re.findall(r"\$\{?(\w+)", json.dumps(found)) if not name.startswith("__")}
    assert named == {variable["name"] for variable in found["templating"]["list"]}


def assert_holds(whole, part):
    """Every field of `part` is in `whole`, with the same value."""
    if isinstance(part, dict):
        for name, value in part.items():
            assert name in whole, name
            assert_holds(whole[name], value)
    elif isinstance(part, list):
        assert len(whole) == len(part)
        for one, other in zip(whole, part, strict=True):
            assert_holds(one, other)
    else:
        assert whole == part


def queries():
    """Every PromQL expression of the examples, with what Grafana and the adapter put in."""
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    found += [rule[name] for rule in adapter()["rules"]["custom"] for name in ("seriesQuery", "metricsQuery")]
    given = {"$__rate_interval": "1m", "$model": "mini", "<<.LabelMatchers>>": 'pod="a"', "<<.GroupBy>>": "pod"}
    for text, value in given.items():
        found = [query.replace(text, value) for query in found]
    return found


@pytest.mark.parametrize("query", queries())
def test_a_query_parses(query):
    promql_parser.parse(query)


def test_a_request_to_an_ensemble_waits_no_less_for_counting_thrice():
    """Triton counts it for the ensemble and for each model in it: only within a model is a mean one over requests."""
    query = promql_parser.parse(queries()[-1])
    assert (str(query.op), query.modifier.labels) == ("max", ["pod"])
    waited, requests = query.expr.lhs.lhs, query.expr.rhs.args[0]
    assert waited.modifier.labels == requests.modifier.labels == ["pod", "model"]


@pytest.mark.slow
@needs_server
def test_the_server_has_every_metric(mini_artifact, tmp_path):
    """Of a model with a response cache, which answers the second of two equal requests."""
    add_model(tmp_path / "models", open_artifact(mini_artifact), ModelSettings("mini", cache=True))
    with started_server(tmp_path / "models") as running:
        target = find_model(Address.parse(running.grpc), "mini", 1)
        assert target.cached
        run_level(target, Level(concurrency=1), 0.1, np.random.default_rng(0))
        with urllib.request.urlopen(running.metrics) as answer:
            text = answer.read().decode()
    there = dict(re.findall(r"^(nv_\w+)(?:{.*})? (\S+)$", text, re.MULTILINE))
    assert float(there["nv_cache_num_hits_per_model"]) > 0
    dashboard = (DEPLOY / "grafana.json").read_text()  # whose variables ask for one too
    named = set(re.findall(r"\bnv_\w+", " ".join([*queries(), dashboard])))
    assert len(named) > 10
    assert {name for name in named - set(there) if not name.startswith("nv_gpu_")} == set()
