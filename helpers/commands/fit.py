"""`fit`: transfer a network to a task."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from helpers.commands.assembly import IN_FIELD, Assembly, Options, assemble
from helpers.commands.strategy_file import ENDINGS, read_strategy
from helpers.commands.summary import write_summary
from helpers.errors import warn
from helpers.files import atomic_write, expanded
from helpers.training.strategies import STRATEGIES

STRATEGY = typer.Option(metavar="NAME", help=f"{', '.join(STRATEGIES)}, or a YAML or TOML file with a list of phases.")


def _option(text: str, default: str = "", **limits: Any) -> Any:
    """An option that changes one setting and is left alone where it is not given."""
    return typer.Option(help=text, show_default=default or False, **limits)


def fit(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="flowers or slides (drawn), flowers102 or ants-bees (photos), or a folder of folders."
        ),
    ],
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="Where published photos are, or go.")] = None,
    backbone: Annotated[str | None, _option("embedded, efficientnet_lite0, a torchvision name, timm/NAME.")] = None,
    weights: Annotated[str | None, _option("none, a name of official weights, a file, a RUN.", "DEFAULT")] = None,
    strategy: Annotated[str, STRATEGY] = "fine-tuning",
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the images.", show_default=False)] = None,
    lr: Annotated[float | None, typer.Option(help="The learning rate.", show_default="the strategy's own")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a step.")] = 32,
    image_size: Annotated[int | None, _option("Side of the images in pixels.", "the weights' own", min=8)] = None,
    optimizer: Annotated[str | None, _option("adamw or sgd.", "adamw")] = None,
    weight_decay: Annotated[float | None, _option("Of the layers' weights.", "0.01")] = None,
    schedule: Annotated[str | None, _option("constant, step, cosine or one-cycle.", "the strategy's own")] = None,
    warmup: Annotated[float | None, _option("Fraction of a phase in which the rate rises.", "the strategy's")] = None,
    layer_decay: Annotated[float | None, _option("Rate of a stage over the next one's.", "the strategy's")] = None,
    augment: Annotated[str | None, _option("none, flip, light, standard or strong.", "light")] = None,
    mix: Annotated[str | None, _option("mixup, cutmix, both or none.", "none")] = None,
    label_smoothing: Annotated[float | None, _option("From 0 to below 1.", "0.1")] = None,
    patience: Annotated[int | None, _option("End a phase after so many epochs without progress.", "never")] = None,
    views: Annotated[int | None, _option("Augmented versions of each image for stored features.", "2")] = None,
    precision: Annotated[str | None, _option("auto, fp32 or bf16.", "auto")] = None,
    balance: Annotated[str | None, _option("Of unequal classes: sampler, weights or none.", "none")] = None,
    hidden: Annotated[int | None, _option("Units of a hidden layer in the new head.", "no such layer")] = None,
    labels: Annotated[Path | None, _option("A CSV file with the class of each photo.", "folders")] = None,
    group: Annotated[str | None, _option("Photos to keep in one split: a pattern or a column.", "copies")] = None,
    class_names: Annotated[Path | None, _option("A file that gives folders called 1, 2 ... their names.")] = None,
    resize: Annotated[str | None, _option("Of oblong photos: crop, squash or pad.", "the weights' own")] = None,
    few: Annotated[int | None, typer.Option(min=1, help="Use only so many training images a class.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Another seed, another head and order.")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="RUN", help="A folder for checkpoint and trained model.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")] = False,
    doctor: Annotated[bool, typer.Option("--doctor/--no-doctor", help="Look for mistakes before the start.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON.")] = False,
) -> None:
    """Transfer a network to your images.

    A folder holds one folder per class, or train, val and perhaps test folders that do. Without --out nothing is kept.
    """
    if resume and out is None:
        raise typer.BadParameter("--resume needs --out, the folder of the run to go on with")
    if out is not None and Path(data).is_dir() and out.resolve().is_relative_to(Path(data).resolve()):
        raise typer.BadParameter(f"--out {out} lies among the photos and would pass for a class; take another folder")
    given = {name: value for name, value in locals().items() if value is not None}
    paths = {"data", "weights", "labels", "class_names"} & set(given)
    given |= {name: _absolute(str(given[name])) for name in paths} | {"root": root and str(root.absolute())}
    given["phases"] = read_strategy(Path(strategy)) if strategy.lower().endswith(ENDINGS) else None
    for field, names in IN_FIELD.items():
        given[field] = {name: given[name] for name in names if name in given}
    options = Options.of(given)
    try:
        result = train(options, assemble(options), out, resume, doctor)
    except KeyboardInterrupt as stop:
        hint = "nothing was kept" if out is None else "the same command with --resume goes on from there"
        typer.echo(f"{str(stop) or 'stopped'}; {hint}", err=True)
        raise typer.Exit(130) from stop
    if _is_first_process():
        typer.echo(json.dumps(result) if as_json else describe(result, out))


def train(options: Options, parts: Assembly, out: Path | None, resume: bool, doctor: bool = True) -> dict[str, Any]:
    """Train, evaluate, and put the outcome into the run's folder."""
    from helpers.reports.classes import figures_of, never_predicted
    from helpers.reports.pictures import draw_confusion, draw_curves
    from helpers.training.evaluation import evaluate
    from helpers.training.fit import fit as run_strategy

    kept = {"out": out, "resume": resume, "doctor": doctor, "seed": options.seed, "loaders": parts.loaders}
    run = run_strategy(parts.model, parts.task, parts.phases, parts.settings, **kept)
    test = parts.loaders.test
    scores = evaluate(parts.model, test or parts.loaders.val, precision=parts.settings.precision)
    figures = figures_of(scores, parts.task.classes)
    parameters = list(parts.model.parameters())
    result = asdict(options) | {
        "backbone": parts.model.backbone_name,
        "task": parts.task.name,
        "classes": len(parts.task.classes),
        "train_images": len(parts.task.train),
        "val_accuracy": run.val_accuracy,
        "test_accuracy": None if test is None else scores.accuracy,
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "total_parameters": sum(p.numel() for p in parameters),
        "train_seconds": round(run.train_seconds, 3),
        "images_per_second": round(run.images_per_second, 1),
        "measured_on": "val" if test is None else "test",
        **figures,
        "history": run.history.rows,
    }
    if _is_first_process():
        missed = never_predicted(figures)
        if missed:
            more = " ..." if len(missed) > 10 else ""
            warn(f"never predicted: {', '.join(missed[:10])}{more}; look at the photos, or try --balance sampler")
        if out is not None:
            write_summary(out, result)
            curves, confusion = draw_curves(run.history.rows), draw_confusion(scores, parts.task.classes)
            atomic_write(out / "curves.png", lambda file: file.write(curves))
            atomic_write(out / "confusion.png", lambda file: file.write(confusion))
    return result


def describe(result: dict[str, Any], out: Path | None) -> str:
    """The outcome in a line or two, and a row for each class."""
    from helpers.reports.classes import describe_classes

    test = "" if result["test_accuracy"] is None else f", test accuracy {result['test_accuracy']:.1%}"
    start = f"{result['task']}, {result['strategy']}: validation accuracy {result['val_accuracy']:.1%}{test}"
    lines = [f"{start}, {result['train_seconds']:.1f} s", f"{result['measured_on']}: {describe_classes(result)}"]
    folder = [] if out is None else [shlex.quote(str(out))]
    return "\n".join([*lines, *(f"transfer predict {run} PHOTO\ntransfer report {run}" for run in folder)])


def _absolute(name: str) -> str:
    """A file or folder by its whole path, so that the run is understood from elsewhere too; other names as they are."""
    from helpers.data.load import DRAWN, PUBLISHED

    is_path = name and name not in {*DRAWN, *PUBLISHED} and expanded(name).exists()
    return str(expanded(name).absolute()) if is_path else name


def _is_first_process() -> bool:
    """Whether this process speaks for all; `torchrun` and `accelerate launch` number them."""
    return os.environ.get("RANK", "0") == "0"
