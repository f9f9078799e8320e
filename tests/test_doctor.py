"""What a diagnosis says and does, and what it copes with."""

import json

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from helpers import HelpersError, diagnose
from helpers.doctor import guard
from helpers.doctor.catalogue import CHECKS
from helpers.doctor.museum import EXHIBITS
from helpers.doctor.museum.small import CLASSES, photos, small_world
from helpers.doctor.pixels import measure
from helpers.doctor.report import Diagnosis


@pytest.fixture(scope="module")
def world():
    return small_world("resnet")


def exhibit(name):
    return next(exhibit for exhibit in EXHIBITS if exhibit.name == name)


@pytest.fixture(scope="module")
def unreplaced(world):
    return exhibit("head_never_replaced").build(world, True)


@pytest.fixture(scope="module")
def diagnosis(unreplaced):
    return diagnose(**unreplaced.shown())


def test_evidence_and_fix_speak_of_these_objects(diagnosis):
    (finding,) = diagnosis.of("error")
    assert finding.verdict.startswith("The head has 1000 outputs for 4 classes")
    assert "model.fc = Linear(in_features=256, out_features=1000" in finding.evidence
    assert finding.fix.startswith("model.fc = nn.Linear(256, 4)")
    assert finding.page == "book/doctor.html#head-wrong-size"


def test_the_fix_mends_the_model(diagnosis, unreplaced):
    shown = unreplaced.shown()
    model = shown["model"]
    exec(diagnosis.findings[0].fix, {"model": model, "nn": nn})
    shown["optimizer"] = torch.optim.SGD(model.parameters(), lr=1e-3)
    assert not diagnose(**shown).of("error")


def test_text_html_and_json_say_the_same(diagnosis):
    text, page = repr(diagnosis), diagnosis._repr_html_()
    stored = json.loads(json.dumps(diagnosis.to_json()))
    assert "ERROR head-wrong-size" in text
    assert "head-wrong-size" in page
    assert stored["findings"][0]["code"] == "head-wrong-size"
    assert "schedule-length" in text
    assert stored["not_checked"]["schedule-length"] == "needs `scheduler`"


def test_html_escapes_what_comes_from_the_objects(world):
    shown = exhibit("names_shuffled").build(world, True).shown()
    shown["classes"] = ["<script>", *CLASSES[1:]]
    shown["train_loader"].dataset.classes = [*CLASSES[1:], "<script>"]
    page = diagnose(**shown)._repr_html_()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_findings_come_sorted_by_severity(world):
    shown = exhibit("head_never_replaced").build(world, True).shown()
    shown["train_loader"] = exhibit("no_augmentation").build(world, True).train_loader
    severities = [finding.severity for finding in diagnose(**shown).findings]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert {"error", "note"} <= set(severities)


def test_raise_on(diagnosis):
    with pytest.raises(HelpersError, match="head-wrong-size"):
        diagnosis.raise_on("error")
    quiet = Diagnosis([], {}, 0.1)
    assert quiet.raise_on("note") is quiet
    with pytest.raises(HelpersError, match="severity 'fatal' is unknown"):
        quiet.raise_on("fatal")


def test_guard_stops_an_error_and_lets_a_warning_pass(world):
    bad = exhibit("head_left_frozen").build(world, True)
    with pytest.raises(HelpersError, match="head-frozen"):
        guard(bad.model, bad.optimizer, bad.train_loader, bad.val_loader)
    mild = exhibit("shuffle_forgotten").build(world, True)
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
            raise OSError("picture 5 is truncated")

    diagnosis = diagnose(world.model().eval(), val_loader=Torn())
    found = {finding.code: finding for finding in diagnosis.findings}
    assert "picture 5 is truncated" in found["loader-raises"].evidence
    assert "not-normalised" in found


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
    shown = unreplaced.shown()
    assert "head-edited-in-place" in _wrapped(torch.compile(_edited()), shown)
    assert "head-edited-in-place" in _wrapped(nn.DataParallel(_edited()), shown)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert "head-edited-in-place" in _wrapped(nn.parallel.DistributedDataParallel(_edited()), shown)
    finally:
        torch.distributed.destroy_process_group()


def _edited():
    model = small_world("resnet").model(head=False)
    model.fc.out_features = 4
    return model


def _wrapped(model, shown):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    return diagnose(model, optimizer, shown["train_loader"], classes=CLASSES).codes


def test_accelerate_wrappers_are_looked_into(world):
    from accelerate import Accelerator

    model = world.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    prepared = Accelerator(cpu=True).prepare(model, optimizer, world.loader("train"), scheduler)
    diagnosis = diagnose(prepared[0], prepared[1], prepared[2], scheduler=prepared[3], classes=CLASSES)
    assert not diagnosis.of("error"), diagnosis
    assert not diagnosis.of("warning"), diagnosis


