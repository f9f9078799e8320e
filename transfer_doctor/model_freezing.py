"""What is frozen: everything, the wrong layers, or nothing although an attribute says so."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import groupby, pairwise

from torch import nn

from transfer_doctor.case import Case, in_python
from transfer_doctor.findings import CannotTell, Symptom, check
from transfer_doctor.forward_trace import Layer
from transfer_doctor.initialization import looks_untrained
from transfer_doctor.optimizers import each_optimizer

KERAS = {"trainable"}
REAL = {"requires_grad"}
ALTERNATE = 3  # changes between frozen and trainable; freezing from one end makes one
RATES = {"lr", "learning_rate"}


@check("error", needs=("model",))
def nothing_trainable(case: Case) -> Symptom | None:
    """No parameter learns.

    Symptom: the loss does not move, or an error says that it does not require a gradient.

    By hand: `sum(p.requires_grad for p in model.parameters())` is 0.

    Repair: `model.fc.requires_grad_(True)`.
    """
    parameters = list(case.model.parameters())
    if not parameters or any(p.requires_grad for p in parameters):
        return None
    if case.optimizer is None and case.train_loader is None:
        raise CannotTell("no optimizer and no training loader were given, so the model may be for evaluation")
    return Symptom(
        "Nothing can learn: every parameter is frozen, the head too.",
        f"requires_grad is False for all {len(parameters)} parameters; replace the head after freezing, or "
        "unfreeze it.",
        f"for parameter in {in_python(case.head.name)}.parameters():\n    parameter.requires_grad = True",
    )


@check("warning", needs=("model",))
def ignored_attribute(case: Case) -> Iterator[Symptom]:
    """An attribute that PyTorch ignores was meant to freeze or unfreeze something.

    Symptom: the number of trainable parameters is not what you expect; a frozen part changes.

    By hand: `sum(p.numel() for p in model.parameters() if p.requires_grad)`.

    Repair: `layer.requires_grad_(False)`, with the underscore.
    """
    for (attribute, value), names in _ignored_on_modules(case.model):
        wrong = [name for name in names if _contradicts(case.model.get_submodule(name), value)]
        if wrong:
            flags = [p.requires_grad for name in wrong for p in case.model.get_submodule(name).parameters()]
            yield Symptom(
                f"{in_python(wrong[0])}.{attribute} = {value} does nothing: modules have no such setting.",
                f"Set on {len(wrong)} modules ({', '.join(name or 'the model' for name in wrong[:3])}); "
                f"{sum(flags)} of their {len(flags)} parameters have requires_grad=True.",
                f"{in_python(wrong[0])}.requires_grad_({value})",
            )
    for optimizer in each_optimizer(case.optimizer):
        rates = {name: value for name, value in getattr(optimizer, "__dict__", {}).items() if name in RATES}
        if not rates or not type(optimizer).__module__.startswith("torch.optim"):
            continue
        name, value = next(iter(rates.items()))
        real = ", ".join(f"{float(group['lr']):g}" for group in optimizer.param_groups)
        yield Symptom(
            f"optimizer.{name} = {value} does nothing: an optimizer reads the rates of its groups.",
            f"The groups have {real}.",
            f"for group in optimizer.param_groups:\n    group['lr'] = {value}",
        )
    misspelled = [
        (name, attribute, value)
        for name, p in case.model.named_parameters()
        for attribute, value in vars(p).items()
        if isinstance(value, bool) and value != p.requires_grad and (attribute in KERAS or _meant(attribute))
    ]
    for attribute, group in groupby(misspelled, key=lambda entry: entry[1]):
        entries = list(group)
        yield Symptom(
            f"parameter.{attribute} = {entries[0][2]} does nothing: the attribute is called requires_grad.",
            f"Set on {len(entries)} parameters (first {entries[0][0]}), which still have "
            f"requires_grad={not entries[0][2]}.",
            f"for parameter in model.parameters():\n    parameter.requires_grad = {entries[0][2]}",
        )


@check("warning", needs=("model",), unless=("nothing-trainable",))
def freezing_misaligned(case: Case) -> Symptom | None:
    """Frozen and trainable parameters of the same kind alternate from layer to layer.

    Symptom: fine-tuning is worse than training the head alone, or not better.

    By hand: print name and `requires_grad` of each parameter in turn.

    Repair: freeze whole stages by name: `model.layer1.requires_grad_(False)`.
    """
    flags: dict[tuple[str, str], list[tuple[str, bool]]] = {}
    for layer in case.pretrained_and_norms:
        for name, p in layer.parameters.items():
            kind = (type(layer.module).__name__, name.rpartition(".")[2])
            flags.setdefault(kind, []).append((name, p.requires_grad))
    changes = {kind: sum(a[1] != b[1] for a, b in pairwise(found)) for kind, found in flags.items()}
    most = max(changes, key=changes.get, default=None)
    if most is None or changes[most] < ALTERNATE:
        return None
    found = flags[most]
    first = next(i for i in range(len(found) - 1) if found[i][1] != found[i + 1][1])
    told = ", ".join(f"{name} {'learns' if learns else 'is frozen'}" for name, learns in found[first : first + 4])
    return Symptom(
        f"Frozen and trainable parameters alternate: {changes[most]} changes among the {len(found)} {'.'.join(most)}s.",
        f"{told}. Freezing by counting parameters cuts through layers; freeze whole stages by name.",
        "for name, parameter in model.named_parameters():\n"
        f"    parameter.requires_grad = not name.startswith({_tops(case)!r})",
    )


def _tops(case: Case) -> tuple[str, ...]:
    """Names of the first half of the top-level parts, for a suggestion."""
    tops = list(dict.fromkeys(layer.name.split(".")[0] for layer in case.layers))
    return tuple(f"{top}." for top in tops[: max(1, len(tops) // 2)])


@check("warning", needs=("model",), unless=("nothing-trainable", "head-frozen", "freezing-misaligned"))
def freezing_wrong_layers(case: Case) -> Symptom | None:
    """Layers near the head are frozen while pretrained layers before them learn.

    Symptom: fine-tuning is worse than training the head alone.

    By hand: print name and `requires_grad` of each parameter: frozen ones are to come first.

    Repair: freeze from the stem upward: `stem`, `layer1`, and so on.
    """
    weighty = [layer for layer in case.pretrained if _is_layer(layer)]
    learning = [layer for layer in weighty if all(p.requires_grad for p in layer.parameters.values())]
    frozen = [layer for layer in weighty if layer.frozen]
    if not learning or not frozen:
        return None
    position = {layer.name: index for index, layer in enumerate(weighty)}
    late = [layer for layer in frozen if position[layer.name] > position[learning[0].name]]
    early = [layer for layer in learning if position[layer.name] < position[late[-1].name]] if late else []
    if not late:
        return None
    # Adapters and the like are small learning layers between frozen ones; here whole stretches are the wrong way, or
    # the very first layer, unless it is new (for images with other channels).
    small = sum(layer.weight.numel() for layer in early) < 0.02 * sum(layer.weight.numel() for layer in frozen)
    stem = position[early[0].name] == 0
    if not (stem and looks_untrained(early[0].weight) is False) and (small or (len(early) < 2 and not stem)):
        return None
    return Symptom(
        f"{in_python(early[0].name)} learns while {in_python(late[-1].name)}, nearer to the head, is frozen.",
        f"From stem to head: {len(early)} pretrained layers learn ({case.listed(early)}) before {len(late)} frozen "
        f"ones ({case.listed(late)}). The first layers are the most general; they are the ones to freeze.",
        f"model.requires_grad_(False)\nfor parameter in {in_python(late[0].name)}.parameters():  # and on\n"
        "    parameter.requires_grad = True",
    )


def _is_layer(layer: Layer) -> bool:
    return isinstance(layer.module, (nn.Conv2d, nn.Linear, nn.MultiheadAttention))


def _ignored_on_modules(model: nn.Module) -> list[tuple[tuple[str, bool], list[str]]]:
    found: dict[tuple[str, bool], list[str]] = {}
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, bool) and (attribute in REAL | KERAS or _meant(attribute)):
                found.setdefault((attribute, value), []).append(name)
    return list(found.items())


def _contradicts(module: nn.Module, value: bool) -> bool:
    return any(p.requires_grad != value for p in module.parameters())


def _meant(attribute: str) -> bool:
    """Whether an attribute's name is a misspelling of `requires_grad`."""
    if attribute in REAL or attribute.startswith("_"):
        return False
    return bool(difflib.get_close_matches(attribute.lower(), ["requires_grad"], cutoff=0.8))
