"""Export backbones for the browser as ONNX, most weights in int8, into `book/_static/teach/made/`.

    python -m data.workshop.browser [--again]

An exported network takes pixels 0 to 255 and gives its last feature map; the mean of the map is what the head receives.
Weights become float32 again when the browser opens the file, so that only the file is small. With all weights in int8,
EfficientNet-Lite0's features moved by up to 0.025 (cosine distance, drawn flowers and photos); with the small layers in
float32, most of them early ones, by 0.001, in a file hardly larger.
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from onnxscript import ir
from torch import Tensor, nn

from helpers.files import atomic_write, write_json
from helpers.models import embedded
from helpers.models.backbones import load_backbone

FOLDER = Path(__file__).parents[2] / "book" / "_static" / "teach" / "made"
LIST = FOLDER / "networks.json"
NETWORKS = {
    "efficientnet_lite0": ("EfficientNet-Lite0", "trained on a million photos"),
    "embedded": ("The course's own small network", "trained on drawn images"),
}
"""What is exported, the first one proposed to the reader: title, and what it was trained on."""

SMALL = 12_000
"""Layers with fewer weights stay in float32."""


class FeatureMap(nn.Module):
    """A backbone without its head, with its normalization: pixels 0 to 255 (N, 3, S, S) to a map (N, C, h, w)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.network = load_backbone(name).eval()
        self.preprocessing = self.network.preprocessing
        self.register_buffer("mean", 255 * torch.tensor(self.preprocessing.mean).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(self.preprocessing.std).view(3, 1, 1))

    @property
    def head(self) -> str:
        """The name of the last layer."""
        return "fc" if hasattr(self.network, "fc") else "classifier"

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalize, and run everything before the pooling."""
        images = (pixels - self.mean) / self.std
        if hasattr(self.network, "forward_features"):
            return self.network.forward_features(images)
        for name, part in self.network.named_children():
            if name != "avgpool":
                images = part(images)
            else:
                break
        return images


def exported(network: FeatureMap, *, int8: bool = True) -> bytes:
    """An ONNX file of a network: input `pixels`, output `map`, any number of images."""
    example = torch.zeros(2, 3, network.preprocessing.image_size, network.preprocessing.image_size)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        options = {"dynamic_shapes": ({0: torch.export.Dim("images")},), "dynamo": True, "verbose": False}
        program = torch.onnx.export(network, (example,), input_names=["pixels"], output_names=["map"], **options)
    if int8:
        store_in_int8(program.model.graph)
    return program.model_proto.SerializeToString()


def store_in_int8(graph: ir.Graph) -> None:
    """Replace the weights of convolutions, small ones excepted, by int8 with a scale for each output channel."""
    for node in [each for each in graph if each.op_type == "Conv"]:
        weight = node.inputs[1]
        values = weight.const_value.numpy()
        if values.size < SMALL:
            continue
        scale = np.maximum(np.abs(values).max(axis=(1, 2, 3)), 1e-9) / 127
        rounded = np.rint(values / scale[:, None, None, None]).astype(np.int8)
        parts = [
            ir.Value(name=f"{weight.name}_{ending}", const_value=ir.tensor(array, name=f"{weight.name}_{ending}"))
            for ending, array in (("int8", rounded), ("scale", scale.astype(np.float32)))
        ]
        for part in parts:
            graph.register_initializer(part)
        restored = ir.node("DequantizeLinear", parts, attributes={"axis": 0})
        graph.insert_before(node, restored)
        node.replace_input_with(1, restored.outputs[0])
        del graph.initializers[weight.name]


def main(again: bool) -> None:
    """Export what is missing, or older than the weights or this file."""
    newest = max(Path(__file__).stat().st_mtime, embedded.WEIGHTS.stat().st_mtime)
    if LIST.is_file() and LIST.stat().st_mtime > newest and not again:
        return
    listed = {}
    for name, (title, trained_on) in NETWORKS.items():
        network = FeatureMap(name)
        content, file = exported(network), f"{name}.onnx"
        atomic_write(FOLDER / file, lambda stream, content=content: stream.write(content))
        listed[name] = {
            "title": title,
            "trained_on": trained_on,
            "file": file,
            "bytes": len(content),
            "channels": network.network.get_parameter(f"{network.head}.weight").shape[1],
            "head": network.head,
            "preprocessing": network.preprocessing.to_dict(),
        }
        print(f"{FOLDER / file}: {len(content) / 1e6:.1f} MB")
    write_json(LIST, listed)


if __name__ == "__main__":
    main("--again" in sys.argv)
