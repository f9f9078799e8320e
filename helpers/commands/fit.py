"""`fit`: transfer a network to a task."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from helpers.commands.assembly import Assembly, Options, assemble, default_backbone
from helpers.commands.summary import write_summary
from helpers.training.strategies import STRATEGIES


def fit(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="flowers or slides (drawn), flowers102 or ants-bees (photos), or a folder of folders."
        ),
    ],
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="Where published photos are, or go.")] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="embedded, efficientnet_lite0, a torchvision name, or timm/NAME.",
            show_default="efficientnet_lite0 for photos, embedded for drawn images",
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="W", help="DEFAULT, a name of official weights, or a file; none for random.")
    ] = None,
    strategy: Annotated[str, typer.Option(metavar="NAME", help=f"One of {', '.join(STRATEGIES)}.")] = "fine-tuning",
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the images.", show_default=False)] = None,
    lr: Annotated[float | None, typer.Option(help="The learning rate.", show_default="the strategy's own")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a step.")] = 32,
    image_size: Annotated[
        int | None, typer.Option(min=8, help="Side of the images in pixels.", show_default="the weights' own")
    ] = None,
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
    options = Options(
        data=data,
        root=None if root is None else str(root),
        backbone=backbone or default_backbone(data),
        weights=weights,
        strategy=strategy,
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        image_size=image_size,
        few=few,
        seed=seed,
    )
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
    from helpers.training.evaluation import evaluate
    from helpers.training.fit import fit as run_strategy

    run = run_strategy(
        parts.model,
        parts.task,
        parts.phases,
        parts.settings,
        loaders=parts.loaders,
        seed=options.seed,
        out=out,
        resume=resume,
        doctor=doctor,
    )
    test = parts.loaders.test
    scores = None if test is None else evaluate(parts.model, test, precision=parts.settings.precision)
    parameters = list(parts.model.parameters())
    result = options.to_dict() | {
        "task": parts.task.name,
        "classes": len(parts.task.classes),
        "train_images": len(parts.task.train),
        "val_accuracy": run.val_accuracy,
        "test_accuracy": None if scores is None else scores.accuracy,
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "total_parameters": sum(p.numel() for p in parameters),
        "train_seconds": round(run.train_seconds, 3),
        "images_per_second": round(run.images_per_second, 1),
    }
    if out is not None and _is_first_process():
        write_summary(out, result)
    return result


def describe(result: dict[str, Any], out: Path | None) -> str:
    """The outcome in a line or two."""
    test = "" if result["test_accuracy"] is None else f", test accuracy {result['test_accuracy']:.1%}"
    line = (
        f"{result['task']}, {result['strategy']}: validation accuracy {result['val_accuracy']:.1%}{test}, "
        f"{result['train_seconds']:.1f} s"
    )
    return line if out is None else f"{line}\ntransfer predict {shlex.quote(str(out))} PHOTO"


def _is_first_process() -> bool:
    """Whether this process speaks for all; `torchrun` and `accelerate launch` number them."""
    return os.environ.get("RANK", "0") == "0"
