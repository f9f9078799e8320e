"""Draw the front page's flowers and the card that links to the site are shown with: `python -m book.draw_flowers`.

`_static/flowers.webp` holds one flower of each species; `_static/card.jpg`, 1200 x 630, is for chats and searches.
"""

from pathlib import Path

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from drawn import flowers

STATIC = Path(__file__).parent / "_static"
SPECIES = range(20)  # as many as the task has
COLUMNS, SIZE, GAP = 10, 96, 4
CARD, TITLE, INK = (1200, 630), "Transfer learning,\nlesson by lesson", "#22303c"


def sheet(size: int, columns: int, gap: int) -> Image.Image:
    """The flowers in rows, on a transparent ground."""
    images = flowers.draw(SPECIES, size=size, seed=3).permute(0, 2, 3, 1).numpy()
    rows = -(-len(SPECIES) // columns)
    drawn = Image.new("RGBA", (columns * (size + gap) - gap, rows * (size + gap) - gap))
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        drawn.paste(Image.fromarray(image), (column * (size + gap), row * (size + gap)))
    return drawn


def card() -> Image.Image:
    """The title beside twenty flowers."""
    drawn = Image.new("RGB", CARD, "white")
    grid = sheet(size=120, columns=4, gap=6)
    drawn.paste(grid, (CARD[0] - grid.width, (CARD[1] - grid.height) // 2), grid)
    bold, plain = (font_manager.findfont(font_manager.FontProperties(weight=weight)) for weight in ("bold", "normal"))
    pen = ImageDraw.Draw(drawn)
    pen.multiline_text((60, 190), TITLE, fill=INK, font=ImageFont.truetype(bold, 58), spacing=18)
    pen.text((60, 390), "a course with PyTorch, offline,", fill=INK, font=ImageFont.truetype(plain, 32))
    pen.text((60, 434), "in which every claim is measured", fill=INK, font=ImageFont.truetype(plain, 32))
    return drawn


if __name__ == "__main__":
    sheet(SIZE, COLUMNS, GAP).save(STATIC / "flowers.webp", quality=86, method=6)
    card().save(STATIC / "card.jpg", quality=84, optimize=True)
