"""What a diagnosis says and does, and what it copes with."""

import json

import pytest
import torch
from torch import nn

from helpers import diagnose
from tests.mistakes import MISTAKES
from tests.mistakes.small import CLASSES, photos, small_world
from transfer_doctor import DiagnosisError, guard
from transfer_doctor.catalogue import CHECKS
from transfer_doctor.report import Diagnosis
from transfer_doctor.symptoms import SYMPTOMS
from transfer_doctor.watching import catalogue as watching


@pytest.fixture(scope="module")
def world():
    return small_world("resnet")


def mistake(name):
    return next(mistake for mistake in MISTAKES if mistake.name == name)


@pytest.fixture(scope="module")
def unreplaced(world):
    return mistake("head_never_replaced").build(world, True)


@pytest.fixture(scope="module")
def diagnosis(unreplaced):
    return diagnose(**unreplaced.arguments())


def test_evidence_and_fix_speak_of_these_objects(diagnosis):
    (finding,) = diagnosis.of("error")
    assert finding.verdict.startswith("The head has 1000 outputs for 4 classes")
    assert "model.fc = Linear(in_features=256, out_features=1000" in finding.evidence
    assert finding.fix.startswith("model.fc = nn.Linear(256, 4)")
    assert finding.page == "book/doctor.html#head-wrong-size"


def test_the_fix_mends_the_model(diagnosis, unreplaced):
    inputs = unreplaced.arguments()
    model = inputs["model"]
    exec(diagnosis.findings[0].fix, {"model": model, "nn": nn})
    inputs["optimizer"] = torch.optim.SGD(model.parameters(), lr=1e-3)
    assert not diagnose(**inputs).of("error")


def test_text_html_and_json_say_the_same(diagnosis):
    text, page = repr(diagnosis), diagnosis._repr_html_()
    stored = json.loads(json.dumps(diagnosis.to_json()))
    assert "ERROR head-wrong-size" in text
    assert "head-wrong-size" in page
    assert stored["findings"][0]["code"] == "head-wrong-size"
    assert "schedule-length" in text
    assert stored["not_checked"]["schedule-length"] == "needs `scheduler`"


def test_html_escapes_what_comes_from_the_objects(world):
    inputs = mistake("names_shuffled").build(world, True).arguments()
    inputs["classes"] = ["<script>", *CLASSES[1:]]
    inputs["train_loader"].dataset.classes = [*CLASSES[1:], "<script>"]
    page = diagnose(**inputs)._repr_html_()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_findings_come_sorted_by_severity(world):
    inputs = mistake("head_never_replaced").build(world, True).arguments()
    inputs["train_loader"] = mistake("no_augmentation").build(world, True).train_loader
    severities = [finding.severity for finding in diagnose(**inputs).findings]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert {"error", "note"} <= set(severities)


def test_raise_on(diagnosis):
    with pytest.raises(DiagnosisError, match="head-wrong-size"):
        diagnosis.raise_on("error")
    quiet = Diagnosis([], {}, 0.1)
    assert quiet.raise_on("note") is quiet
    with pytest.raises(DiagnosisError, match="severity 'fatal' is unknown"):
        quiet.raise_on("fatal")


def test_guard_stops_an_error_and_lets_a_warning_pass(world):
    bad = mistake("head_left_frozen").build(world, True)
    with pytest.raises(DiagnosisError, match="head-frozen"):
        guard(bad.model, bad.optimizer, bad.train_loader, bad.val_loader)
    mild = mistake("shuffle_forgotten").build(world, True)
    guard(mild.model, mild.optimizer, mild.train_loader, mild.val_loader, criterion=mild.criterion)


def test_every_check_says_what_it_lacks():
    diagnosis = diagnose()
    assert not diagnosis.findings
    assert set(diagnosis.not_checked) == set(CHECKS)


def test_every_check_has_a_title_and_known_relations():
    for check in CHECKS.values():
        assert check.title
        assert set(check.unless) <= set(CHECKS)


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.fc = nn.Linear(8, 4)

    def forward(self, images):
        raise RuntimeError("no luck")


def test_a_model_that_raises_is_a_finding(world):
    diagnosis = diagnose(Broken(), val_loader=world.loader("val"))
    (finding,) = diagnosis.of("error")
    assert finding.code == "module-raises"
    assert "no luck" in finding.evidence


def test_a_loader_that_raises_is_a_finding(world):
    class Torn:
        def __iter__(self):
            yield photos(4, 0)[0].float() / 255, torch.arange(4)
            raise OSError("image 5 is truncated")

    diagnosis = diagnose(world.model().eval(), val_loader=Torn())
    found = {finding.code: finding for finding in diagnosis.findings}
    assert "image 5 is truncated" in found["loader-raises"].evidence
    assert "not-normalized" in found


def test_unknown_loss_and_outputs_do_not_crash(world):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3 * 32 * 32, 4)

        def forward(self, images):
            return {"scores": self.fc(images.flatten(1)), "extra": None}

    diagnosis = diagnose(Odd(), None, world.loader("train"), criterion=lambda a, b, c: 0)
    assert not [reason for reason in diagnosis.not_checked.values() if "itself failed" in reason]


def test_compiled_and_wrapped_models_are_looked_into(unreplaced, tmp_path):
    inputs = unreplaced.arguments()
    assert "head-edited-in-place" in _wrapped(torch.compile(_edited()), inputs)
    assert "head-edited-in-place" in _wrapped(nn.DataParallel(_edited()), inputs)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert "head-edited-in-place" in _wrapped(nn.parallel.DistributedDataParallel(_edited()), inputs)
    finally:
        torch.distributed.destroy_process_group()


def _edited():
    model = small_world("resnet").model(head=False)
    model.fc.out_features = 4
    return model


def _wrapped(model, inputs):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    return diagnose(model, optimizer, inputs["train_loader"], classes=CLASSES).codes


def test_accelerate_wrappers_are_looked_into(world):
    from accelerate import Accelerator

    model = world.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    prepared = Accelerator(cpu=True).prepare(model, optimizer, world.loader("train"), scheduler)
    diagnosis = diagnose(prepared[0], prepared[1], prepared[2], scheduler=prepared[3], classes=CLASSES)
    assert not diagnosis.of("error"), diagnosis
    assert not diagnosis.of("warning"), diagnosis


def test_every_check_says_how_it_looks_and_what_to_do():
    for code, check in CHECKS.items():
        text = check.function.__doc__
        assert all(f"{part}: " in text for part in ("Symptom", "By hand", "Repair")), code


def test_the_index_by_symptom_leads_to_every_finding():
    assert {code for codes in SYMPTOMS.values() for code in codes} == {*CHECKS, *watching.CHECKS}
