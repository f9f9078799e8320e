"""Write `data/wrong_answers.json`: typical wrong answers to each exercise, and what a learner is told.

`make answers` does it. The site shows them below each exercise, and instructors prepare for them.
"""

import ast
import json
from importlib import import_module
from pathlib import Path

import torch

from course.exercises import FOLDER, judge
from tests.exercises import later

TARGET = Path(__file__).parents[2] / "data" / "wrong_answers.json"
EACH, LINES = 3, 8  # answers of an exercise, lines of an answer


def sources(lesson: str) -> dict[str, list[str]]:
    """The code of every wrong answer in a lesson's table: a function stands in place of its name."""
    text = (Path(__file__).parent / f"lesson_{lesson}.py").read_text(encoding="utf-8")
    tree = ast.parse(text)
    functions = {
        node.name: ast.get_source_segment(text, node) for node in tree.body if isinstance(node, ast.FunctionDef)
    }
    table = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "WRONG")
    return {
        key.value: [shown(case.elts[0], functions) for case in cases.elts]
        for key, cases in zip(table.keys, table.values, strict=True)
    }


def shown(answer: ast.expr, functions: dict[str, str]) -> str:
    """An answer as a learner would write it."""
    if isinstance(answer, ast.Call) and getattr(answer.func, "id", "") == "later":
        inner = answer.args[0]
        return shown(inner.body if isinstance(inner, ast.Lambda) else inner, functions)
    if isinstance(answer, ast.Name):
        return functions.get(answer.id, answer.id)
    return ast.unparse(answer)


def typical(lesson: str) -> dict[str, list[dict[str, str]]]:
    """The first few answers of each exercise that are told different things, other than being of the wrong kind."""
    module, code = import_module(f"tests.exercises.lesson_{lesson}"), sources(lesson)
    found: dict[str, list[dict[str, str]]] = {}
    for key, cases in module.WRONG.items():
        chosen = found.setdefault(key, [])
        for (answer, _), text in zip(cases, code[key], strict=True):
            if len(chosen) == EACH:
                break
            torch.manual_seed(0)
            told = judge(key, answer() if isinstance(answer, later) else answer)[1]
            if len(text.splitlines()) <= LINES and told not in [one["told"] for one in chosen]:
                chosen.append({"answer": text, "told": told})
    return found


def main() -> None:
    """Judge them, lesson by lesson."""
    lessons = sorted(path.stem for path in FOLDER.glob("[0-9][0-9].py"))
    answers = {key: told for lesson in lessons for key, told in typical(lesson).items()}
    TARGET.write_text(json.dumps(answers, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{TARGET}: {sum(map(len, answers.values()))} answers to {len(answers)} exercises")


if __name__ == "__main__":
    main()
