"""`python -m tests.mistakes`: measure what each mistake costs and write `data/mistakes.json`."""

import sys
from pathlib import Path

from helpers.files import write_json
from tests.mistakes.costs import measure

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Train every mistake on the embedded flowers: about 25 minutes on one core, less with more (first argument).

    What is done is kept in `runs/mistakes.jsonl` until all is: a start after an interruption goes on from there.
    """
    kept = ROOT / "runs" / "mistakes.jsonl"
    figures = measure(lambda line: print(line, flush=True), kept, processes=int(sys.argv[1]) if sys.argv[1:] else 1)
    write_json(ROOT / "data" / "mistakes.json", figures)
    kept.unlink()


if __name__ == "__main__":
    main()
