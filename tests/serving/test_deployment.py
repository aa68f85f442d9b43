"""The deployment examples are what their schemas say, agree with each other, and name metrics that there are."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from importlib.metadata import requires
from pathlib import Path

import jsonschema
import kubernetes_validate
import numpy as np
import promql_parser
import pytest
import yaml
from dockerfile_parse import DockerfileParser
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from packaging.requirements import Requirement
from running import PYTHON, needs_server, served

from resnas_deploy.artifact import open_artifact
from resnas_deploy.serving.address import Address
from resnas_deploy.serving.load import Level, run_level
from resnas_deploy.serving.releases import is_safe, onnxruntime_of, tensorrt_of
from resnas_deploy.serving.repository import add_model
from resnas_deploy.serving.served import Serving
from resnas_deploy.serving.target import find_target

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = "1.32"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
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


def documents(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


@pytest.fixture
def objects():
    """The objects of the Kubernetes example by their kind."""
    return {found["kind"]: found for found in documents("kubernetes/serving.yaml")}


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


def test_the_image_is_named_by_a_digest_that_has_to_be_put_in(objects, tmp_path):
    """A tag may be moved, and a made-up digest would be a lie: nothing can be pulled until somebody says which."""
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    name, _, digest = container["image"].partition("@sha256:")
    assert ":" not in name
    assert re.fullmatch("[0-9a-f]{64}", digest) is None
    said = {each["instruction"]: each["value"] for each in dockerfile(tmp_path).structure}
    assert said["FROM"].endswith("@${DIGEST}")
    assert "ARG DIGEST\n" in (DEPLOY / "Dockerfile").read_text()  # without a default


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


def adapter():
    (found,) = documents("kubernetes/adapter.yaml")
    return found


def test_the_image(tmp_path, objects):
    instructions = [each for each in dockerfile(tmp_path).structure if each["instruction"] != "COMMENT"]
    names = ["ARG", "ARG", "FROM", "COPY", "RUN", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "CMD"]
    assert [each["instruction"] for each in instructions] == names
    said = {each["instruction"]: each["value"] for each in instructions}
    assert said["FROM"] == "nvcr.io/nvidia/tritonserver:${RELEASE}-py3@${DIGEST}"
    release = re.search("^ARG RELEASE=(.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)[1]
    assert is_safe(release)
    assert onnxruntime_of(release)
    assert tensorrt_of(release)
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(shlex.split(said["RUN"]))
    assert shlex.split(said["RUN"])[-1].endswith("/requirements.txt")
    user = objects["Deployment"]["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    assert said["USER"] == str(user) != "0"
    assert "localhost:8000/v2/health/ready" in said["HEALTHCHECK"]
    assert f"--model-repository={shlex.split(said['COPY'])[-1]}" in command()


def test_what_the_image_installs_is_whole_and_pinned_by_hash():
    """All that onnxruntime and Pillow want but NumPy, which is in the image: our versions, for both machines."""
    text = (DEPLOY / "requirements.txt").read_text().replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert {line[0] for line in lines} <= set((DEPLOY.parent / "constraints-serving.txt").read_text().split())
    hashes = {line[0].partition("==")[0]: line[1:] for line in lines}
    wanted, seen = ["onnxruntime", "pillow"], set()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        needs = [Requirement(text) for text in requires(name) or ()]
        wanted += [each.name for each in needs if not each.marker and each.name not in seen]
    assert set(hashes) == seen - {"numpy"}
    for name, found in hashes.items():
        assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", each) for each in found)
        pure = name in ("flatbuffers", "packaging")
        assert len(set(found)) == (1 if pure else 2)  # a wheel for every machine, or one for each


def test_the_script_of_the_image_refuses_a_key_that_is_none(tmp_path):
    for key in ("", "short", "with spaces in the middle of it", "x" * 40 + ",inference:y=z"):
        (tmp_path / "key").write_text(key)
        done = subprocess.run(
            ["sh", DEPLOY / "serve.sh"],
            env={"PATH": os.defpath, "RESNAS_KEY_FILE": str(tmp_path / "key")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.startswith(f"the key in {tmp_path / 'key'} must be")


def dockerfile(folder):
    parser = DockerfileParser(str(folder))  # it writes what it is given
    parser.content = (DEPLOY / "Dockerfile").read_text()
    return parser


def command():
    """The image's."""
    text = (DEPLOY / "Dockerfile").read_text()
    return json.loads(re.search(r"^CMD (\[.*?\])", text, re.DOTALL | re.MULTILINE)[1].replace("\\\n", ""))


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


