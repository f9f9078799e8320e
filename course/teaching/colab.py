"""Let the lessons install the course where Google Colab runs them: `python -m course.teaching.colab`.

The address of the repository stands in `book/_config.yml`, nowhere else. Each lesson's first code cell gets a few lines
that do nothing on a laptop; run it again after the address has changed.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from course.teaching.exercises import source
from course.teaching.lessons import NOTEBOOKS
from helpers.errors import HelpersError

CONFIG = NOTEBOOKS.parent / "book" / "_config.yml"
CODE = """\
import sys

if "google.colab" in sys.modules:  # Colab opens the notebook alone: fetch the rest, and install it
    import os
    import subprocess

    subprocess.run(["git", "clone", "--quiet", "--depth", "1", "{address}", "/content/course"])
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-e", "/content/course[lessons]"])
    sys.path.insert(0, "/content/course")
    os.chdir("/content/course/notebooks")

"""
OURS = re.compile(re.escape(CODE).replace(r"\{address\}", r'[^"]+'))


def add(notebook: dict[str, Any], address: str) -> dict[str, Any]:
    """Put the lines before `import helpers` in a notebook's first code cell; earlier ones are replaced."""
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    text = CODE.format(address=address) + OURS.sub("", source(first))
    first["source"] = text.splitlines(keepends=True)
    return notebook


def main(config: Path = CONFIG, folder: Path = NOTEBOOKS) -> None:
    """Go through the lessons.

    Raises:
        HelpersError: if the address is not set.
    """
    address = yaml.safe_load(config.read_text(encoding="utf-8"))["repository"]["url"]
    if not address:
        raise HelpersError(f"{config} has no address; set `url` below `repository` first")
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        notebook = add(json.loads(path.read_text(encoding="utf-8")), address)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path)


if __name__ == "__main__":
    try:
        main()
    except HelpersError as error:
        sys.exit(f"error: {error}")