def test_the_lattice_tells_mean_and_std():
    pixels = torch.randint(0, 256, (4, 16, 16)) / 255
    channel = measure((pixels - 0.485) / 0.229)
    assert channel.std == pytest.approx(0.229, rel=1e-4)
    assert channel.mean[0] <= 0.485 + 1e-4
    assert channel.mean[1] >= 0.485 - 1e-4
    dark = measure((pixels * 255 // 4 / 255 - 0.485) / 0.229)
    assert dark.std == pytest.approx(0.229, rel=1e-4)
    assert dark.mean[1] - dark.mean[0] > 0.5
    assert measure(torch.rand(4, 64, 64)).std is None


def test_frozen_resnet_of_the_tutorial_drifts_by_a_measured_share(world):
    setup = exhibit("frozen_by_requires_grad_alone").build(world, True)
    found = {finding.code: finding for finding in diagnose(**setup.shown()).findings}
    finding = found["frozen-batchnorm-drifts"]
    assert "% of the distance between pictures" in finding.evidence
    assert "20 frozen BatchNorm layers" in finding.verdict


def test_random_torchvision_network_is_told_from_a_pretrained_one():
    model = resnet18()
    model.fc = nn.Linear(512, 2)
    assert "weights-look-random" in diagnose(model, torch.optim.SGD(model.parameters(), lr=1e-3)).codes


def test_gradients_left_over_move_frozen_parameters(world):
    model = world.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    images, labels = next(iter(world.loader("train")))
    nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()
    for parameter in model.layer1.parameters():
        parameter.requires_grad = False
    finding = next(f for f in diagnose(model, optimizer).findings if f.code == "frozen-in-optimizer")
    assert finding.severity == "warning"
    model.zero_grad()
    finding = next(f for f in diagnose(model, optimizer).findings if f.code == "frozen-in-optimizer")
    assert finding.severity == "note"


def test_trainable_parameters_that_forward_ignores_are_a_note(world):
    model = world.model()
    model.spare = nn.Linear(7, 7)
    assert "parameters-unused" in diagnose(model, None, world.loader("train")).codes


def test_steps_counted_in_validation_batches_are_no_accumulation(world):
    model = world.model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    train = torch.utils.data.DataLoader(world.loader("train").dataset, 3, shuffle=True)
    val = torch.utils.data.DataLoader(world.loader("val").dataset, 3)
    cut = torch.utils.data.DataLoader(torch.utils.data.Subset(val.dataset, range(15)), 3)
    for steps, expected in ((5 * len(train), False), (5 * len(cut), True), (5 * (len(train) // 4), False)):
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-4, total_steps=steps)
        assert ("schedule-length" in diagnose(model, optimizer, train, cut, scheduler=scheduler).codes) is expected


def test_samplers_that_divide_one_dataset_do_not_overlap(world):
    dataset = world.loader("train", world.preparation).dataset
    order = torch.randperm(len(dataset)).tolist()
    samplers = [torch.utils.data.SubsetRandomSampler(part) for part in (order[:32], order[32:], order[:40])]
    loaders = [torch.utils.data.DataLoader(dataset, 8, sampler=sampler) for sampler in samplers]
    assert "split-overlap" not in diagnose(None, None, loaders[0], loaders[1]).codes
    assert "split-overlap" in diagnose(None, None, loaders[2], loaders[1]).codes


class Table(torch.utils.data.Dataset):
    """File names in one list, and labels that only `__getitem__` tells."""

    def __init__(self, folder, change):
        self.paths, self.folder, self.change = [path for path, _ in folder.samples], folder, change

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        picture, label = self.folder[index]
        return picture, self.change(label)


def test_labels_read_in_shuffled_order_are_not_paired_with_files(world):
    def loaders(change_val):
        train, val = Table(world.files("train").dataset, int), Table(world.files("val").dataset, change_val)
        return torch.utils.data.DataLoader(train, 8, shuffle=True), torch.utils.data.DataLoader(val, 8)

    assert not {"classes-merged", "class-order-differs"} & set(diagnose(None, None, *loaders(int)).codes)
    assert "class-order-differs" in diagnose(None, None, *loaders(lambda label: 3 - label)).codes


def test_labels_shifted_by_a_target_transform_are_one_mistake_not_two(world):
    train, val = (world.files(split, target_transform=lambda label: label + 1) for split in ("train", "val"))
    codes = diagnose(world.model(), None, train, val).codes
    assert "labels-from-one" in codes
    assert "class-order-differs" not in codes


@pytest.mark.parametrize("squeeze", [False, True])
def test_a_sigmoid_before_a_binary_loss_with_logits(world, squeeze):
    class Binary(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = world.model(head=False)
            self.body.fc = nn.Linear(256, 1)

        def forward(self, images):
            scores = torch.sigmoid(self.body(images))
            return scores.squeeze(1) if squeeze else scores

    loss = nn.BCEWithLogitsLoss()
    function = lambda scores, labels: loss(scores.flatten(), labels.float())  # noqa: E731
    for criterion in (loss, function):
        diagnosis = diagnose(Binary(), None, world.loader("train"), criterion=criterion, classes=("ants", "bees"))
        assert "activation-after-logits" in diagnosis.codes


@pytest.mark.parametrize("function", [torch.tanh, torch.sigmoid, torch.relu])
def test_an_activation_inside_forward(world, function):
    class Bounded(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = world.model()

        def forward(self, images):
            return function(self.body(images))

    diagnosis = diagnose(Bounded(), None, world.loader("train"), criterion=nn.CrossEntropyLoss(), classes=CLASSES)
    assert "activation-after-logits" in diagnosis.codes


def test_weights_initialised_again_after_loading(world):
    model = world.model()
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    assert "weights-look-random" in diagnose(model, None, world.loader("train")).codes


def test_trainable_set_on_parameters(world):
    model = world.model()
    for parameter in model.layer1.parameters():
        parameter.trainable = False
    assert "ignored-attribute" in diagnose(model).codes
