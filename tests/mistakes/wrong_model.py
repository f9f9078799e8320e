"""Mistakes in the model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from helpers.models.heads import replace_head
from helpers.models.stages import freeze, set_trainable, stages
from tests.mistakes.mistakes import mistake
from tests.mistakes.worlds import Setup, World


def _replace(world: World, model: nn.Module, new: nn.Module) -> None:
    parent, _, name = world.head_path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)


@mistake("head-wrong-size")
def head_never_replaced(world: World, wrong: bool) -> Setup:
    return world.usual(world.model(head=not wrong))


@mistake("head-edited-in-place")
def out_features_edited(world: World, wrong: bool) -> Setup:
    model = world.model(head=not wrong)
    if wrong:
        layer = model.get_submodule(world.head_path)
        setattr(layer, "out_channels" if isinstance(layer, nn.Conv2d) else "out_features", len(world.classes))
    return world.usual(model)


@mistake("head-not-reached")
def head_under_another_name(world: World, wrong: bool) -> Setup:
    model = world.model(head=not wrong)
    if wrong:
        layer = model.get_submodule(world.head_path)
        model.new_classifier = nn.Linear(layer.weight.shape[1], len(world.classes))
    return world.usual(model)


@mistake("nothing-trainable", trains=False)
def head_frozen_with_the_rest(world: World, wrong: bool) -> Setup:
    model = world.model()
    if wrong:
        model.requires_grad_(False)
    else:
        freeze(model)
    return world.usual(model)


@mistake("head-frozen")
def head_left_frozen(world: World, wrong: bool) -> Setup:
    model = world.model()
    if wrong:
        model.get_submodule(world.head_path).requires_grad_(False)
    return world.usual(model)


@mistake("softmax-before-loss")
def softmax_in_the_head(world: World, wrong: bool) -> Setup:
    return _sequential(world, world.model(), nn.Softmax(dim=1) if wrong else nn.Identity())


def _sequential(world: World, model: nn.Module, last: nn.Module) -> Setup:
    """A set-up whose model is followed by one more module."""
    optimizer = world.optimizer(world.two_groups(model, *world.rates))
    whole = nn.Sequential(model, last)
    return Setup(whole, optimizer, classes=world.classes, **world.loaders())


@mistake("softmax-over-batch")
def softmax_over_the_batch(world: World, wrong: bool) -> Setup:
    return _sequential(world, world.model(), nn.Softmax(dim=0) if wrong else nn.Identity())


@mistake("softmax-over-batch")
def log_softmax_over_the_batch(world: World, wrong: bool) -> Setup:
    setup = _sequential(world, world.model(), nn.LogSoftmax(dim=0 if wrong else 1))
    setup.criterion = nn.NLLLoss()
    return setup


@mistake("softmax-over-batch")
def log_softmax_over_the_batch_in_the_loss(world: World, wrong: bool) -> Setup:
    axis = 0 if wrong else 1
    return world.usual(criterion=lambda scores, labels: nn.functional.nll_loss(scores.log_softmax(axis), labels))


class _Relabeled(torch.utils.data.Dataset):
    def __init__(self, dataset: torch.utils.data.Dataset, change: Callable) -> None:
        self.dataset, self.change = dataset, change

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple:
        image, label = self.dataset[index]
        return image, self.change(label)


def _relabeled(world: World, outputs: int, change: Callable, criterion: Callable) -> Setup:
    loaders = {
        name: torch.utils.data.DataLoader(_Relabeled(loader.dataset, change), 8, shuffle=name[0] == "t")
        for name, loader in world.loaders().items()
    }
    model = replace_head(world.model(head=False), outputs)
    return world.usual(model, criterion=criterion, classes=None, **loaders)


@mistake("loss-labels-mismatch", trains=False)
def mean_squared_error_is_broadcast(world: World, wrong: bool) -> Setup:
    loss = nn.MSELoss()
    right = lambda scores, labels: loss(scores.squeeze(1), labels)  # noqa: E731
    return _relabeled(world, 1, lambda label: float(label) / 4, loss if wrong else right)


@mistake("loss-labels-mismatch", trains=False)
def several_labels_with_cross_entropy(world: World, wrong: bool) -> Setup:
    both = lambda label: torch.eye(4)[label] + torch.eye(4)[(label + 1) % 4]  # noqa: E731
    return _relabeled(world, 4, both, nn.CrossEntropyLoss() if wrong else nn.BCEWithLogitsLoss())


@mistake("head-wrong-size", trains=False)
def class_numbers_with_a_binary_loss(world: World, wrong: bool) -> Setup:
    loss = nn.BCEWithLogitsLoss()
    return _relabeled(
        world,
        1,
        lambda label: label if wrong else label % 2,
        lambda scores, labels: loss(scores.flatten(), labels.float()),
    )


@mistake("loss-labels-mismatch", trains=False)
def class_numbers_with_a_binary_loss_for_four_outputs(world: World, wrong: bool) -> Setup:
    return world.usual(criterion=nn.BCEWithLogitsLoss() if wrong else nn.CrossEntropyLoss())


@mistake("loss-labels-mismatch", trains=False)
def class_numbers_for_every_output(world: World, wrong: bool) -> Setup:
    def loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        wanted = labels[:, None].expand_as(scores) if wrong else nn.functional.one_hot(labels, scores.shape[1])
        return nn.functional.binary_cross_entropy_with_logits(scores, wanted.float())

    return world.usual(criterion=loss)


@mistake("activation-after-logits")
def relu_after_the_head(world: World, wrong: bool) -> Setup:
    return _sequential(world, world.model(), nn.ReLU() if wrong else nn.Identity())


@mistake("activation-after-logits")
def sigmoid_before_cross_entropy(world: World, wrong: bool) -> Setup:
    return _sequential(world, world.model(), nn.Sigmoid() if wrong else nn.Identity())


@mistake("loss-expects-log-probabilities")
def nll_on_raw_scores(world: World, wrong: bool) -> Setup:
    return world.usual(criterion=nn.NLLLoss() if wrong else nn.CrossEntropyLoss())


@mistake("loss-raises", trains=False)
def labels_as_one_hot_rows_of_integers(world: World, wrong: bool) -> Setup:
    images, labels = world.train
    rows = nn.functional.one_hot(labels, len(world.classes))
    prepared = torch.stack([image for image, _ in world.loader("val").dataset][:1] * len(images))
    pairs = torch.utils.data.TensorDataset(prepared, rows if wrong else labels)
    loader = torch.utils.data.DataLoader(pairs, world.batch_size, shuffle=True)
    return world.usual(train_loader=loader, val_loader=None)


@mistake("module-raises", trains=False)
def head_with_wrong_inputs(world: World, wrong: bool) -> Setup:
    model = world.model()
    if wrong:
        layer = model.get_submodule(world.head_path)
        inputs = layer.weight.shape[1] + 1
        new = (
            nn.Conv2d(inputs, len(world.classes), 1)
            if layer.weight.ndim == 4
            else nn.Linear(inputs, len(world.classes))
        )
        _replace(world, model, new)
    return world.usual(model)


@mistake("weights-not-loaded")
def file_with_a_prefix_loaded_loosely(world: World, wrong: bool) -> Setup:
    file = {f"module.{name}": tensor for name, tensor in world.state.items()}
    model = world.model()
    if wrong:
        _start_anew(model)
        model.load_state_dict(file, strict=False)
    return world.usual(model, weights=file)


@mistake("weights-look-random")
def pretrained_forgotten(world: World, wrong: bool) -> Setup:
    model = world.model()
    if wrong:
        _start_anew(model)
    return world.usual(model)


@mistake("weights-look-random")
def random_body_frozen(world: World, wrong: bool) -> Setup:
    model = world.model()
    if wrong:
        _start_anew(model)
    freeze(model)
    return world.usual(model)


@mistake("new-and-frozen")
def new_layer_inside_a_frozen_part(world: World, wrong: bool) -> Setup:
    model = world.model()
    layer = model.get_submodule(world.head_path)
    if isinstance(layer, nn.Conv2d):
        new = nn.Sequential(nn.Conv2d(layer.in_channels, 64, 1), nn.ReLU(), nn.Conv2d(64, len(world.classes), 1))
    else:
        new = nn.Sequential(nn.Linear(layer.in_features, 64), nn.ReLU(), nn.Linear(64, len(world.classes)))
    _replace(world, model, new)
    freeze(model)
    for parameter in model.get_submodule(world.head_path).parameters():
        parameter.requires_grad = True
    if wrong:
        new[0].requires_grad_(False)
    return Setup(
        model,
        world.optimizer(filter(lambda p: p.requires_grad, model.parameters()), lr=world.rates[0]),
        classes=world.classes,
        **world.loaders(),
    )


@mistake("new-and-frozen", only=("mobilenet", "efficientnet", "resnet"))
def first_layer_replaced_then_frozen(world: World, wrong: bool) -> Setup:
    model = world.model()
    name, old = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    parent, _, key = name.rpartition(".")
    new = nn.Conv2d(3, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False)
    if wrong:
        setattr(model.get_submodule(parent), key, new)
    freeze(model)
    return world.usual(model)


@mistake("new-and-frozen", only=("mobilenet", "efficientnet", "resnet"))
def first_layer_replaced_then_frozen_beside_its_file(world: World, wrong: bool) -> Setup:
    setup = first_layer_replaced_then_frozen(world, wrong)
    setup.weights = world.state
    return setup


@mistake("weights-loaded-in-part")
def half_of_the_layers_loaded(world: World, wrong: bool) -> Setup:
    model, loaded = world.model(), world.model()
    if wrong:
        _start_anew(model)
        names = [name for name, _ in model.named_parameters()]
        blocks = sorted({name.rpartition(".")[0] for name in names}, key=[n.rpartition(".")[0] for n in names].index)
        kept = {block for block in blocks if sum(map(ord, block)) % 2 == 0} | set(blocks[-4:])
        state = {n: t for n, t in loaded.state_dict().items() if n.rpartition(".")[0] in kept}
        model.load_state_dict(state, strict=False)
    return world.usual(model)


@mistake("ignored-attribute")
def requires_grad_set_on_modules(world: World, wrong: bool) -> Setup:
    model = world.model()
    for module in [m for stage in stages(model)[:-1] for m in stage.modules]:
        if wrong:
            module.requires_grad = False
    if not wrong:
        freeze(model)
    return world.usual(model)


@mistake("ignored-attribute")
def requires_grad_misspelled(world: World, wrong: bool) -> Setup:
    model = world.model()
    if not wrong:
        freeze(model)
    for parameter in [p for stage in stages(model)[:-1] for p in stage.parameters.values()]:
        if wrong:
            parameter.require_grad = False
    return world.usual(model)


@mistake("ignored-attribute")
def trainable_as_in_keras(world: World, wrong: bool) -> Setup:
    model = world.model()
    if wrong:
        for child in list(model.children())[:-1]:
            child.trainable = False
    else:
        freeze(model)
    return world.usual(model)


@mistake("freezing-wrong-layers")
def last_stages_frozen_instead_of_first(world: World, wrong: bool) -> Setup:
    model = world.model()
    names = [stage.name for stage in stages(model)]
    half = len(names) // 2
    set_trainable(model, [*(names[:half] if wrong else names[half:-1]), names[-1]])
    return world.usual(model)


@mistake("freezing-misaligned", only=("resnet", "mobilenet", "efficientnet", "squeezenet", "vit"))  # enough layers
def every_other_layer_frozen(world: World, wrong: bool) -> Setup:
    model = world.model()
    names = [name for name, module in model.named_modules() if list(module.parameters(recurse=False))]
    for number, name in enumerate(names[:-1]):
        for p in model.get_submodule(name).parameters(recurse=False):
            p.requires_grad = number % 4 in (1, 2) if wrong else number > len(names) // 2
    return world.usual(model)


@mistake("frozen-batchnorm-drifts", only=("resnet", "mobilenet", "efficientnet"))
def frozen_by_requires_grad_alone(world: World, wrong: bool) -> Setup:
    model = world.model()
    if wrong:
        for parameter in model.parameters():
            parameter.requires_grad = False
        model.get_submodule(world.head_path).requires_grad_(True)
    else:
        freeze(model)
    return world.usual(model)


@mistake("eval-mode-for-training", only=("resnet", "mobilenet", "efficientnet"))
def never_back_to_train_mode(world: World, wrong: bool) -> Setup:
    return world.usual(world.model().train(not wrong), epoch_mode=not wrong)


@mistake("eval-mode-for-training", only=("resnet", "mobilenet", "efficientnet"))
def stage_unfrozen_but_left_in_eval_mode(world: World, wrong: bool) -> Setup:
    model = world.model()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms[len(norms) // 2 :]:
        module.train(not wrong)
    groups = world.two_groups(model, 1e-3, 1e-4)  # rates that also suit a network whose BatchNorm does not rescale
    return Setup(model, world.optimizer(groups), classes=world.classes, **world.loaders())


@mistake("train-mode-for-evaluation", trains=False, only=("resnet", "mobilenet", "efficientnet", "vgg", "squeezenet"))
def never_in_eval_mode(world: World, wrong: bool) -> Setup:
    model = world.model().train(wrong)
    return Setup(model, val_loader=world.loader("val"), classes=world.classes, score_mode=wrong)


@mistake("dropout-in-frozen-part", only=("vgg",))
def frozen_classifier_with_dropout(world: World, wrong: bool) -> Setup:
    model = world.model()
    if wrong:
        model.requires_grad_(False)
        model.get_submodule(world.head_path).requires_grad_(True)
    else:
        freeze(model)
    return world.usual(model)


def _start_anew(model: nn.Module) -> None:
    """Give every layer the weights that PyTorch gives a new one."""
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
        elif hasattr(module, "_reset_parameters"):
            module._reset_parameters()
