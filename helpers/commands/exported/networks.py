"""A trained network in the forms in which others run it: plain weights, ONNX, TorchScript."""

from __future__ import annotations

import inspect
import io
import logging
import warnings
from collections.abc import Callable

import torch
from safetensors.torch import save
from torch import Tensor, nn

from helpers.errors import HelpersError
from helpers.models import embedded
from helpers.models.heads import last_layer
from helpers.models.layout import head_paths
from helpers.models.saved_models import SavedModel
from helpers.models.weights_files.official import PACKAGED


class FromPixels(nn.Module):
    """A classifier with its normalization: pixels 0 to 255 (N, 3, S, S) to probabilities (N, classes)."""

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", 255 * torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalize, run the network, and apply softmax."""
        return self.network((pixels - self.mean) / self.std).flatten(1).softmax(dim=1)


def to_weights(saved: SavedModel) -> bytes:
    """The state_dict as a safetensors file, under the names of torchvision or timm."""
    return save({name: value.contiguous() for name, value in saved.model.state_dict().items()}, {"format": "pt"})


def to_onnx(saved: SavedModel) -> bytes:
    """An ONNX graph from `pixels` to `probabilities`, for any number of images at once.

    Raises:
        HelpersError: if PyTorch cannot translate this network.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                *_example(saved),
                dynamo=True,
                verbose=False,
                input_names=["pixels"],
                output_names=["probabilities"],
                dynamic_shapes=({0: torch.export.Dim("images")},),
            )
    except Exception as error:  # the exporter's errors are of many kinds
        reason = str(error).strip().partition("\n")[0][:200]
        raise HelpersError(
            f"PyTorch cannot write this {type(saved.model).__name__} as ONNX ({reason}); take --format torchscript"
        ) from error
    return program.model_proto.SerializeToString()


def to_torchscript(saved: SavedModel) -> bytes:
    """A TorchScript file with the same input and output; it needs PyTorch and nothing else."""
    network, example = _example(saved)
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, example), file)
    return file.getvalue()


FORMATS: dict[str, tuple[str, Callable[[SavedModel], bytes]]] = {
    "weights": ("weights.safetensors", to_weights),
    "onnx": ("model.onnx", to_onnx),
    "torchscript": ("model.pt", to_torchscript),
}
"""The name of the file in each format, and what writes it."""


def needs(saved: SavedModel, form: str) -> list[str]:
    """The packages that the exported network runs on, NumPy and Pillow aside."""
    if form == "onnx":
        return ["onnxruntime"]
    if form == "torchscript":
        return ["torch"]
    return ["torch", "safetensors", "timm" if _timm_name(saved) else "torchvision"]


def source(saved: SavedModel) -> str:
    """Python code that builds the network for its weights in plain PyTorch."""
    name, options = saved.about["backbone"], saved.about["options"]
    definitions = inspect.getsource(FromPixels)
    if name == "embedded":
        imports = "from torchvision.models.resnet import BasicBlock, ResNet"
        definitions = f"WIDTHS = {embedded.WIDTHS}\n\n\n{inspect.getsource(embedded.build)}\n\n{definitions}"
        network = "build(1000)"
    elif _timm_name(saved):
        imports, network = "import timm", f"timm.create_model({_timm_name(saved)!r}, **{options})"
    else:
        if name in ("googlenet", "inception_v3"):
            options = {"aux_logits": False, "init_weights": False, **options}
        imports, network = "from torchvision import models", f"models.get_model({name!r}, weights=None, **{options})"
    paths = [last_layer(saved.model, path) for path in head_paths(saved.model)]
    heads = [f"    network.set_submodule({path!r}, {_code(saved.model.get_submodule(path))})" for path in paths]
    preprocessing = saved.preprocessing
    return "\n".join(
        [
            '"""The trained network in plain PyTorch; predict.py shows how photos are prepared for it."""\n',
            "import torch\nfrom safetensors.torch import load_file\nfrom torch import Tensor, nn",
            f"{imports}\n\n\n{definitions}\n",
            "def load(path):",
            f"    network = {network}",
            *heads,
            "    network.load_state_dict(load_file(path))",
            f"    return FromPixels(network, {preprocessing.mean}, {preprocessing.std}).eval()\n",
        ]
    )


def _timm_name(saved: SavedModel) -> str | None:
    name = saved.about["backbone"]
    return f"tf_{name}" if name in PACKAGED else name.removeprefix("timm/") if name.startswith("timm/") else None


def _code(head: nn.Module) -> str:
    layers = list(head) if isinstance(head, nn.Sequential) else [head]
    code = ", ".join(f"nn.{layer!r}" for layer in layers)
    return f"nn.Sequential({code})" if isinstance(head, nn.Sequential) else code


def _example(saved: SavedModel) -> tuple[nn.Module, tuple[Tensor]]:
    side = saved.preprocessing.image_size
    network = FromPixels(saved.model, saved.preprocessing.mean, saved.preprocessing.std).eval()
    return network, (torch.zeros(2, 3, side, side),)
