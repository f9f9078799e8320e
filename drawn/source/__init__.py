"""Source images: a thousand classes drawn from formulas, for the embedded backbone to learn from.

No flower and no slide is among them. Seven families: textured radial contours, flat figures, iterated function
systems (fractals), closed curves, full-frame textures, dead leaves (heaps of overlapping shapes), and
arrangements of small objects. Each class is a handful of numbers drawn once from its name; each image
varies place, size, turn, perspective, colors, light, background, occlusion, blur and grain.
"""

from drawn.source.classes import CLASSES, draw

__all__ = ["CLASSES", "draw"]
