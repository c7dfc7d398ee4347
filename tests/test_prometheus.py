"""The alert rules and the dashboard speak of metrics that are told, and every alert says the next step."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from told_metrics import metrics_told

from worker.cli import cli

ROOT = Path(__file__).parents[1]
ALERTS = ROOT / "docs" / "prometheus-alerts.yml"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text())
OF_PROMETHEUS = {"job", "instance", "le"}
GRAFANAS = {"$job": "ik-slack", "$__rate_interval": "5m"}
PROMTOOL = shutil.which("promtool")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def asked() -> Iterator[tuple[str, str]]:
    """Every expression, of the alerts and of the dashboard, with the name of what asks."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]


def promtool(*words: str) -> None:
    ended = subprocess.run([str(PROMTOOL), *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="no promtool here (Debian: apt install prometheus)"
)


@pytest.mark.parametrize(("who", "expression"), list(asked()))
def test_only_metrics_that_are_told_are_asked_for_by_labels_they_have(who: str, expression: str) -> None:
    told, labels = metrics_told(), set[str]()
    for name, chosen in re.findall(r"\b(ikslack_\w+)(?:\{(.*?)\})?", expression):
        metric = name if name in told else re.sub(r"_(?:bucket|sum|count)$", "", name)
        assert metric in told, who
        assert ("le" in told[metric]) == (metric != name), f"{who}: {name} is asked for as what it is not"
        assert set(re.findall(r"(\w+)\s*(?:=|!)", chosen)) <= told[metric] | OF_PROMETHEUS
        labels |= told[metric]
    for kept in re.findall(r"by \((.*?)\)", expression):
        assert set(kept.split(", ")) <= labels, who


def test_every_metric_is_on_the_dashboard() -> None:
    drawn = json.dumps(DASHBOARD)
    assert [name for name in metrics_told() if name not in drawn] == []


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_and_names_only_labels_it_has(panel: dict[str, Any]) -> None:
    assert panel["description"]
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        kept = set(", ".join(re.findall(r"by \((.*?)\)", target["expr"])).split(", "))
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept
        assert 'job="$job"' in target["expr"]


def test_panels_have_ids_of_their_own_and_do_not_lie_on_each_other() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y)
        for at in places
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_happened_and_a_command_that_exists(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert len(rule["annotations"]["summary"]) < 120
    commands = re.findall(r"`ik-slack ([^`]+)`", rule["annotations"]["description"])
    needs_none = rule["alert"] == "IkSlackThrottled"
    assert commands or needs_none
    for command in commands:
        found: Any = cli
        for word in command.split():
            if not hasattr(found, "commands"):
                break
            found = found.get_command(None, word)
            assert found, command
        options = {name for parameter in found.params for name in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", command)) <= options, command


@needs_promtool
def test_promtool_takes_the_alerts() -> None:
    promtool("check", "rules", str(ALERTS))


@needs_promtool
def test_alerts_fire_when_they_should_and_not_before() -> None:
    promtool("test", "rules", str(ROOT / "tests" / "prometheus-alerts.yml"))


@needs_promtool
def test_promtool_takes_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = []
    for number, (_, expression) in enumerate(asked()):
        written = re.sub(r"\$\w+", lambda variable: GRAFANAS[variable[0]], expression)
        rules.append({"record": f"number:{number}", "expr": written})
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    promtool("check", "rules", str(tmp_path / "rules.yml"))


def test_every_alert_is_tried() -> None:
    tried = (ROOT / "tests" / "prometheus-alerts.yml").read_text()
    assert [rule["alert"] for rule in RULES if f'"{rule["alert"]}"' not in tried] == []
