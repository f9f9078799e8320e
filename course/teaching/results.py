"""Learners' results: what `check` says is kept in a file, and a class's files become one table.

A learner writes `keep_results("results/ada.jsonl")` once in a notebook. An instructor collects the files:
`python -m course.teaching.results results` shows who has solved what; `--csv` writes it for a spreadsheet.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import HelpersError


@dataclass
class Result:
    """How a learner fared with one exercise.

    Attributes:
        learner: name of the file.
        exercise: for instance `"03.2"`.
        tries: answers until it was right, or all of them.
        right: whether it was.
        last: what was said to the last answer.
    """

    learner: str
    exercise: str
    tries: int = 0
    right: bool = False
    last: str = ""


def read_results(files: Iterable[Path]) -> list[Result]:
    """The results in the files of learners, in the order of names and exercises.

    Raises:
        HelpersError: for a file that `check` did not write.
    """
    found: dict[tuple[str, str], Result] = {}
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            try:
                row = json.loads(line)
                key, verdict, reason = row["exercise"], row["verdict"], row["reason"]
            except (ValueError, KeyError, TypeError) as error:
                raise HelpersError(f"{file}, line {number} was not written by `check`; leave the file out") from error
            result = found.setdefault((file.stem, key), Result(file.stem, key))
            if not result.right and verdict in ("right", "not yet"):
                result.tries += 1
                result.right, result.last = verdict == "right", reason
    return [found[place] for place in sorted(found)]


def table(results: list[Result]) -> list[list[str]]:
    """A row for each learner, a column for each exercise: tries until it was right, in brackets where it is not."""
    exercises = sorted({result.exercise for result in results})
    rows: dict[str, dict[str, Result]] = {}
    for result in results:
        rows.setdefault(result.learner, {})[result.exercise] = result
    lines = [
        [name, *(_shown(row.get(key)) for key in exercises), str(sum(one.right for one in row.values()))]
        for name, row in rows.items()
    ]
    return [["learner", *exercises, "solved"], *lines]


def _shown(result: Result | None) -> str:
    if result is None or not result.tries:
        return "–"
    return str(result.tries) if result.right else f"({result.tries})"


def main(words: list[str] | None = None) -> None:
    """Show the table of a folder of results."""
    parser = argparse.ArgumentParser(prog="python -m course.teaching.results", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds a file NAME.jsonl for each learner")
    parser.add_argument("--csv", action="store_true", help="for a spreadsheet: one row for each learner and exercise")
    asked = parser.parse_args(words)
    results = read_results(sorted(asked.folder.glob("*.jsonl")))
    if not results:
        raise HelpersError(f"{asked.folder} holds no results; learners' notebooks write NAME.jsonl by `keep_results`")
    if asked.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(Result.__dataclass_fields__)
        writer.writerows(vars(result).values() for result in results)
    else:
        rows = table(results)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        print("\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows))


if __name__ == "__main__":
    try:
        main()
    except HelpersError as error:
        sys.exit(f"error: {error}")
