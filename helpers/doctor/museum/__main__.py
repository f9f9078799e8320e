"""`python -m helpers.doctor.museum`: measure what each mistake costs and write `data/museum.json`."""

import sys
from pathlib import Path

from helpers.doctor.museum.costs import measure
from helpers.files import write_json

ROOT = Path(__file__).resolve().parents[3]


def main() -> None:
    """Train every exhibit on the embedded flowers: about 25 minutes on one core, less with more (first argument).

    What is done is kept in `runs/museum.jsonl` until all is: a start after an interruption goes on from there.
    """
    kept = ROOT / "runs" / "museum.jsonl"
    figures = measure(lambda line: print(line, flush=True), kept, processes=int(sys.argv[1]) if sys.argv[1:] else 1)
    write_json(ROOT / "data" / "museum.json", figures)
    kept.unlink()


if __name__ == "__main__":
    main()
