"""`python -m helpers.doctor.museum`: measure what each mistake costs and write `data/museum.json`."""

from pathlib import Path

from helpers.doctor.museum.costs import measure
from helpers.files import write_json

PATH = Path(__file__).resolve().parents[3] / "data" / "museum.json"


def main() -> None:
    """Train every exhibit on the embedded flowers; some minutes on two cores."""
    write_json(PATH, measure(print))


if __name__ == "__main__":
    main()
