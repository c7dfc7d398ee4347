"""The files that GitHub, editors and packagers read are valid, and say what the Makefile and the package say."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
SCHEMAS = {
    "github-workflows": sorted(GITHUB.glob("workflows/*.yml")),
    "github-issue-forms": [GITHUB / "ISSUE_TEMPLATE" / "bug.yml", GITHUB / "ISSUE_TEMPLATE" / "idea.yml"],
    "github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "dependabot": [GITHUB / "dependabot.yml"],
}
WORKFLOWS = {path.name: path.read_text() for path in SCHEMAS["github-workflows"]}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_file_of_github_is_valid(schema: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *SCHEMAS[schema]]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_workflows_run_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"run: make ([a-z -]+)$", "\n".join(WORKFLOWS.values()), re.MULTILINE)
    assert {target for targets in named for target in targets.split()} <= targets
    assert len(named) > 2


def test_ci_runs_every_python_that_the_package_supports() -> None:
    tested = yaml.safe_load(WORKFLOWS["ci.yml"])["jobs"]["pythons"]["strategy"]["matrix"]["python"]
    classified = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    program = (ROOT / ".ci" / "pythons.py").read_text()
    assert tested == classified == re.findall(r'"(3\.\d+)"', program)
    assert PROJECT["requires-python"] == f">={tested[0]}"


def test_only_the_jobs_of_a_release_may_write() -> None:
    for name, text in WORKFLOWS.items():
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {"contents": "read"}
        granted = {job for job, keys in workflow["jobs"].items() if "write" in str(keys.get("permissions"))}
        assert granted == ({"build", "publish"} if name == "release.yml" else set())


def test_an_action_of_another_publisher_than_github_is_pinned_to_a_commit() -> None:
    used = re.findall(r"uses: (\S+)", "\n".join(WORKFLOWS.values()))
    assert [action for action in used if not re.search(r"^actions/[\w-]+@v\d+$|@[0-9a-f]{40}$", action)] == []


def test_the_hooks_before_a_commit_run_programs_of_the_development_tools() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    programs = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks}
    packages = {re.match(r"[\w-]+", package)[0] for package in PROJECT["optional-dependencies"]["dev"]}  # type: ignore[index]
    assert {{"lint-imports": "import-linter"}.get(program, program) for program in programs} <= packages


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "-f", str(tmp_path / "mkdocs.yml")]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    pages = {page.stem for page in (tmp_path / "site").glob("*.html")}
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} <= pages


def test_the_site_lists_every_page() -> None:
    listed = set(re.findall(r"- (?:\w+: )?([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")}
