"""Memory that does not suffice, as an error that names the parameters to lower."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.registry import model_parameters

# What torch and NumPy say, in errors of kinds that have other causes too.
_SIGNS = (
    "out of memory", "can't allocate memory", "not enough memory", "Storage size calculation overflowed",
    "array is too big", "Invalid buffer size",
)  # fmt: skip
_MOST_NAMED = 5

# Parameters that decide how much memory a step takes, besides those of the model.
TRAINING = ("train_batch_size", "MAX_ITEM_LIST_LENGTH", "train_neg_sample_args.sample_num")
EVALUATION = ("eval_batch_size", "MAX_ITEM_LIST_LENGTH")


@contextmanager
def explain_memory_errors(config: LeCDSRConfig, doing: str, names: Sequence[str] = ()) -> Iterator[None]:
    """Turn a failed allocation, on a CPU or a GPU, into an error of the user.

    Args:
        config: of the run.
        doing: what needs the memory, such as ``train a step``.
        names: parameters that decide how much it is, besides the whole numbers among the model's own.

    Raises:
        UserError: names the largest of these parameters with their values.
    """
    try:
        yield
    except (MemoryError, RuntimeError, ValueError) as error:
        if isinstance(error, UserError) or not _is_memory_error(error):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        sizes = _sizes(config, names)
        raise UserError(
            f"there is not enough memory on {config['device']} to {doing} with {config.model_name} ({reason}): lower "
            f"{', '.join(f'{name} ({value})' for name, value in sizes)}"
        ) from error


def _is_memory_error(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _SIGNS)


def _sizes(config: LeCDSRConfig, names: Sequence[str]) -> list[tuple[str, int]]:
    """The largest of the parameters, by their values."""
    own = [parameter.name for parameter in model_parameters(config.model_name) if int in parameter.kinds]
    values = {name: _value(config, name) for name in (*names, *own)}
    sizes = [(name, value) for name, value in values.items() if type(value) is int and value > 1]
    return sorted(sizes, key=lambda size: -size[1])[:_MOST_NAMED]


def _value(config: LeCDSRConfig, name: str) -> object:
    outer, _, inner = name.partition(".")
    value = config[outer]
    return value.get(inner) if inner and isinstance(value, dict) else value
