"""Whether the pretrained weights are there."""

from __future__ import annotations

from transfer_doctor.case import Case
from transfer_doctor.findings import CannotTell, Symptom, check
from transfer_doctor.forward_trace import Layer
from transfer_doctor.initialization import has_initial_statistics, looks_untrained
from transfer_doctor.model_partial import RELATED, new_frozen_layers
from transfer_doctor.weights_given import cosine, matching, state_dict_of

LIBRARIES = {"torchvision", "timm", "transformers", "open_clip", "efficientnet_pytorch", "segmentation_models_pytorch"}
ANEW = 0.95  # fraction of untrained weights that says "initialized again", though BatchNorm has statistics


@check("error", needs=("model", "weights"))
def weights_not_loaded(case: Case) -> Symptom | None:
    """The model does not hold the pretrained weights that were to be loaded.

    Symptom: no better than training from scratch; the first epoch is near guessing.

    By hand: `print(model.load_state_dict(state_dict, strict=False))` lists what was missing and what was not used.

    Repair: `strict=True`, before the head is replaced; mend the names that it lists.
    """
    theirs = state_dict_of(case.weights)
    mine = case.model.state_dict()
    fitting = matching(theirs, mine)
    body = {name: p for name, p in case.model.named_parameters() if name not in case.new_head and p.ndim >= 2}
    compared = {name: cosine(mine[name], fitting[name]) for name in body if name in fitting}
    missing = [name for name in body if name not in fitting]
    new = {name for layer in new_frozen_layers(case) for name in layer.parameters}  # which is a mistake of its own
    unlike = [name for name, likeness in compared.items() if likeness < RELATED and name not in new]
    count = sum(body[name].numel() for name in compared if name not in unlike)
    fraction = count / max(1, sum(p.numel() for p in body.values()))
    if not unlike and (fraction > 0.5 or not body):
        return None
    if not fitting:
        return Symptom(
            "None of the file's names fit this model, so nothing can have been loaded from it.",
            f"The file has names like {next(iter(theirs))}, the model like {next(iter(mine))}.",
            "model.load_state_dict(state_dict)  # strict: it names the keys that do not fit",
        )
    worst = unlike[0] if unlike else missing[0]
    likeness = f"cosine {compared[worst]:.2f} with the file's" if worst in compared else "not in the file"
    return Symptom(
        f"Only {fraction:.0%} of the body's weights are those of the pretrained file."
        if fraction < 0.995
        else f"{len(unlike)} layers are not those of the pretrained file.",
        f"{len(unlike)} of {len(compared)} compared layers are unlike their namesakes, {len(missing)} have none; "
        f"for example {worst}: {likeness}.",
        "model.load_state_dict(state_dict)  # before the head is replaced; strict=True names what does not fit",
        severity=None if fraction < 0.9 else "warning",
    )


@check("error", needs=("model",), unless=("weights-not-loaded",))
def weights_look_random(case: Case) -> Symptom | None:
    """The body's weights look freshly initialized, as if nothing pretrained had been loaded.

    Symptom: no better than training from scratch; with few images the training accuracy rises, validation does not.

    By hand: compare `model.layer1[0].conv1.weight` with the file's, or look at `bn1.running_mean`: all zeros.

    Repair: load the weights: `get_model(name, weights="DEFAULT")`.
    """
    if case.weights is False:
        raise CannotTell("weights=False says that the network starts from scratch on purpose")
    if case.samples and case.batch[0].ndim < 4:
        raise CannotTell("the loaders give features, so the pretrained network is not the one that was given")
    body = [layer for layer in case.layers if not set(layer.parameters) <= case.new_head]
    told = {layer.name: looks_untrained(layer.weight) for layer in body if layer.weight is not None}
    untrained = [layer for layer in body if told.get(layer.name)]
    trained = [layer for layer in body if told.get(layer.name) is False]
    norms = [layer for layer in body if layer.is_batch_norm and layer.module.running_mean is not None]
    started = [layer for layer in norms if has_initial_statistics(layer)]
    if not untrained and not trained and not norms:
        raise CannotTell("the layers are too small to tell trained weights from an initializer's")
    fraction = _size(untrained) / max(1, _size(untrained) + _size(trained))
    if fraction < (ANEW if len(started) < len(norms) else 0 if norms else 0.5):
        return None
    frozen = all(layer.frozen for layer in untrained) and bool(untrained)
    by_norm = f"{len(started)} of {len(norms)} BatchNorm layers still have mean 0 and variance 1" if norms else ""
    by_weight = f"{len(untrained)} of {len(untrained) + len(trained)} layers have an initializer's distribution"
    return Symptom(
        "The body is frozen but was never trained: its features are random."
        if frozen
        else "The network starts from random weights: nothing pretrained was loaded.",
        "; ".join(part for part in (by_norm, by_weight) if part) + f" (for example {_name(untrained or started)}).",
        f"model = {_builder(case)}\n# or, where training from scratch is meant: diagnose(..., weights=False)",
        severity="error" if frozen or _wanted(case) else "warning" if _published(case) else "note",
    )


def _wanted(case: Case) -> bool:
    """Whether pretrained weights were clearly meant to be there."""
    return case.weights is not None or case.preprocessing is not None


def _published(case: Case) -> bool:
    """Whether the network, or a part of it, is of a kind for which pretrained weights are published."""
    return any(type(module).__module__.split(".")[0] in LIBRARIES for module in case.model.modules())


def _size(layers: list[Layer]) -> int:
    return sum(layer.weight.numel() for layer in layers)


def _name(layers: list[Layer]) -> str:
    return layers[0].name if layers else "none"


def _builder(case: Case) -> str:
    module = type(case.model).__module__
    if module.startswith("timm"):
        return "timm.create_model(name, pretrained=True, num_classes=classes)"
    if module.startswith("torchvision"):
        name = type(case.model).__name__
        return f'torchvision.models.get_model(name, weights="DEFAULT")  # a {name}; then replace its head'
    return "...  # load the pretrained state dict: model.load_state_dict(state_dict)"
