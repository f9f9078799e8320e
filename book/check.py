"""Say which pages the table of contents promises and the built site lacks; `python book/check.py SITE`.

Jupyter Book ends with status 0 after some failures, so the pages themselves are the proof.
"""

import sys
from pathlib import Path

from sphinx_external_toc.parsing import parse_toc_yaml

HOME = Path(__file__).parent


def missing(site: Path) -> list[str]:
    """Pages that are promised and not there, the redirect at the root included."""
    documents = parse_toc_yaml(HOME / "_toc.yml")
    pages = ["index.html", "search.html", "genindex.html", *(f"{document}.html" for document in documents)]
    return [page for page in pages if not (site / page).is_file()]


if __name__ == "__main__":
    absent = missing(Path(sys.argv[1]))
    sys.exit(f"The site lacks {', '.join(absent)}." if absent else 0)
