"""A trained network in the forms in which others run it: plain weights, ONNX, TorchScript."""

from __future__ import annotations

import io
import logging
import warnings

import torch
from safetensors.torch import save
from torch import Tensor, nn

from helpers.errors import HelpersError
from helpers.models.saved_models import SavedModel


class FromPixels(nn.Module):
    """A classifier with its normalization: pixels 0 to 255 (N, 3, S, S) to probabilities (N, classes)."""

    def __init__(self, saved: SavedModel) -> None:
        super().__init__()
        self.network = saved.model
        self.register_buffer("mean", 255 * torch.tensor(saved.preprocessing.mean).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(saved.preprocessing.std).view(3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalize, run the network, and apply softmax."""
        return self.network((pixels - self.mean) / self.std).flatten(1).softmax(dim=1)


def written(saved: SavedModel, form: str) -> dict[str, bytes]:
    """The files of a format, the network that predict.py runs first; plain weights have their TorchScript beside them.

    Raises:
        HelpersError: if PyTorch cannot translate this network.
    """
    side = saved.preprocessing.image_size
    network, example, file = FromPixels(saved).eval(), torch.zeros(2, 3, side, side), io.BytesIO()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            if form == "onnx":
                options = {"dynamic_shapes": ({0: torch.export.Dim("images")},), "dynamo": True, "verbose": False}
                names = {"input_names": ["pixels"], "output_names": ["probabilities"]}
                program = torch.onnx.export(network, (example,), **options, **names)
                return {"model.onnx": program.model_proto.SerializeToString()}
            torch.jit.save(torch.jit.trace(network, example), file)
    except Exception as error:  # the exporters' errors are of many kinds
        reason = str(error).strip().partition("\n")[0][:200]
        raise HelpersError(f"PyTorch cannot write this network as {form} ({reason}); take another --format") from error
    files = {"model.pt": file.getvalue()}
    if form == "weights":
        tensors = {name: value.contiguous() for name, value in saved.model.state_dict().items()}
        files["weights.safetensors"] = save(tensors, {"format": "pt"})
    return files
