"""Official weights of torchvision and timm: fetched when needed, verified on every load."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from helpers.downloads import download
from helpers.errors import HelpersError
from helpers.files import sha256
from helpers.models.weights_files.reading import read_state_dict

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def torchvision_state_dict(weights: WeightsEnum, root: Path | None = None) -> dict[str, Tensor]:
    """The state_dict of official torchvision weights.

    Args:
        weights: a member of a torchvision weights enum.
        root: the folder of the file; torch.hub's checkpoints folder when left out.

    Raises:
        HelpersError: if the file has to be fetched and there is no network. A file in the folder that is not the one
            its name promises is fetched anew, with a warning.
    """
    return read_state_dict(_verified_file(weights.url, root))


def timm_state_dict(tag: str) -> dict[str, Tensor]:
    """The state_dict of timm's weights `tag`, from the Hugging Face hub's cache or the hub.

    Raises:
        HelpersError: if timm has no weights under that name, without a network, or if the cached file is damaged.
    """
    import timm

    config = timm.get_pretrained_cfg(tag)
    if config.hf_hub_id:
        return read_state_dict(_hub_file(tag, config.hf_hub_id, config.hf_hub_filename))
    if config.url:
        return read_state_dict(_verified_file(config.url, None))
    raise HelpersError(f'timm has no pretrained weights for "timm/{tag}"; choose one of timm.list_pretrained().')


def _verified_file(url: str, root: Path | None) -> Path:
    """A file whose name ends in the first digits of its SHA-256, which torch.hub compares only while downloading."""
    folder = root if root is not None else Path(torch.hub.get_dir()) / "checkpoints"
    name = url.rpartition("/")[2]
    promised = _HASH_IN_NAME.search(name)
    return download(url, folder / name, sha256_prefix=promised[1] if promised else None)


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
