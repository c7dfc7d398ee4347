"""The wheel has every file of the program and no other, and it runs from an environment of its own."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from worker import __version__

ROOT = Path(__file__).parents[2]
#: Where the test environment has its packages; the empty environment reads them there, so no network is needed.
LIBRARIES = [path for path in sys.path if path.endswith("site-packages")]


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> str:
    """Run a command that must succeed, without the settings of this environment; return what it printed."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **variables}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the source distribution and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment that has the wheel installed, outside the checkout."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
    run(*pip, "install", "-q", "--no-deps", "--no-index", "--no-compile", wheel)
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "packages_of_the_tests.pth").write_text("\n".join(LIBRARIES))
    celery = folder / "bin" / "celery"
    celery.write_text(f"#!{folder / 'bin' / 'python'}\nfrom celery.__main__ import main\nmain()\n")
    celery.chmod(0o755)
    return folder


@pytest.mark.slow
def test_the_distributions_pass_the_checks_of_the_index(dist: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir())
    run(sys.executable, "-m", "check_wheel_contents", *dist.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_program_and_no_other(wheel: Path) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "worker", "config"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False).stdout
    files = {name for name in listed.decode().split() if (ROOT / name).exists()}
    if not files:
        pytest.skip("not a git checkout")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == files | {"worker/cli/Procfile"}
    assert {"worker/py.typed", "config/py.typed"} <= names


@pytest.mark.slow
def test_the_source_distribution_has_what_a_packager_needs(dist: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "CHANGELOG.md", "constraints.txt", "tests/conftest.py", "docs/settings.md"} <= names


@pytest.mark.slow
def test_the_wheel_runs_in_an_environment_of_its_own(environment: Path, tmp_path: Path) -> None:
    version = run(environment / "bin" / "ik-slack", "--version", cwd=tmp_path)
    assert version.split()[-1] == __version__
    imported = run(
        environment / "bin" / "python", "-c", "import worker.web.app as app; print(app.__file__)", cwd=tmp_path
    )
    assert imported.startswith(str(environment))


@pytest.mark.slow
@pytest.mark.thorough
def test_the_demo_of_the_wheel_accounts_for_every_event(environment: Path, tmp_path: Path) -> None:
    printed = run(environment / "bin" / "ik-slack", "demo", "--once", cwd=tmp_path, HOME=str(tmp_path))
    assert "unaccounted" in printed


def test_producers_import_nothing_but_the_standard_library() -> None:
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import worker.publish
print(worker.publish.encode({{"id": "1"}}).decode())
print(*{{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names) - {{"__main__"}})
"""
    assert run(sys.executable, "-I", "-S", "-c", program).split("\n")[:2] == ['{"id": "1"}', "worker"]


def test_the_hashed_requirements_have_the_versions_of_the_constraints() -> None:
    """Every package of a deployment has a hash and no address; `make lock` writes both files."""
    hashed = (ROOT / "requirements-hashed.txt").read_text()
    packages = [package.strip() for package in hashed.replace("\\\n", " ").splitlines()]
    assert [package for package in packages if "--hash=sha256:" not in package] == []
    versions = {package.partition(" ")[0] for package in packages}
    assert versions <= {line.partition(" ")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert "://" not in hashed
