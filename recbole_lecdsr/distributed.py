"""Data-parallel training and evaluation in several processes, started by torchrun.

Every process (rank) has the whole data set and the whole model. Batches and evaluation samples are sharded over the
ranks, torch's DistributedDataParallel averages gradients, and rank 0 alone writes files. In a single process all
functions work and communicate nothing.

torch is imported when it is first needed, so that the command line can ask `is_distributed` without it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from recbole_lecdsr.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

# How long the other ranks wait at most while rank 0 works alone, such as when it embeds texts.
_TIMEOUT = timedelta(hours=6)


def is_distributed() -> bool:
    """Whether torchrun started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ["WORLD_SIZE"]) > 1


def init() -> None:
    """Join the process group of all ranks. Does nothing in a single process, or if the group exists already."""
    import torch
    import torch.distributed as dist

    if is_distributed() and not dist.is_initialized():
        cuda = torch.cuda.is_available() and dist.is_nccl_available()
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_TIMEOUT)


def destroy() -> None:
    """Leave the process group, if there is one."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Rank of this process, from 0."""
    import torch.distributed as dist

    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_initialized() else 1


def local_gpu() -> torch.device:
    """The GPU of this process, by its rank among the processes of its machine; makes it torch's current device.

    Raises:
        UserError: the machine has fewer GPUs than processes.
    """
    import torch

    local_rank, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local_rank >= gpus:
        raise UserError(
            f"torchrun started {os.environ['LOCAL_WORLD_SIZE']} processes on a machine of {gpus} GPUs: give "
            f"--nproc_per_node={gpus}, or --use_gpu=False"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def barrier() -> None:
    """Wait until all ranks have arrived here."""
    import torch

    all_reduce_sum(torch.zeros(1))


@contextmanager
def main_process_first() -> Iterator[None]:
    """Rank 0 runs the block first, then the others, which find the files that it wrote."""
    if rank() > 0:
        barrier()
    yield
    if rank() == 0:
        barrier()


def shard(number: int) -> slice:
    """The rows, of a given number of rows, that this rank processes: every world-size-th, starting at its rank."""
    return slice(rank(), number, world_size())


def all_reduce_sum(values: Tensor) -> Tensor:
    """Sum of a tensor over all ranks; changes it in place and returns it."""
    import torch.distributed as dist

    if world_size() > 1:
        dist.all_reduce(values)
    return values


def unite(ids: Tensor, size: int) -> Tensor:
    """The ids that any rank has.

    Args:
        ids: (N,) int64, distinct and ascending.
        size: ids are below it.

    Returns:
        (M,) int64, distinct and ascending, the same on every rank.
    """
    import torch

    if world_size() == 1:
        return ids
    count = torch.zeros(size, dtype=torch.int32, device=ids.device)
    count[ids] = 1
    return torch.nonzero(all_reduce_sum(count)).squeeze(1)


def broadcast_flag(flag: bool) -> bool:
    """The flag of rank 0, on every rank."""
    import torch

    return bool(all_reduce_sum(torch.tensor(int(flag and rank() == 0))))


def broadcast_model(model: nn.Module) -> None:
    """Copy parameters and buffers of rank 0 to all other ranks."""
    import torch
    import torch.distributed as dist

    if world_size() > 1:
        for values in model.state_dict().values():
            if isinstance(values, torch.Tensor):
                dist.broadcast(values, 0)


def gather_shards(values: np.ndarray, number: int) -> np.ndarray:
    """Combine the shards of all ranks.

    Args:
        values: (S,) int64, for the rows that `shard` assigns to this rank.
        number: of rows in total.

    Returns:
        (number,) int64, on every rank.
    """
    import torch

    if world_size() == 1:
        return values
    gathered = torch.zeros(number, dtype=torch.int64)
    gathered[shard(number)] = torch.from_numpy(values)
    return all_reduce_sum(gathered).numpy()


def gather_rows(values: Tensor) -> tuple[Tensor, slice]:
    """Join a column of all ranks, each of its own length.

    Args:
        values: (R,) float or int, on the device of the run. Has no gradient in the result.

    Returns:
        the columns of all ranks in order of rank, on every rank, and where in it ``values`` are.
    """
    import torch

    if world_size() == 1:
        return values, slice(0, len(values))
    lengths = torch.zeros(world_size(), dtype=torch.int64, device=values.device)
    lengths[rank()] = len(values)
    ends = all_reduce_sum(lengths).cumsum(0).tolist()
    own = slice(ends[rank()] - len(values), ends[rank()])
    gathered = values.new_zeros(ends[-1])
    gathered[own] = values.detach()
    return all_reduce_sum(gathered), own


def wrap_ddp(model: nn.Module, loss: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The loss of a batch, with gradients averaged over the ranks in its backward pass.

    Args:
        model: a model of the contract (`recbole_lecdsr.model.base`), on its device. Its ``uses_every_parameter`` saves
            a search for unused parameters at each step.
        loss: of a batch.

    Returns:
        ``loss`` itself in a single process.
    """
    if world_size() == 1:
        return loss
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    class Loss(nn.Module):
        """The loss as a forward pass, which DistributedDataParallel requires."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, interaction: Any) -> Any:
            return loss(interaction)

    device = next(model.parameters()).device
    with warnings.catch_warnings():
        # Its replacement does not exist in older versions of torch.
        warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
        return DistributedDataParallel(
            Loss(),
            device_ids=None if device.type == "cpu" else [device],
            broadcast_buffers=False,  # see `broadcast_model`
            find_unused_parameters=not model.uses_every_parameter,
        )