@contextmanager
def installed_server():
    """The program of the server from pip, and the environment that it starts in."""
    script = (
        "import json, sys; from pathlib import Path; from resnas_deploy.serving.installed import find_server; "
        "found = find_server(Path(sys.argv[1])); "
        "print(json.dumps([str(found.program), found.arguments, dict(found.environment)]))"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(DEPLOY.parent)}
        done = subprocess.run(
            [PYTHON, "-c", script, folder], env=environment, capture_output=True, text=True, check=True
        )
        program, arguments, environment = json.loads(done.stdout)
        yield [program, *arguments], environment


@needs_server
@pytest.mark.parametrize("has_key", [True, False])
def test_the_script_of_the_image_closes_the_doors(repository, tmp_path, has_key):
    """With the server from pip in the place of the image's, on loopback, without the option that it does not know."""
    key = "a-key-of-the-operator"
    if has_key:
        (tmp_path / "key").write_text(f"{key}\n")
    ports = [free_port() for _ in range(3)]
    http = f"127.0.0.1:{ports[0]}"
    given = [option for option in command()[1:] if not option.startswith(("--http-max-input-size", "--model-rep"))]
    given += [f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")]
    given += [f"--{name}-port={port}" for name, port in zip(("http", "grpc", "metrics"), ports, strict=True)]
    prefix = f"resnas-deploy-{ports[0]}-"
    given += [f"--model-repository={repository}", f"--backend-config=python,shm-region-prefix-name={prefix}"]
    with installed_server() as ((program, *arguments), environment):
        environment["PATH"] = os.pathsep.join([environment["PATH"], str(Path(program).parent)])
        environment["RESNAS_KEY_FILE"] = str(tmp_path / "key")
        process = subprocess.Popen(
            ["sh", DEPLOY / "serve.sh", *given, *arguments],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + 120
            while status(f"http://{http}/v2/health/ready") != 200:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.2)
            for path in ("logging", "systemsharedmemory/status", "trace/setting", "models/mini/config", "models/stats"):
                assert status(f"http://{http}/v2/{path}") == 403
                assert status(f"http://{http}/v2/{path}", {"resnas-key": key}) == (200 if has_key else 403)
            assert status(f"http://{http}/v2/models/mini") == 200
        finally:
            process.terminate()
            process.wait(60)
    assert list(Path("/dev/shm").glob(f"{prefix}*")) == []


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def status(url, headers=None):
    """What an answer says; 0 where there is none."""
    try:
        with DIRECT.open(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@needs_server
def test_the_server_knows_the_images_options():
    """It would not start with one that it does not know."""
    with installed_server() as ((program, *_), environment):
        answer = subprocess.run([program, "--help"], env=environment, capture_output=True, text=True, check=False)
    program, *options = command()
    assert program == "/opt/resnas/serve.sh"
    options += re.findall(r"--[\w-]+", (DEPLOY / "serve.sh").read_text().partition("exec tritonserver")[2])
    # This server is older than the option, which newer ones have (HTTP_DEFAULT_MAX_INPUT_SIZE in src/common.h).
    unknown = {option.partition("=")[0] for option in options} - set(
        re.findall(r"--[\w-]+", answer.stdout + answer.stderr)
    )
    assert unknown == {"--http-max-input-size"}


@needs_server
def test_the_server_has_every_metric(mini_artifact, tmp_path):
    """Of a model with a response cache, which answers the second of two equal requests."""
    add_model(tmp_path / "models", open_artifact(mini_artifact), Serving("mini", cache=True))
    with served(tmp_path / "models") as running:
        target = find_target(Address.parse(running.grpc), "mini", 1)
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
