"""Buttons that open a lesson elsewhere: there as soon as `_config.yml` has the address of the repository."""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.config import Config


def setup(app: Sphinx) -> None:
    """Decide before the theme reads its options."""
    app.connect("config-inited", decide, priority=1)


def decide(app: Sphinx, config: Config) -> None:
    """With an address: launch buttons and a link to the repository. Without one the theme cannot make either."""
    options = config.html_theme_options
    if options.get("repository_url"):
        options["use_repository_button"] = True
    else:
        options.pop("launch_buttons", None)
