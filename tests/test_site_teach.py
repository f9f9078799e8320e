"""The pages on which a network runs in the browser: features and answers as in PyTorch, a reader's path."""

import base64
import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression

from data.workshop.browser import FeatureMap
from helpers.data.photos.decoding import prepared_photo
from helpers.data.transforms import center_crop
from helpers.models.prediction import probabilities
from helpers.models.saved_models import load_model
from tests.test_site import NARROW, ROOT, accessible_and_fits_a_phone, address, browser, serious, site, visit  # noqa: F401 (fixtures)

TEACH = ROOT / "book" / "_static" / "teach"
SHEETS = json.loads((TEACH / "prepared.json").read_text(encoding="utf-8"))
NETWORKS = ("efficientnet_lite0", "embedded")
LONG = 120_000
"""Milliseconds for a network on a busy machine."""

LOOK = """async ([name, photos]) => {
    const { open } = await import("/_static/teach/engine.js");
    const backbone = await open(name), found = [];
    for (const photo of photos) {
        const blob = await (await fetch(`data:application/octet-stream;base64,${photo}`)).blob();
        found.push([...(await backbone.look(blob)).features]);
    }
    return found;
}"""
PROBE = """async ([features, labels, held, heldLabels]) => {
    const { train } = await import("/_static/teach/head.js");
    const { test } = await import("/_static/teach/measure.js");
    const start = performance.now();
    const head = train(features, labels, 4);
    const seconds = (performance.now() - start) / 1000;
    const rows = test(head, held.map((features, i) => ({ features, label: heldLabels[i] })));
    return { said: rows.map((row) => row.predicted), chances: rows.map((row) => row.chances), seconds };
}"""


@pytest.fixture(scope="module")
def made() -> None:
    """The networks and their engine, which are not in the repository."""
    if not all((TEACH / "made" / name).is_file() for name in ("networks.json", "ort.wasm.bundle.min.mjs")):
        pytest.skip("the networks and the engine are missing: `make teach` adds them")


@pytest.fixture
def teach(made, visit, address) -> Page:  # noqa: F811
    page = visit(f"{address}/book/teach.html")
    page.set_default_timeout(LONG)
    expect.set_options(timeout=LONG)
    page.get_by_role("button", name="Show me with drawn flowers").wait_for()
    return page


@pytest.fixture(scope="module")
def tiles(tmp_path_factory) -> list[Path]:
    """The prepared flowers as files: of each species those to learn from, then those held out."""
    folder, files = tmp_path_factory.mktemp("tiles"), []
    for each in SHEETS["teach"]:
        sheet, side = Image.open(TEACH / each["file"]), SHEETS["tile"]
        for number in range(SHEETS["training"] + SHEETS["held"]):
            row, column = divmod(number, SHEETS["columns"])
            files.append(folder / f"{each['name']} {number:02}.png")
            box = (column * side, row * side, (column + 1) * side, (row + 1) * side)
            sheet.crop(box).convert("RGB").save(files[-1])
    return files


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    """Real photos as JPEG, one lying on its side, one large; one transparent, one gray."""
    folder = tmp_path_factory.mktemp("photos")
    china, flower = (Image.fromarray(pixels) for pixels in load_sample_images().images)
    exif = Image.Exif()
    exif[0x0112] = 6
    china.save(folder / "a.jpg", quality=95)
    flower.save(folder / "b.jpg", quality=95, exif=exif)
    flower.resize((2600, 1730), Image.LANCZOS).save(folder / "c.jpg", quality=95)
    china.convert("L").save(folder / "d.png")
    clear = flower.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(flower.size))
    clear.save(folder / "e.png")
    return sorted(folder.iterdir())


@torch.no_grad()
def in_pytorch(name: str, files: list[Path]) -> np.ndarray:
    network = FeatureMap(name).eval()
    images = (prepared_photo(file, network.preprocessing) for file in files)
    side = network.preprocessing.image_size
    return torch.cat([network(center_crop([image], side).float()).mean((2, 3)) for image in images]).numpy()


def in_browser(page: Page, name: str, files: list[Path]) -> np.ndarray:
    encoded = [base64.b64encode(file.read_bytes()).decode() for file in files]
    return np.array(page.evaluate(LOOK, [name, encoded]), dtype=np.float32)


