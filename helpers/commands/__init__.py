"""The command line, one small module per command.

What goes wrong is said in one line on stderr, with exit status 2; a stop by Ctrl-C has status 130. Only a fault of
this package itself shows a traceback, with status 1.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

import typer

from helpers.commands.compare import compare
from helpers.commands.doctor import doctor
from helpers.commands.draw import draw
from helpers.commands.evaluate import evaluate
from helpers.commands.export import export
from helpers.commands.fit import fit
from helpers.commands.predict import predict
from helpers.commands.report import report
from helpers.errors import HelpersError, HelpersNote, HelpersWarning

app = typer.Typer(
    help="Transfer a pretrained network to your images, and use what it has learned.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (fit, predict, evaluate, report, compare, export, doctor, draw):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `transfer`; those of this process if None.

    Returns:
        The exit status: 0 if all went well, 2 for a mistake that the message explains, 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a file name that the terminal cannot show is no fault
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            status = app(arguments, prog_name="transfer", standalone_mode=False)
        except typer.TyperException as error:
            return _refuse(f"{error.format_message()} (--help shows what can be given)")
        except HelpersError as error:
            return _refuse(str(error))
        except OSError as error:
            if error.filename is None:
                raise
            return _refuse(f"{error.filename}: {error.strerror}")
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            return _refuse(f"out of memory; take a smaller --batch-size or --image-size ({error})")
    return status if isinstance(status, int) else 0


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; PyTorch says so for the processor and for a GPU in two different ways."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "can't allocate memory" in said or "out of memory" in said


def _refuse(message: str) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return 2


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **_: Any) -> None:
    """Our own warnings are for the reader: without the place in the code where they arose."""
    word = "note" if issubclass(category, HelpersNote) else "warning"
    ours = issubclass(category, HelpersWarning)
    text = f"{word}: {message}\n" if ours else warnings.formatwarning(message, category, *place[:2])
    print(text, end="", file=sys.stderr)
