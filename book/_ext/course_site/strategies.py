"""The page on which strategy when: its tables are made from `data/grid.json` whenever the site is built."""

from __future__ import annotations

from collections.abc import Callable

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from course.strategy_table import (
    GRID,
    Grid,
    Table,
    accuracy_table,
    advice_table,
    forgetting_table,
    load_grid,
    missing_table,
)
from course.strategy_textbook import textbook_table

TABLES: dict[str, Callable[[Grid], Table]] = {
    "advice": advice_table,
    "textbook": textbook_table,
    "missing": missing_table,
}


def setup(app: Sphinx) -> None:
    """Offer the directives `grid-table` and `grid-targets`."""
    app.add_directive("grid-table", GridTable)
    app.add_directive("grid-targets", GridTargets)


class GridTable(SphinxDirective):
    """One of `TABLES`; its content is shown instead where the table is empty."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Write the table."""
        self.env.note_dependency(str(GRID))
        table = TABLES[self.arguments[0]](load_grid())
        return self.parse_text_to_nodes("\n".join(table.markdown() if table.rows else self.content))


class GridTargets(SphinxDirective):
    """A section for each target of which anything is measured: accuracy, and what is left of the source task."""

    def run(self) -> list[nodes.Node]:
        """Write the sections."""
        self.env.note_dependency(str(GRID))
        grid = load_grid()
        return [self._section(grid, name) for name in grid.targets if any(cell.target == name for cell in grid.cells)]

    def _section(self, grid: Grid, name: str) -> nodes.section:
        target = grid.targets[name]
        what = target["about"][0].upper() + target["about"][1:]
        lines = [
            f"{what}: {target['classes']} classes, chance {target['chance']:.0%}; {target['backbone']} backbone at "
            f"{target['image_size']} px. Test accuracy in %, with half of the 95 % interval over seeds:",
            "",
            *accuracy_table(grid, name).markdown(),
        ]
        section = nodes.section(ids=[f"grid-{name}"], names=[f"grid-{name}"])
        section += nodes.title(text=name)
        self.state.nested_parse(StringList(lines, self.env.docname), self.content_offset, section)
        kept = forgetting_table(grid, name)
        if kept.rows:
            words = "What is left of the source task (1,000 classes): accuracy in % with the old head put back."
            section += self.parse_text_to_nodes("\n".join([words, "", *kept.markdown()]))
        return section
