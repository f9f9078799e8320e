"""Parts of the network that are not pretrained: new layers left frozen, weights loaded in part."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from transfer_doctor.case import Case, in_python
from transfer_doctor.findings import CannotTell, Symptom, check
from transfer_doctor.forward_trace import Layer
from transfer_doctor.initialization import has_initial_statistics, has_statistics, looks_untrained
from transfer_doctor.weights_given import cosine, matching, state_dict_of

FEW = 400  # weights that tell, where BatchNorm statistics tell too
UNLIKE = 0.5  # correlation of BatchNorm's variances with those of what it gets, below which the layer before is new
LARGE, MUCH = 0.02, 0.2  # fraction of the body's weights that were left out
RELATED = 0.5  # cosine between a layer and its namesake in the file; independent weights are near 0


@check("error", needs=("model",), unless=("weights-look-random", "nothing-trainable"))
def new_and_frozen(case: Case) -> Iterator[Symptom]:
    """A freshly initialized layer is frozen, so it stays random.

    Symptom: accuracy stays low however long you train; the pretrained network seems useless.

    By hand: list the layers that you replaced, and their `requires_grad`.

    Repair: `model.features[0][0].requires_grad_(True)`: freeze first, replace afterward.
    """
    for layer in new_frozen_layers(case):
        yield Symptom(
            f"{in_python(layer.name)} is new and frozen: it will stay random.",
            f"Its {layer.weight.numel():,} weights are those of an initializer (standard deviation "
            f"{layer.weight.std():.4f}, mean {layer.weight.mean():.1e}) and requires_grad is False.",
            f"for parameter in {in_python(layer.name)}.parameters():\n    parameter.requires_grad = True",
        )


def new_frozen_layers(case: Case) -> list[Layer]:
    """Frozen layers that look freshly initialized; none where most layers do, which is another mistake.

    A layer whose BatchNorm has statistics was in a network that ran, unless these statistics do not fit what the layer
    gives now: then it was replaced.
    """
    kept = case.__dict__.get("_new_frozen")
    if kept is None:
        body = [x for x in case.layers if isinstance(x.module, (nn.Linear, nn.Conv2d)) and x is not case.head]
        frozen = [layer for layer in body if layer.frozen]
        new: list[Layer] = []
        for layer in frozen:  # after a layer that was replaced, statistics fit no longer anyway
            if layer.name in case.untrained or _replaced(case, layer, by_statistics=not new):
                new.append(layer)
        kept = case.__dict__["_new_frozen"] = new if len(new) <= max(1, len(body) // 3) else []
    return kept


def _replaced(case: Case, layer: Layer, by_statistics: bool) -> bool:
    """Whether a layer is not the one with which the BatchNorm after it was trained."""
    after = case.layer_after(layer)
    if looks_untrained(layer.weight, FEW) is False or not has_statistics(after):
        return False
    if case.weights is not None and case.weights is not False:
        try:
            mine = case.model.state_dict()
            fitting = matching(state_dict_of(case.weights), mine)
            name = f"{layer.name}.weight"
            return name not in fitting or cosine(mine[name], fitting[name]) < RELATED
        except CannotTell:  # the file is not at hand: the statistics have to tell
            pass
    variance = case.batch_norm_inputs.get(after.name) if case.samples and by_statistics else None
    if variance is None or len(variance) < 12:
        return False
    stored = after.module.running_var.detach().float().clamp_min(1e-12).log()
    return float(torch.corrcoef(torch.stack([stored, variance.clamp_min(1e-12).log().to(stored)]))[0, 1]) < UNLIKE


@check("error", needs=("model",), unless=("weights-look-random", "weights-not-loaded"))
def weights_loaded_in_part(case: Case) -> Symptom | None:
    """Pretrained weights were loaded into some layers only; others between them are as they were made.

    Symptom: better than from scratch, and worse than others report for this network.

    By hand: `print(model.load_state_dict(state_dict, strict=False).missing_keys)`: only the head's may be there.

    Repair: take the file of this very network; interpolate a position embedding of another size.
    """
    if case.weights is False:
        raise CannotTell("weights=False says that the network starts from scratch on purpose")
    weighty = [x for x in case.layers if x.weight is not None and not set(x.parameters) & case.new_head]
    state = {x.name: looks_untrained(x.weight) for x in weighty}
    trained = [i for i, x in enumerate(weighty) if state[x.name] is False or has_statistics(case.layer_after(x))]
    if not trained:
        raise CannotTell("no layer is known to be pretrained")
    inside = [x for x in weighty[: trained[-1]] if _left_out(case, x, state[x.name])]
    inside = [x for x in inside if not _small_addition(x)]
    positions = _positions(case) if len(trained) > len(weighty) // 2 else {}
    count = sum(x.weight.numel() for x in inside)
    total = sum(x.weight.numel() for x in weighty)
    if count < LARGE * total and not positions:
        return None
    names = [x.name for x in inside] + list(positions)
    return Symptom(
        f"{len(names)} of {len(weighty) + len(positions)} layers hold no pretrained weights, though their neighbors do."
        if inside
        else f"The position embedding {names[0]} is not pretrained, though the layers after it are.",
        f"{names[0]}{f' ... {names[-1]}' if len(names) > 1 else ''}: "
        + (f"{count / total:.0%} of the body's weights are" if inside else "it is")
        + " as an initializer leaves them. With strict=False whatever does not fit is left out without a word.",
        "missing, unexpected = model.load_state_dict(state_dict, strict=False)\n"
        "print(missing)  # only the new head should be missing; else build the architecture that the file is for",
        severity="error" if count > MUCH * total else "warning",
    )


def _left_out(case: Case, layer: Layer, untrained: bool | None) -> bool:
    after = case.layer_after(layer)
    if after is not None and after.is_batch_norm:
        return has_initial_statistics(after) and untrained is not False
    return bool(untrained) and layer.weight.requires_grad | layer.frozen and bool(layer.weight.any())


def _small_addition(layer: Layer) -> bool:
    """Whether a layer is an adapter: narrow at one end (Houlsby et al., 2019; Hu et al., 2022)."""
    rows, columns = len(layer.weight), layer.weight[0].numel()
    return layer.weight.ndim == 2 and min(rows, columns) * 4 <= max(rows, columns)


def _positions(case: Case) -> dict[str, nn.Parameter]:
    """Position embeddings (1, N, D) whose entries are independent of each other; learned ones are smooth."""
    return {
        name: p
        for name, p in case.model.named_parameters()
        if "pos" in name and p.ndim == 3 and len(p) == 1 and p.shape[1] > 4
        if looks_untrained(p[0], FEW) and _no_neighbors(p[0])
    }


def _no_neighbors(embedding: torch.Tensor) -> bool:
    rows = nn.functional.normalize(embedding.detach().float()[1:] - embedding.detach().float()[1:].mean(0), dim=1)
    return abs(float((rows[1:] * rows[:-1]).sum(1).mean())) < 4 / (rows.shape[1] * len(rows)) ** 0.5 + 0.02