def cosine_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return 1 - (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("name", NETWORKS)
def test_features_and_a_probe_are_as_in_pytorch(teach, tiles, photos, name) -> None:
    """Within 1e-2 (cosine distance) for each photo; accuracy within a point, with 20 images of each class."""
    page = teach
    files = [*photos, *tiles]
    expected, found = in_pytorch(name, files), in_browser(page, name, files)
    distances = cosine_distance(expected, found)
    print(name, "cosine distance: flowers", distances[len(photos) :].max(), "photos", distances[: len(photos)])
    assert distances.max() < 1e-2

    learned, whole = SHEETS["training"], SHEETS["training"] + SHEETS["held"]
    training = np.arange(len(tiles)) % whole < learned
    labels = np.arange(len(tiles)) // whole
    expected, found = expected[len(photos) :], found[len(photos) :]
    rows = [found[training].tolist(), labels[training].tolist(), found[~training].tolist(), labels[~training].tolist()]
    probe = page.evaluate(PROBE, rows)

    center = expected[training].mean(0)
    scale = np.sqrt(((expected[training] - center) ** 2).sum(1).mean())
    model = LogisticRegression(C=30, max_iter=5000).fit((expected[training] - center) / scale, labels[training])
    truth = labels[~training]
    ours, theirs = np.mean(np.array(probe["said"]) == truth), model.score((expected[~training] - center) / scale, truth)
    chances = model.predict_proba((expected[~training] - center) / scale)
    print(name, "browser", ours, "scikit-learn on PyTorch", theirs, "trained in", probe["seconds"], "s")
    assert abs(ours - theirs) <= 0.0101
    assert np.abs(np.array(probe["chances"]) - chances).mean() < 0.02
    assert ours > 0.6
    assert not page.errors


def learned(page: Page) -> str:
    """Wait until a head is trained and everything about it is shown; the sentence about it."""
    page.locator(".looks figure").first.wait_for()
    page.locator("svg.curve").wait_for()
    return page.locator(".status").inner_text()


def test_drawn_flowers_are_learned_and_the_network_is_taken_along(teach, tiles, command, tmp_path) -> None:
    page = teach
    page.get_by_label("The course's own small network").check()
    page.get_by_role("button", name="Show me with drawn flowers").click()
    assert "100 held-out photos right" in learned(page)
    few = int(page.locator(".number").inner_text().split()[0])
    for _ in range(5):
        more = page.get_by_role("button", name="Add 2 flowers to each class")
        count = page.locator(".class .count").first.inner_text()
        more.click()
        expect(page.locator(".class .count").first).not_to_have_text(count)
        expect(page.locator("progress")).to_be_hidden()
    page.get_by_text("Trained on 48 photos").wait_for()
    learned(page)
    assert int(page.locator(".number").inner_text().split()[0]) > max(few, 50)
    assert page.locator("table.confusion tbody tr").count() == 4
    assert "chance" in page.locator("svg.curve").get_attribute("aria-label")
    assert not page.errors  # before axe
    accessible_and_fits_a_phone(page)

    with page.expect_download() as saving:
        page.get_by_role("button", name="Download the network").click()
    with zipfile.ZipFile(saving.value.path()) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    run = tmp_path / "my-network"
    assert {file.name for file in run.iterdir()} == {"model.safetensors", "embedded.onnx", "head.json", "README.txt"}
    asked = tiles[:: SHEETS["training"] + SHEETS["held"]]
    _, *rows = csv.reader(io.StringIO(command("predict", run, *asked, "--csv", "--top", 4).out))
    for file, row in zip(asked, rows, strict=True):
        page.locator(".ask input").set_input_files(file)
        page.locator(".tried .bars").wait_for()
        expect(page.locator(".tried .bars .name").first).to_have_text(row[1])
        shown = page.locator(".tried .bars .value").first.inner_text()
        assert float(shown.split()[0]) == pytest.approx(100 * float(row[2]), abs=4)
    saved = load_model(run)
    assert saved.classes == tuple(each["name"] for each in SHEETS["teach"])


def test_own_photos_by_keyboard_alone(teach, tiles, tmp_path) -> None:
    page, whole = teach, SHEETS["training"] + SHEETS["held"]
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    page.get_by_label("The course's own small network").check()
    for label, name in enumerate(("round ones", "others")):
        page.get_by_label(f"Name of class {label + 1}").focus()
        page.keyboard.type(name)
        page.keyboard.press("Tab")
        page.wait_for_function("document.activeElement.textContent === 'Add photos'")
        files = [*tiles[whole * label : whole * label + 6], tmp_path / "broken.jpg"]
        with page.expect_file_chooser() as choosing:
            page.keyboard.press("Enter")
        choosing.value.set_files(files)
        page.get_by_text("Trained on 8 photos" if label else "Add photos to “class 2”.").wait_for()
    assert "Trained on 8 photos" in learned(page)
    assert page.get_by_text("4 to learn from · 2 held out").count() == 2
    assert "broken.jpg" in page.locator(".notes").inner_text()
    assert page.locator("table.confusion tbody th").all_inner_texts() == ["round ones", "others"]
    page.locator(".thumbs button").first.focus()
    page.keyboard.press("Space")
    page.get_by_text("Trained on 7 photos").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    page.get_by_role("button", name="Empty others").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Add photos to “others”.").wait_for()
    assert page.locator(".results").is_hidden()
    assert not [error for error in page.errors if "broken" not in error]


def test_the_camera_takes_photos_until_it_is_closed(teach) -> None:
    page = teach
    page.evaluate("""() => {
        const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 480 });
        const pen = canvas.getContext("2d");
        setInterval(() => { pen.fillStyle = `hsl(${Date.now() / 20}, 80%, 50%)`; pen.fillRect(0, 0, 640, 480); }, 30);
        navigator.mediaDevices.getUserMedia = async () => (window.stream = canvas.captureStream(20));
    }""")
    page.get_by_role("button", name="Camera for class 1").click()
    page.wait_for_function("document.querySelector('dialog video').videoWidth > 0")
    for taken in ("1 photo taken", "2 photos taken"):
        page.get_by_role("button", name="Take a photo").click()
        page.locator("dialog").get_by_text(taken).wait_for()
    assert not serious(page)
    page.keyboard.press("Escape")
    assert page.evaluate("window.stream.getTracks()[0].readyState") == "ended"
    assert page.locator(".thumbs button").count() == 2


def test_try_it_names_flowers_and_refuses_other_things(made, visit, address, tiles) -> None:  # noqa: F811
    page = visit(f"{address}/book/try.html")
    page.set_default_timeout(LONG)
    verdicts = {}
    for item in SHEETS["gallery"]["items"]:
        page.get_by_role("button", name=item["about"]).click()
        page.locator(".answer .bars").wait_for()
        verdicts[item["name"]] = page.locator(".verdict").inner_text()
        assert page.locator(".answer .bars li").count() == 5
        assert " ms for the network" in page.locator(".answer").inner_text()
    print(verdicts)
    known = load_model(TEACH / "flowers.safetensors").classes
    right = [name in verdict if name in known else "no flower I know" in verdict for name, verdict in verdicts.items()]
    assert sum(right) >= len(right) - 2
    page.get_by_role("button", name="Draw a new flower").click()
    page.locator(".answer .bars").wait_for()
    page.locator("#try input[type=file]").set_input_files(tiles[0])
    page.get_by_role("img", name="The image, as the network sees it").wait_for()
    assert not page.errors
    assert not serious(page)


def test_the_stored_head_is_a_model_file(tiles, command) -> None:
    """`transfer predict` reads it, and is right about most of the prepared flowers."""
    asked = tiles[:: (SHEETS["training"] + SHEETS["held"]) // 3]
    lines = command("predict", TEACH / "flowers.safetensors", *asked, "--csv").out.splitlines()[1:]
    assert sum(Path(line.split(",")[0]).name[:-7] == line.split(",")[1] for line in lines) > 0.7 * len(lines)
    assert probabilities(load_model(TEACH / "flowers.safetensors"), asked[:1]).shape == (1, 20)


def test_a_page_from_a_folder_says_how_to_serve_it(made, visit, site) -> None:  # noqa: F811
    page = visit(f"{(site / 'book' / 'teach').as_uri()}.html")
    page.get_by_text("python -m http.server").first.wait_for()
    assert not page.errors
