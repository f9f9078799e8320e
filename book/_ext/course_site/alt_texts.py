"""The alternative text that a lesson stores with an image becomes the text of the image on the page."""

from __future__ import annotations

from docutils import nodes
from myst_nb.core.render import MimeData, NbElementRenderer
from sphinx.application import Sphinx

_render_image = NbElementRenderer.render_image


def setup(app: Sphinx) -> None:
    """MyST-NB reads width and height from the output's metadata, but not the alternative text: add that."""
    NbElementRenderer.render_image = render_image


def render_image(self: NbElementRenderer, data: MimeData) -> list[nodes.Element]:
    """Render an image as MyST-NB does, with the alternative text of the output that holds it."""
    images = _render_image(self, data)
    alt = data.output_metadata.get(data.mime_type, {}).get("alt") or data.output_metadata.get("alt")
    if alt:
        for image in images:
            image["alt"] = alt
    return images
