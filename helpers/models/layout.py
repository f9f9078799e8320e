"""The stages of any network, read from its structure: its units in order, joined to stages.

The one place that knows how architectures are built. It looks at what modules hold (stacks of blocks, strides, plain
layers) and at the usual names of containers, so that torchvision, timm and other networks need no table of models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

_CONTAINERS = {
    "backbone", "blocks", "body", "dense_stages", "encoder", "features", "layers", "levels", "model", "network",
    "stages", "transformers", "trunk", "trunk_output",
}  # fmt: skip
_STEMS = {"conv1", "embeds", "patch_embed", "patch_embeds", "stem", "stem_dct"}
_HIDDEN_LAYERS_IN_CLASSIFIER = {"AlexNet", "MaxVit", "MobileNetV3", "VGG"}
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_STACKS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass
class _Unit:
    """A child module, or a bare parameter (`module` is None), that is not cut further."""

    path: str
    module: nn.Module | None
    parameters: list[str]
    weights: int = 0
    by_resolution: bool = False  # in a container whose members change the resolution
    among_blocks: bool = False

    @property
    def shrinks(self) -> bool:
        return self.module is not None and _shrinks(self.module)

    @property
    def is_block(self) -> bool:
        return self.weights > 1 and self.path.rpartition(".")[2] not in _STEMS


def layout(model: nn.Module) -> list[tuple[str, list[str], list[nn.Module]]]:
    """The stages of an unwrapped network in order: name, names of its parameters, and modules.

    Layers without parameters belong to the stage before them. So whatever is not inside the head is part of the body,
    and with the body frozen the head's input depends on the image alone.
    """
    heads = head_paths(model)
    units = list(_units(model, heads))
    final = [unit for unit in units if unit.path in heads]
    groups = _join([unit for unit in units if unit.path not in heads])
    named = [(_name(units), units) for units in groups]
    if len(groups) > 1 and not _has_block(groups[0]) and (_has_block(groups[1]) or groups[0][0].by_resolution):
        named[0] = ("stem", groups[0])
    if final:
        named.append((final[0].path or "head", final))
    return [
        (
            name,
            [full for unit in members for full in unit.parameters],
            [unit.module for unit in members if unit.module is not None],
        )
        for name, members in named
    ]


def unwrap(model: nn.Module) -> tuple[nn.Module, str]:
    """The network inside DistributedDataParallel, `torch.compile` or another holder, and the prefix of its names."""
    children = [(name, child) for name, child in model.named_children() if _has_parameters(child)]
    bare = any(True for _ in model.parameters(recurse=False))
    if bare or len(children) != 1 or not list(children[0][1].children()):
        return model, ""
    inner, prefix = unwrap(children[0][1])
    return inner, f"{children[0][0]}.{prefix}"


def head_paths(model: nn.Module) -> list[str]:
    """Where the head is: one path, or two for a distilled timm model, or "" if the model is one single layer.

    It is the last direct child that has parameters. Where that child holds hidden layers of the pretrained network
    as well (VGG's two of 4096 units), it is only the last layer.
    """
    inner, prefix = unwrap(model)
    names = _timm_classifiers(inner) or _last_child(inner)
    return [prefix + name for name in names] or [prefix.rstrip(".")]


def _timm_classifiers(model: nn.Module) -> list[str]:
    config = getattr(model, "pretrained_cfg", None)
    if not hasattr(model, "get_classifier") or not config:
        return []
    names = config.get("classifier") or ()
    names = [names] if isinstance(names, str) else list(names)
    found = []
    for name in names:
        top = name.partition(".")[0]
        child = getattr(model, top, None)
        if child is not None and _has_parameters(child):
            others = [p for n, p in child.named_parameters() if not f"{top}.{n}".startswith(f"{name}.")]
            found.append(name if any(p.ndim > 1 for p in others) else top)
    return found


def _last_child(model: nn.Module) -> list[str]:
    with_parameters = [name for name, child in model.named_children() if _has_parameters(child)]
    if not with_parameters:
        return []
    name = with_parameters[-1]
    child = getattr(model, name)
    if type(model).__name__ in _HIDDEN_LAYERS_IN_CLASSIFIER and isinstance(child, nn.Sequential):
        name = f"{name}.{_last_child(child)[0]}"
    return [name]


def _units(model: nn.Module, heads: list[str]) -> Iterator[_Unit]:
    known = {name for name, _ in model.named_parameters()}
    if heads == [""]:
        yield _Unit("", model, list(known))
        return

    def walk(module: nn.Module, path: str, container: bool) -> Iterator[_Unit]:
        for name, _ in module.named_parameters(prefix=path.rstrip("."), recurse=False):
            if name in known:
                yield _Unit(name, None, [name])
        shrinking = container and any(_shrinks(child) for child in list(module.children())[1:])
        siblings = [(name, child) for name, child in module.named_children() if path + name not in heads]
        blocks = any(_weights(child) > 1 and name not in _STEMS for name, child in siblings)
        for name, child in module.named_children():
            full = path + name
            above_head = any(head.startswith(f"{full}.") for head in heads)
            expand = name in _CONTAINERS and bool(list(child.children()))
            if full not in heads and (above_head or expand):
                yield from walk(child, f"{full}.", expand)
            else:
                inside = [n for n, _ in child.named_parameters(prefix=full) if n in known]
                yield _Unit(full, child, inside, _weights(child), shrinking, blocks)

    yield from walk(model, "", False)


def _join(units: list[_Unit]) -> list[list[_Unit]]:
    """Units joined to stages: see `_begins`."""
    groups: list[list[_Unit]] = []
    early: list[_Unit] = []
    smaller = False
    for unit in units:
        if not unit.parameters:
            smaller |= unit.shrinks
            (groups[-1] if groups else early).append(unit)
        elif unit.module is None:
            (groups[0] if groups else early).append(unit)
        elif not groups or _begins(unit, groups, smaller):
            groups.append([*early, unit])
            early, smaller = [], False
        else:
            groups[-1].append(unit)
            smaller = False
    if early:
        groups.append(early)
    return groups


def _begins(unit: _Unit, groups: list[list[_Unit]], smaller: bool) -> bool:
    """Whether a unit begins a new stage, rather than continuing the last one."""
    current = groups[-1]
    if unit.weights == 0:  # a norm belongs to what it normalizes
        return False
    if unit.among_blocks and not _has_block(current):
        if not unit.is_block:  # the stem grows
            return False
        containers = {each.path.rpartition(".")[0] for each in (current[-1], unit)}
        return len(groups) == 1 or len(containers) > 1  # else a downsampling layer waits for its blocks
    if isinstance(unit.module, nn.Linear) or (unit.is_block and isinstance(unit.module, _STACKS)):
        return True
    if unit.by_resolution or (unit.among_blocks and not unit.is_block):
        return smaller or unit.shrinks
    return True


def _has_block(units: list[_Unit]) -> bool:
    return any(unit.is_block for unit in units)


def _name(units: list[_Unit]) -> str:
    return min(units, key=lambda unit: (not unit.is_block, not unit.weights, not unit.parameters)).path


def _has_parameters(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def _weights(module: nn.Module) -> int:
    """How many weight matrices or kernels a module holds; norms and biases do not count."""
    return sum(parameter.ndim > 1 for parameter in module.parameters())


def _shrinks(module: nn.Module) -> bool:
    """Whether images come out of a module smaller than they went in."""
    for part in module.modules():
        if isinstance(part, _CONVOLUTIONS + _POOLS):
            strides = part.stride if isinstance(part.stride, tuple) else (part.stride,)
            if max(strides) > 1:
                return True
        elif "Merging" in type(part).__name__:
            return True
    return False
