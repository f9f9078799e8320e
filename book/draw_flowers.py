"""Draw the front page's flowers, one of each species, into `_static/flowers.webp`: `python book/draw_flowers.py`."""

from pathlib import Path

from PIL import Image

from drawn import flowers

TARGET = Path(__file__).parent / "_static" / "flowers.webp"
COLUMNS, SIZE, GAP = 10, 96, 4


def main() -> None:
    """Draw two rows of ten, on a transparent ground."""
    species = range(20)  # as many as the task has
    images = flowers.draw(species, size=SIZE, seed=3).permute(0, 2, 3, 1).numpy()
    rows = -(-len(species) // COLUMNS)
    sheet = Image.new("RGBA", (COLUMNS * (SIZE + GAP) - GAP, rows * (SIZE + GAP) - GAP))
    for number, image in enumerate(images):
        row, column = divmod(number, COLUMNS)
        sheet.paste(Image.fromarray(image), (column * (SIZE + GAP), row * (SIZE + GAP)))
    sheet.save(TARGET, quality=86, method=6)


if __name__ == "__main__":
    main()
