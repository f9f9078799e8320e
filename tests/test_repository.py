"""The repository itself: its documents name what exists, its packages are used, its rooms import one way."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import helpers
from helpers.commands import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = sorted((ROOT / "helpers").rglob("*.py"))


def requirements(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith(("#", "-"))]
    return dict(line.split("==") for line in lines)


def imports(file: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def command_names() -> set[str]:
    return {entry.callback.__name__ for entry in app.registered_commands}


def test_the_readme_names_every_command_and_no_other() -> None:
    assert set(re.findall(r"python -m helpers (\w+)", README)) == command_names()


def test_the_readmes_targets_can_be_made() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)(?=\s+#|`)", README)) <= targets
    for target in ("setup", "lab", "course", "test", "bench", "card", "mistakes"):
        assert target in targets


def test_the_readmes_options_are_real(command) -> None:
    for line in re.findall(r"^python -m helpers .*$", README, re.MULTILINE):
        words = line.split("#")[0].split()[3:]
        explained = command(words[0], "--help").out
        for option in (word for word in words if word.startswith("--")):
            assert option in explained, line


def test_the_readmes_paths_exist() -> None:
    for row in re.findall(r"^\| (`.*?) \|", README, re.MULTILINE):
        folder = ROOT
        for name in re.findall(r"`([\w./-]+)`", row):
            if "/" in name:
                folder = (ROOT / name).parent if name.endswith(".py") else ROOT
            path = ROOT / name if "/" in name else folder / name
            assert path.exists(), name
    for link in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / link).exists(), link


def test_the_readmes_python_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    quick = re.sub(r"epochs=\d+", "epochs=1", example).replace('load_task("flowers")', 'load_task("slides")')
    done = subprocess.run([sys.executable, "-c", quick], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch") == 2


def test_every_pinned_package_is_used() -> None:
    names_of = packages_distributions()
    imported = set().union(
        *(imports(file) for folder in ("helpers", "tests") for file in (ROOT / folder).rglob("*.py"))
    )
    tops = {name.split(".")[0] for name in imported if name}
    used = {distribution.lower() for top in tops for distribution in names_of.get(top, ())}
    # Programs rather than modules; each stands in the Makefile or a configuration file.
    run = "".join((ROOT / name).read_text() for name in ("Makefile", ".pre-commit-config.yaml", "pyproject.toml"))
    run += README
    programs = {"jupyterlab": "jupyter lab", "jupyter-book": "jupyter-book build", "nbval": "--nbval", "ruff": "ruff"}
    programs |= {"pytest-xdist": "--dist", "pre-commit": "pre-commit", "pytest": "-m pytest"}
    # The lessons and the book use these.
    later = {"matplotlib", "torchinfo", "sphinx-book-theme"}
    for name in requirements(ROOT / "requirements.txt"):
        if name not in later:
            assert name.lower() in used or programs.get(name, "\0") in run, name


def test_no_room_imports_what_is_above_it() -> None:
    """The arrows of the README: a room imports from those before it, and from the few modules that all share."""
    order = ("drawn", "data", "models", "doctor", "training", "teaching", "pretraining", "commands")
    for file in MODULES:
        room = file.relative_to(ROOT / "helpers").parts[0]
        above = order[order.index(room) + 1 :] if room in order else order
        if room in ("__init__.py", "__main__.py"):
            continue
        found = {name.split(".")[1] for name in imports(file) if name and name.startswith("helpers.")}
        assert not found & set(above), file


def test_no_import_goes_in_a_circle() -> None:
    """Imports at the top of modules; those inside functions happen later."""
    graph: dict[str, set[str]] = {}
    names = {".".join(("helpers", *file.relative_to(ROOT / "helpers").with_suffix("").parts)): file for file in MODULES}
    for name, file in names.items():
        top = ast.parse(file.read_text(encoding="utf-8")).body
        found = set()
        for node in top:
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        graph[name.removesuffix(".__init__")] = found & names.keys() - {name}

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        for other in graph.get(name, ()):
            if other not in done:
                walk(other, (*path, name))
        done.add(name)

    done: set[str] = set()
    for name in graph:
        walk(name, ())


def test_public_names_are_there_and_hide_no_module() -> None:
    modules = {path.stem for path in (ROOT / "helpers").iterdir()}
    for name in helpers.__all__:
        assert getattr(helpers, name) is not None
        assert name not in modules
        assert name in dir(helpers)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = helpers.no_such_name


def test_importing_helpers_imports_no_torch() -> None:
    code = "import sys, helpers; print('torch' in sys.modules or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_no_module_is_longer_than_300_lines() -> None:
    for file in (*MODULES, *(ROOT / "benchmarks").glob("*.py")):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 300, file


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"version: {project['version']}\n" in (ROOT / "CITATION.cff").read_text()
