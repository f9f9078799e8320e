"""The reference of `helpers`, from the docstrings in its source, read without importing PyTorch."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import course
import helpers

ROOT = Path(__file__).parents[3]
PUBLIC = {*helpers.__all__, *course.__all__}
STYLE = Config(napoleon_use_rtype=False, napoleon_use_ivar=True)
LOGGER = logging.getLogger(__name__)
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


def setup(app: Sphinx) -> None:
    """Offer the directive `helpers`, and demand that the reference holds every public name."""
    app.add_directive("helpers", Reference)
    app.connect("env-check-consistency", _every_name_is_there)


class Reference(SphinxDirective):
    """The reference of the public names that are given."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Write each name's signature and docstring."""
        home = nodes.Element()
        names = self.arguments[0].split()
        self.env.metadata[self.env.docname].setdefault("names", []).extend(names)
        for name in names:
            definition, file = find(name)
            self.env.note_dependency(str(file))
            lines = StringList(list(document(name, definition)), str(file))
            self.state.nested_parse(lines, self.content_offset, home)
        return home.children


def find(name: str) -> tuple[Definition, Path]:
    """Where a public name is defined: its syntax tree and its file; names that are handed on are followed."""
    file = _file((course._HOME_OF | helpers._HOME_OF).get(name, "helpers.errors"))
    while True:
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
                return node, file
            if isinstance(node, ast.Assign | ast.AnnAssign) and _assigned(node) == name:
                return node, file
        origin = next(node.module for node in body if isinstance(node, ast.ImportFrom) and _hands_on(node, name))
        file = _file(origin)


def _file(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _assigned(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return getattr(target, "id", "")


def _hands_on(node: ast.ImportFrom, name: str) -> bool:
    return any((alias.asname or alias.name) == name for alias in node.names)


def document(name: str, node: Definition) -> Iterator[str]:
    """The definition as reStructuredText for Sphinx's Python domain."""
    yield ".. py:currentmodule:: helpers"
    yield ""
    if isinstance(node, ast.FunctionDef):
        yield from _directive("function", f"{name}{_signature(node)}", _docstring(node))
    elif isinstance(node, ast.ClassDef):
        yield from _directive("class", f"{name}{_initializer(node)}", _docstring(node), tuple(_members(node)))
    else:
        yield from _directive("data", name, [f"``{ast.unparse(node.value)}``" if node.value else ""])


def _directive(kind: str, signature: str, text: list[str], members: tuple[str, ...] = ()) -> Iterator[str]:
    yield f".. py:{kind}:: {signature}"
    yield ""
    yield from (f"   {line}" for line in (*text, "", *members))
    yield ""


def _members(node: ast.ClassDef) -> Iterator[str]:
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and not member.name.startswith("_") and ast.get_docstring(member):
            marks = {getattr(mark, "id", getattr(mark, "attr", "")) for mark in member.decorator_list}
            if marks & {"property", "cached_property"}:
                yield from _directive("property", member.name, _docstring(member))
            else:
                yield from _directive("method", member.name + _signature(member, drop=1), _docstring(member))


def _signature(node: ast.FunctionDef, drop: int = 0) -> str:
    arguments = node.args
    arguments.args = arguments.args[drop:]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(arguments)}){returns}"


def _initializer(node: ast.ClassDef) -> str:
    """The arguments that make an object: of `__init__`, or a dataclass's fields."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            member.returns = None
            return _signature(member, drop=1)
    if any("dataclass" in ast.unparse(mark) for mark in node.decorator_list):
        fields = (ast.unparse(member) for member in node.body if isinstance(member, ast.AnnAssign))
        return f"({', '.join(field for field in fields if not field.startswith('_'))})"
    return ""


def _docstring(node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    text = re.sub(r"(?<!`)`([^`\n]+)`(?!`)", _code, ast.get_docstring(node) or "")
    return str(GoogleDocstring(text, STYLE)).splitlines()


def _code(found: re.Match[str]) -> str:
    """Code in a docstring: a link where it is a public name."""
    name = found[1]
    return f":py:obj:`{name} <helpers.{name}>`" if name in PUBLIC else f"``{name}``"


def _every_name_is_there(app: Sphinx, env: object) -> None:
    names = env.metadata.get("book/reference", {}).get("names", [])
    for name in PUBLIC - set(names):
        LOGGER.warning("book/reference.rst does not hold the public name %r", name)
