"""Fetch what runs networks in the browser, onnxruntime-web (MIT), into `_static/teach/made/`: `python book/engine.py`.

Once, 30 MB, checked by hash; two of its files are kept. The site is built without it as well, only its pages "Teach it
yourself" and "Try it" then say what is missing.
"""

import sys
import tarfile
import tempfile
from pathlib import Path

from helpers.downloads import download
from helpers.errors import HelpersError

VERSION = "1.30.0"
URL = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
FOLDER = Path(__file__).parent / "_static" / "teach" / "made"


def main() -> None:
    """Fetch the archive, and take out what a page needs."""
    if all((FOLDER / name).is_file() for name in FILES):
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as temporary:
        archive = download(URL, Path(temporary) / "engine.tgz", sha256=SHA256)
        with tarfile.open(archive) as packed:
            for name in FILES:
                packed.extract(f"package/dist/{name}", temporary, filter="data")
                (Path(temporary) / "package" / "dist" / name).replace(FOLDER / name)
    print(f"{FOLDER}: {', '.join(FILES)}")


if __name__ == "__main__":
    try:
        main()
    except HelpersError as error:
        sys.exit(f"error: {error}")
