"""Solutions of exercises are folded, and what they print with them."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform


def setup(app: Sphinx) -> None:
    """Add the transform."""
    app.add_post_transform(FoldSolutions)


class FoldSolutions(SphinxPostTransform):
    """A cell with the tag `solution` is folded whole, under words of its own, before MyST-NB folds cells."""

    default_priority = 198

    def run(self, **kwargs: Any) -> None:
        """Go through the page's code cells."""
        for cell in self.document.findall(nodes.container):
            if cell.get("nb_element") == "cell_code" and "tag_solution" in cell["classes"]:
                cell.update_all_atts(
                    {"hide_mode": "all", "prompt_show": "Show a solution", "prompt_hide": "Hide the solution"},
                    replace=True,
                )
