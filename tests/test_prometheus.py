"""The alert rules and the dashboard use existing metrics, and every alert names the next step."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.metric_names import labels_by_metric

from worker.cli import cli

ROOT = Path(__file__).parents[1]
ALERTS = ROOT / "docs" / "prometheus-alerts.yml"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text())
SCRAPE_LABELS = {"job", "instance", "le"}
GRAFANA_VARIABLES = {"$job": "ik-slack", "$__rate_interval": "5m"}
PROMTOOL = shutil.which("promtool")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Yield the name and the expression of every alert and every panel."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]


def promtool(*words: str) -> None:
    ended = subprocess.run([str(PROMTOOL), *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (Debian: apt install prometheus)"
)


@pytest.mark.parametrize(("user", "expression"), list(expressions()))
def test_alerts_and_dashboard_use_existing_metrics_and_labels(user: str, expression: str) -> None:
    metrics, labels = labels_by_metric(), set[str]()
    for name, chosen in re.findall(r"\b(ikslack_\w+)(?:\{(.*?)\})?", expression):
        metric = name if name in metrics else re.sub(r"_(?:bucket|sum|count)$", "", name)
        assert metric in metrics, user
        assert ("le" in metrics[metric]) == (metric != name), f"{user}: {name} has another type"
        assert set(re.findall(r"(\w+)\s*(?:=|!)", chosen)) <= metrics[metric] | SCRAPE_LABELS
        labels |= metrics[metric]
    for kept in re.findall(r"by \((.*?)\)", expression):
        assert set(kept.split(", ")) <= labels, user


def test_every_metric_is_on_the_dashboard() -> None:
    dashboard = json.dumps(DASHBOARD)
    assert [name for name in labels_by_metric() if name not in dashboard] == []


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_has_a_description_and_uses_its_own_labels(panel: dict[str, Any]) -> None:
    assert panel["description"]
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        kept = set(", ".join(re.findall(r"by \((.*?)\)", target["expr"])).split(", "))
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept
        assert 'job="$job"' in target["expr"]


def test_panels_have_unique_ids_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_summary_and_an_existing_command(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert len(rule["annotations"]["summary"]) < 120
    commands = re.findall(r"`ik-slack ([^`]+)`", rule["annotations"]["description"])
    assert commands or rule["alert"] == "IkSlackThrottled"
    for command in commands:
        resolved: Any = cli
        for word in command.split():
            if not hasattr(resolved, "commands"):
                break
            resolved = resolved.get_command(None, word)
            assert resolved, command
        options = {name for parameter in resolved.params for name in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", command)) <= options, command


@needs_promtool
def test_promtool_accepts_the_alerts() -> None:
    promtool("check", "rules", str(ALERTS))


@needs_promtool
def test_alerts_fire_at_the_right_time() -> None:
    promtool("test", "rules", str(ROOT / "tests" / "prometheus-alerts.yml"))


@needs_promtool
def test_promtool_accepts_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = []
    for number, (_, expression) in enumerate(expressions()):
        rendered = re.sub(r"\$\w+", lambda variable: GRAFANA_VARIABLES[variable[0]], expression)
        rules.append({"record": f"number:{number}", "expr": rendered})
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    promtool("check", "rules", str(tmp_path / "rules.yml"))


def test_every_alert_has_a_promtool_test() -> None:
    tested = (ROOT / "tests" / "prometheus-alerts.yml").read_text()
    assert [rule["alert"] for rule in RULES if f'"{rule["alert"]}"' not in tested] == []
