"""What lessons measure, claim, show and examine with."""

import base64
import io
import json
import random

import matplotlib.pyplot as plt
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from PIL import Image
from scipy import stats

from course import activations, claim, over_seeds, plots, quiz, world
from course.claims import MIME, ClaimError
from helpers import HelpersError, compare, interval, load_backbone, load_task
from helpers.measure import proportion_interval


@pytest.fixture(scope="module", autouse=True)
def _shell():
    """Displays are caught as in a notebook."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


OURS, THEIRS = [0.90, 0.88, 0.93, 0.91, 0.90], [0.80, 0.83, 0.85, 0.82, 0.79]


def test_the_interval_is_students() -> None:
    found = interval(OURS)
    low, high = stats.t.interval(0.95, 4, loc=found.mean, scale=stats.sem(OURS))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert str(found) == "90.4 ± 2.3 %, 5 seeds"


@pytest.mark.parametrize(("count", "total"), [(0, 7), (3, 7), (7, 7), (145, 153)])
def test_the_interval_of_a_proportion_is_wilsons(count, total) -> None:
    expected = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    assert proportion_interval(count, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, float("nan")]])
def test_an_interval_needs_several_numbers(values) -> None:
    with pytest.raises(HelpersError, match="two or more finite"):
        interval(values)


def test_seeds_are_compared_in_pairs() -> None:
    assert compare(OURS, THEIRS).verdict == "better"
    assert compare(THEIRS, OURS).verdict == "worse"
    same = compare(OURS, [0.91, 0.87, 0.94, 0.90, 0.90])
    assert same.verdict == "not distinguishable"
    assert "paired seeds" in str(same)
    # A common rise and fall of both is no doubt about their difference.
    waves = [0.1, 0.5, 0.9]
    assert compare([w + 0.05 + 0.001 * w for w in waves], waves).verdict == "better"
    with pytest.raises(HelpersError, match="cannot be paired"):
        compare(OURS, THEIRS[:3])


def test_a_comparison_answers_whether_a_margin_holds() -> None:
    found = compare(OURS, THEIRS)  # +8.6 ± 2.9 points
    assert found.better_by(0.05)
    assert not found.better_by(0.08)
    assert compare(THEIRS, OURS).worse_by(0.05)
    assert found.within(0.12)
    assert not found.within(0.10)
    assert interval(OURS).above(0.88)
    assert not interval(OURS).below(0.92)


def test_over_seeds_runs_each_and_shows_progress_only_where_a_notebook_is_open(monkeypatch, capsys) -> None:
    assert over_seeds(lambda seed: seed / 2, range(3)) == [0.0, 0.5, 1.0]
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("JPY_SESSION_NAME", "a notebook")
    over_seeds(float, range(3))
    assert "Seeds: 2 of 3" in capsys.readouterr().out


def test_a_claim_shows_its_evidence_and_stops_when_it_fails() -> None:
    world("embedded")
    with capture_output() as shown:
        claim("Ours is better.", compare(OURS, THEIRS).better_by(0.05), "seeds vary the images")
    (output,) = shown.outputs
    assert output.data[MIME]["sentence"] == "Ours is better."
    assert "+8.6" in output.data[MIME]["evidence"]
    assert output.data[MIME]["evidence"].endswith("; seeds vary the images")
    assert "Ours is better." in output.data["text/html"]
    json.dumps(output.data)
    with pytest.raises(ClaimError, match=r"worse: 81\.8 %"):
        claim("Theirs is better.", compare(THEIRS, OURS).better_by())
    with pytest.raises(ClaimError, match="Measured: 3 of 4"):
        claim("All are right.", False, "3 of 4")


def test_in_the_real_world_a_claim_that_does_not_hold_is_reported() -> None:
    world("real")
    with capture_output() as shown:
        claim("Theirs is better.", compare(THEIRS, OURS).better_by())
    world("embedded")
    assert "Does not hold on these photos: Theirs is better." in shown.outputs[0].data["text/plain"]


def test_images_carry_words_and_stay_small() -> None:
    flowers = load_task("flowers", classes=8).val.images[:24]
    with capture_output() as shown:
        plots.grid(flowers, alt="Flowers.", caption="Three of each.")
    data = shown.outputs[0].data
    assert shown.outputs[1].data["text/html"] == '<p class="caption"><em>Three of each.</em></p>'
    assert shown.outputs[0].metadata["image/png"]["alt"] == "Flowers."
    png = base64.b64decode(data["image/png"])
    assert len(png) < 150_000
    assert Image.open(io.BytesIO(png)).width > 500
    assert not plt.get_fignums()
    with pytest.raises(HelpersError, match="alt text"):
        plots.grid(flowers, alt=" ")
    noise = torch.randint(0, 256, (80, 3, 64, 64), dtype=torch.uint8)
    with pytest.raises(HelpersError, match="smaller or simpler"):
        plots.grid(noise, alt="Too much.")
    with capture_output() as shown:
        plots.grid(noise[:0], alt="The mistakes of a model that makes none.")
    assert "no such images" in shown.outputs[0].data["text/plain"]


def test_a_quiz_shown_again_is_the_same_page() -> None:
    before, pages = random.getstate(), []
    for _ in range(2):
        with capture_output() as shown:
            quiz("01")
        pages.append([output.data for output in shown.outputs])
    assert pages[0] == pages[1]
    assert random.getstate() == before


def test_stages_are_seen_without_changing_the_model() -> None:
    model = load_backbone("embedded").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    outputs = activations.stage_outputs(model, torch.rand(2, 3, 64, 64))
    assert list(outputs) == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert outputs["layer4"].shape == (2, 256, 2, 2)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    features = activations.stage_features(model, torch.rand(5, 3, 64, 64), batch_size=2)
    assert [tuple(vectors.shape) for vectors in features.values()] == [(5, n) for n in (32, 32, 64, 128, 256)]


def test_neighbors_probes_and_mistakes_on_clear_cases() -> None:
    points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    assert activations.neighbors(points[:1], points, 2).tolist() == [[0, 1]]
    labels = torch.tensor([0, 0, 1, 1])
    assert activations.probe(points, labels, points, labels) == 1.0
    scores = torch.tensor([[5.0, 0.0], [0.0, 9.0], [2.0, 0.0], [0.0, 3.0]])
    assert activations.most_confident_mistakes(scores, labels, 5) == [1, 2]


def test_plots_of_each_kind_are_shown() -> None:
    image, accuracies = torch.rand(3, 32, 32), [[0.5, 0.6, 0.7], [0.6, 0.7, 0.9]]
    outputs = activations.stage_outputs(load_backbone("embedded"), torch.rand(1, 3, 64, 64))
    with capture_output() as shown:
        plots.prediction(image, {"daisy": 0.4, "bee": 0.1}, alt="One.")
        plots.activations(image, outputs, alt="Two.")
        plots.intervals({"ours": accuracies[0], "theirs": accuracies[1]}, alt="Three.")
        plots.curves([1, 10], {"": accuracies}, "images", chance=0.5, alt="Four.")
        plots.curves(["stem", "layer1"], {"": accuracies}, "stage", alt="Five.")
        plots.bars({"pixels": 20.0}, "accuracy in %", alt="Six.")
        plots.stage_row(["stem", "fc"], trainable=["stem"], new=["fc"], alt="Seven.")
    assert len(shown.outputs) == 7
    assert not plt.get_fignums()


def test_first_filters_need_colors() -> None:
    filters = activations.first_filters(load_backbone("embedded"))
    assert filters.shape[1] == 3
    assert (filters.min(), filters.max()) == (0, 1)
    with pytest.raises(HelpersError, match="three colors"):
        activations.first_filters(torch.nn.Linear(2, 2))


def test_the_world_is_one_word(monkeypatch) -> None:
    monkeypatch.delenv("WORLD", raising=False)
    assert world().name == "embedded"
    monkeypatch.setenv("WORLD", "real")
    assert world().real
    assert world("embedded").task(classes=3).classes == world("embedded").task(classes=4).classes[:3]
    assert world("real").backbone(weights=None).backbone_name == "efficientnet_lite0"
    with pytest.raises(HelpersError, match="no world"):
        world("mars")
