"""What instructors and contributors get: plans, slides, handouts, results, the template, workflows."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from course import check
from course.exercises import judge, keep_results
from course.teaching import colab, results
from course.teaching.exercises import attempt, source, tags
from course.teaching.handout import answers, handout, nbgrader, write
from course.teaching.lessons import Lesson, all_lessons
from course.teaching.slides import deck
from helpers.errors import HelpersError
from tests.exercises.__main__ import TARGET as WRONG_ANSWERS
from tests.exercises.__main__ import sources
from tests.test_lessons import OPENING, PATTERN
from tests.test_repository import requirements

ROOT = Path(__file__).parents[1]
LESSONS = all_lessons()


@pytest.fixture(params=LESSONS, ids=lambda lesson: lesson.number)
def lesson(request) -> Lesson:
    return request.param


def test_sections_share_the_time_that_a_lesson_names(lesson) -> None:
    least, most = lesson.time
    apart = {"Exercises", "Quiz", "Next"}
    inside = [each for section, each in zip(lesson.sections, lesson.minutes, strict=True) if section.title not in apart]
    assert 0.8 * least <= sum(inside) <= 1.2 * most
    assert max(inside) <= 0.5 * most


def test_the_front_pages_name_every_lesson_and_its_minutes(lesson) -> None:
    least, most = lesson.time
    named = f"{least}" if least == most else f"{least} to {most}"
    front = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| \[.*\]\(/notebooks/{lesson.path.stem}\) \| .* \| {named} \|$", front, re.MULTILINE)
    assert f"(notebooks/{lesson.path.name})" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_slides_hold_a_lessons_figures_claims_and_questions_and_nothing_from_elsewhere(lesson) -> None:
    page = deck(lesson)
    asked = [question for section in lesson.sections if section.title != "Quiz" for question in section.quizzes]
    assert page.count("data:image/png") == sum(len(section.figures) for section in lesson.sections)
    assert page.count('class="claim"') == sum(len(section.claims) for section in lesson.sections)
    assert page.count('class="ask"') == len(asked)
    assert not re.search(r'(src|href)="(?!data:)|url\(|https?://', page)


def test_handouts_give_nothing_away(lesson) -> None:
    made = handout(lesson)
    text = "\n".join(map(source, made["cells"]))
    assert not any("solution" in tags(cell) or cell.get("outputs") for cell in made["cells"])
    assert not re.search(r'hint\("|solutions are folded|\]\(\.\./', text)
    assert [key for cell in made["cells"] if (found := attempt(cell)) for key in found[1:]] == [
        exercise.key for exercise in lesson.exercises
    ]
    for exercise in lesson.exercises:
        assert exercise.solution in answers(lesson)
        assert exercise.right in answers(lesson)


def test_a_handout_is_a_folder_of_notebooks_and_one_of_answers(tmp_path) -> None:
    write(tmp_path)
    assert [path.name for path in sorted((tmp_path / "lessons").iterdir())] == [lesson.path.name for lesson in LESSONS]
    assert not list((tmp_path / "lessons").glob("*.md"))
    assert len(list((tmp_path / "answers").glob("*.md"))) == sum(bool(lesson.exercises) for lesson in LESSONS)


def test_nbgraders_solution_passes_its_test_cell_and_its_dots_do_not() -> None:
    """Run as nbgrader runs them: with the solution, then as it is released, without."""
    lesson = next(each for each in LESSONS if each.number == "03")
    cells = [cell for cell in nbgrader(lesson)["cells"] if "nbgrader" in cell["metadata"]]
    assert [cell["metadata"]["nbgrader"]["grade"] for cell in cells] == [False, True] * len(lesson.exercises)
    assert len({cell["metadata"]["nbgrader"]["grade_id"] for cell in cells}) == len(cells)
    for given, test in ((source(cells[0]), source(cells[1])), (source(cells[6]), source(cells[7]))):
        space: dict = {"check": check}
        exec(f"{given}\n{test}", space)
        released = re.sub(r"### BEGIN SOLUTION.*?### END SOLUTION", "", given, flags=re.DOTALL)
        with pytest.raises(AssertionError):
            exec(f"{released}\n{test}", space)


def test_what_check_says_is_kept_and_collected(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("course.exercises._results", [])
    keep_results(tmp_path / "class" / "ada.jsonl")
    for answer in (..., 5, 7, 8, 8):
        check("03.1", answer)
    keep_results(tmp_path / "class" / "ben.jsonl")
    check("03.1", 5)
    capsys.readouterr()
    results.main([str(tmp_path / "class")])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["learner", "03.1", "solved"],
        ["ada", "3", "1"],
        ["ben", "(1)", "0"],
    ]
    results.main([str(tmp_path / "class"), "--csv"])
    assert judge("03.1", 5)[1] in capsys.readouterr().out


@pytest.mark.fault
def test_a_file_that_is_no_result_is_named(tmp_path) -> None:
    with pytest.raises(HelpersError, match="holds no results"):
        results.main([str(tmp_path)])
    (tmp_path / "eve.jsonl").write_text('{"exercise": "03.1"}\n')
    with pytest.raises(HelpersError, match=r"eve\.jsonl, line 1"):
        results.main([str(tmp_path)])


def test_the_wrong_answers_on_the_site_are_those_that_the_tests_judge() -> None:
    stored = json.loads(WRONG_ANSWERS.read_text(encoding="utf-8"))
    for lesson in LESSONS:
        for exercise in lesson.exercises:
            known = sources(lesson.number)[exercise.key]
            assert len(stored[exercise.key]) >= 2, "run `make answers`"
            assert all(one["answer"] in known for one in stored[exercise.key]), f"{exercise.key}: run `make answers`"


def test_the_template_follows_the_pattern() -> None:
    path = ROOT / "course" / "teaching" / "lesson_template.ipynb"
    nbformat.validate(nbformat.read(path, 4))
    template = Lesson(path)
    titles = [section.title for section in template.sections if section.level == 2]
    assert [title for title in titles if title.startswith(PATTERN)] == list(PATTERN)
    assert all(f"**{words}**" in template.opening for words in OPENING)


def test_colab_gets_an_install_cell_once_the_address_is_set(tmp_path, monkeypatch) -> None:
    config = tmp_path / "_config.yml"
    config.write_text("repository: {url: ''}")
    with pytest.raises(HelpersError, match="has no address"):
        colab.main(config, tmp_path)
    lesson = tmp_path / "03_copy.ipynb"
    lesson.write_text(LESSONS[3].path.read_text(encoding="utf-8"), encoding="utf-8")
    for address in ("https://github.com/someone/course", "https://github.com/another/course"):
        config.write_text(f"repository: {{url: '{address}'}}")
        colab.main(config, tmp_path)
    first = next(cell for cell in Lesson(lesson).cells if cell["cell_type"] == "code")
    assert source(first).count("git") == 2  # the command, and the address
    assert "https://github.com/another/course" in source(first)
    assert source(first).endswith(source(next(cell for cell in LESSONS[3].cells if cell["cell_type"] == "code")))
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    exec(source(first), {})  # does nothing on a laptop


def test_binder_installs_the_pinned_packages_with_the_cpu_build() -> None:
    lines = (ROOT / ".binder" / "requirements.txt").read_text().splitlines()
    pins = requirements("helpers")
    assert {f"{name}=={pins[name]}+cpu" for name in ("torch", "torchvision")} <= set(lines)
    assert "-r ../requirements.txt" in lines


def test_workflows_call_what_the_makefile_makes() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(file.read_text())
        assert workflow["permissions"] == {"contents": "read"}, file
        runs = " ".join(step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"])
        assert set(re.findall(r"\bmake ([a-z]+)", runs)) <= targets, file


def test_what_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!http)([^)]+)\)", text):
        assert (ROOT / link).exists(), link
    for name in re.findall(r"`((?:tests|notebooks|course|book|\.github|\.binder)/[\w./-]*)`", text):
        assert "NN" in name or (ROOT / name).exists(), name
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)|^make ([a-z]+)", text, re.MULTILINE)) <= {
        pair for target in targets for pair in ((target, ""), ("", target))
    }
