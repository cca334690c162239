"""The command line: the main job, which trains and evaluates a model, and dispatch to the other commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from rich.markup import escape

from recbole_lecdsr import distributed
from recbole_lecdsr.cli.commands import COMMANDS
from recbole_lecdsr.cli.console import err, out, show
from recbole_lecdsr.cli.default_data import make_default_data
from recbole_lecdsr.cli.options import run_options
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import describe_disk_error, is_disk_error

USAGE = """\
usage: run_lecdsr.py [--model NAME] [--dataset NAME] [--config_files FILE …]
                     [--NAME=VALUE …]
       run_lecdsr.py COMMAND …

Train LeCDSR, or another model, on a pair of domains and evaluate it in both.
The default data set, movielens, is prepared and embedded first. Where the
package is installed, the program is also called run_lecdsr and
python -m recbole_lecdsr.

  --model NAME            a model (LeCDSR, SASRec, …), a variant (LeCDSR-paper),
                          or a class of your own (my_models.MyModel)
  --dataset NAME          a pair of domains: properties/dataset/NAME.yaml or
                          dataset/NAME/NAME.yaml
  --config_files FILE …   property files; later ones win
  --NAME=VALUE            any parameter, nested ones with dots:
                          --learning_rate=0.01 --eval_args.mode=uni99
  --help                  common parameters, and those of --model if it is given
  --help=all              all parameters; docs/configuration.md has them too

Commands (`run_lecdsr.py COMMAND --help` explains each):
  prepare                 raw data -> atomic files
  profile                 training histories -> language model -> profiles.jsonl
  embed                   item texts and profiles -> .itememb, .useremb
  compare --models A,B    several models with several seeds, in one report
  ablate                  the same for LeCDSR, its ablations and encoders
  recommend --run DIR     top items of each domain for users
  export --run DIR        vectors, indexes and query network, for serving
  tune                    hyper-parameter search on validation samples
  doctor                  check versions, device and data
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: of the command line, without the program's name; None takes those of the process.

    Returns:
        The exit status: 0, 1 after a mistake of the user, 130 after an interruption.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if arguments and arguments[0] in COMMANDS:
            if distributed.is_distributed():
                raise UserError(
                    f"torchrun runs the main job in several processes, not {arguments[0]}: start it without torchrun "
                    "(processes started with the same --study of compare or ablate, or --name of tune, share its work)"
                )
            module, _, name = COMMANDS[arguments[0]].partition(":")
            return getattr(import_module(module), name)(arguments[1:])
        return train(arguments)
    except UserError as error:
        for line in str(error).splitlines():
            err.print(f"[bold red]error[/]: {escape(line)}", soft_wrap=True)
        return 1
    except OSError as error:
        if not is_disk_error(error):
            raise
        err.print(f"[bold red]error[/]: {escape(describe_disk_error(error))}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        err.print("interrupted; the same command with --resume=True resumes the run")
        return 130


def train(arguments: Sequence[str]) -> int:
    """Train and evaluate a model: the main job.

    Args:
        arguments: of the command line; ``--help`` explains them.

    Returns:
        0.

    Raises:
        UserError: a mistake in settings or data.
    """
    if {"-h", "--help", "--help=all"} & set(arguments):
        out.print(f"{USAGE}\n{_describe_parameters(arguments)}", markup=False, soft_wrap=True, end="")
        return 0
    options = run_options(arguments)
    from recbole_lecdsr.quick_start import run_lecdsr  # imports torch and the frameworks

    distributed.init()
    with distributed.main_process_first():
        make_default_data(options)
    result = run_lecdsr(
        options.model, options.dataset, config_file_list=options.config_files, command_line=options.overrides
    )
    if result.test and distributed.rank() == 0:
        show(result.to_dict(), result.folder)
    distributed.destroy()
    return 0


def _describe_parameters(arguments: Sequence[str]) -> str:
    """Help on parameters: those of the model that is named, and the common ones or all."""
    from recbole_lecdsr import schema

    everything, width = "--help=all" in arguments, min(out.width, 100)
    given = [text for text in arguments if text not in ("-h", "--help", "--help=all")]
    model = run_options(given).model
    if model is None:
        from recbole_lecdsr.model.parameters import LECDSR_PARAMETERS

        return schema.describe(LECDSR_PARAMETERS if everything else (), "LeCDSR", everything, width)
    from recbole_lecdsr.model.registry import model_parameters  # imports torch and the frameworks

    return schema.describe(model_parameters(model), model, everything, width)
