"""The files in `deploy/` and the Dockerfile: each is valid, and does what the documents say of it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from config.settings import Settings
from worker.bootstrap.procfile_supervisor import procfile

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
ROLES = {program.name for program in procfile()}
KUBERNETES_VERSION = "1.31.0"
MAX_EXPOSURE = 30  # tenths of systemd's scale from 0 to 10
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")
SETTINGS = {f"{name}{end}".upper() for name in Settings.model_fields for end in ("", "_file")}
#: Variables of the image that are not settings.
OF_IMAGE = {"ROLE"}


def manifests() -> Iterator[dict[str, Any]]:
    """Yield what the kustomization applies."""
    kustomization = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())
    for name in kustomization["resources"]:
        yield from yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())


def deployments() -> dict[str, dict[str, Any]]:
    """Return the pod of each deployment by its process."""
    return {
        manifest["metadata"]["labels"]["app.kubernetes.io/component"]: manifest["spec"]["template"]["spec"]
        for manifest in manifests()
        if manifest["kind"] == "Deployment"
    }


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


# Kubernetes


def test_each_manifest_fits_the_schema_of_kubernetes() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for manifest in manifests():
        kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def test_the_kustomization_has_every_file_and_each_process_a_deployment() -> None:
    listed = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())["resources"]
    files = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(listed) == sorted(files)
    assert deployments().keys() == ROLES


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_pod_is_restricted_and_probed(role: str) -> None:
    """It passes the Pod Security Standard `restricted`, and its root file system is read-only besides."""
    pod = deployments()[role]
    [container] = pod["containers"]
    assert container["args"] == ["up", "--only", role]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/data", "/tmp"}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        command = container[probe].get("exec", {}).get("command", ["ik-slack", "alive", role])
        assert command == ["ik-slack", "alive", role]
    names = {variable["name"] for variable in container["env"]}
    assert names <= SETTINGS
    secrets = [variable for variable in container["env"] if "value" not in variable]
    assert all(variable["valueFrom"]["secretKeyRef"]["name"] == "infrakitchen-slack" for variable in secrets)


def test_every_selector_finds_its_pods() -> None:
    for manifest in manifests():
        component = manifest["metadata"]["labels"].get("app.kubernetes.io/component")
        if manifest["kind"] in ("Deployment", "PodDisruptionBudget"):
            assert manifest["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] == component
        if manifest["kind"] == "Service":
            assert manifest["spec"]["selector"]["app.kubernetes.io/component"] == component


# Compose


def test_the_compose_file_fits_the_compose_specification() -> None:
    pytest.importorskip("check_jsonschema")
    folder = resources.files("check_jsonschema.builtin_schemas").joinpath("vendor")
    schema = json.loads(folder.joinpath("compose-spec.json").read_text("utf-8"))
    jsonschema.validate(compose(), schema)


def test_compose_runs_every_process_and_a_redis_that_keeps_its_data() -> None:
    services = compose()["services"]
    assert services.keys() == ROLES | {"redis"}
    command = services["redis"]["command"]
    assert command[1:] == ["--appendonly", "yes", "--maxmemory-policy", "noeviction"]
    for role in ROLES:
        service = services[role]
        assert service["command"] == ["up", "--only", role]
        assert service["environment"]["ROLE"] == role
        assert service["environment"].keys() <= SETTINGS | OF_IMAGE
        assert service["read_only"] is True
        files = {value for name, value in service["environment"].items() if name.endswith("_FILE")}
        assert files == {f"/run/secrets/{secret}" for secret in service["secrets"]}
        assert set(service["secrets"]) <= compose()["secrets"].keys()


# systemd


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return the unit of one process, with the program of this environment."""
    text = (DEPLOY / "systemd/ik-slack@.service").read_text()
    unit = tmp_path / "ik-slack@worker.service"
    unit.write_text(text.replace("/opt/infrakitchen-slack/bin", str(Path(sys.executable).parent)))
    return unit


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


@needs_systemd
def test_systemd_understands_every_line_of_the_unit(unit: Path) -> None:
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    own = [line for line in verified.stderr.splitlines() if "ik-slack" in line]
    assert (verified.returncode, own) == (0, [])


@needs_systemd
def test_the_unit_is_hardened(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", "--no-pager", unit]
    rated = subprocess.run(command, capture_output=True, text=True, check=False)
    assert rated.returncode == 0, rated.stdout.splitlines()[-1]


# nginx


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_nginx_takes_the_snippet(tmp_path: Path) -> None:
    assert NGINX
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=slack.example.com", "-keyout", key, "-out", certificate]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject]
    subprocess.run(make, capture_output=True, check=True)
    snippet = (DEPLOY / "nginx.conf").read_text().replace("/etc/ssl/certs/slack.example.com.pem", str(certificate))
    (tmp_path / "console.conf").write_text(snippet.replace("/etc/ssl/private/slack.example.com.key", str(key)))
    whole = f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{ include {tmp_path}/console.conf; }}\n"
    (tmp_path / "nginx.conf").write_text(whole)
    tested = subprocess.run(
        [NGINX, "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf"], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stderr


# Image


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with their arguments; continued lines are one."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_image_runs_as_a_numeric_user_and_ends_on_sigterm() -> None:
    last = dict(instructions())  # of each instruction the last one counts
    assert re.fullmatch(r"\d+:\d+", last["USER"])
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["ENTRYPOINT"]) == ["ik-slack"]
    assert "ik-slack alive" in last["HEALTHCHECK"]
    assert json.loads(last["CMD"]) == ["up", "--only", "worker"]


def test_the_image_has_every_file_that_the_build_reads_and_no_other() -> None:
    copied = [word for what, rest in instructions() if what == "COPY" and "--from" not in rest for word in rest.split()]
    names = {name for name in copied if (ROOT / name).exists() and name != "./"}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert names == allowed
    assert {"pyproject.toml", "requirements-hashed.txt", "Procfile", "worker", "config"} <= names
