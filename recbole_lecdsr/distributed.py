"""The processes of one run: those that torchrun started, or the only one.

A batch is dealt out to them, torch's DistributedDataParallel averages their gradients, samples to rank are dealt out
too, and the first process alone writes. Every process has the whole data and the whole model.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from recbole_lecdsr.errors import UserError

# Others wait that long while one works alone, at most: the first embeds texts, and ranks what is recommended.
_PATIENCE = timedelta(hours=6)


def is_distributed() -> bool:
    """Whether torchrun started this process beside others."""
    return dist.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1


def init() -> None:
    """Meet the other processes, if there are any; a second time does nothing."""
    if is_distributed() and not dist.is_initialized():
        cuda = torch.cuda.is_available() and dist.is_nccl_available()
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)


def destroy() -> None:
    """The end of the work together."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_gpu() -> torch.device:
    """The GPU of this process among the GPUs of its machine.

    Raises:
        UserError: there are more processes than GPUs.
    """
    place, number = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if place >= number:
        raise UserError(
            f"torchrun started {os.environ['LOCAL_WORLD_SIZE']} processes on a machine of {number} GPUs: give "
            f"--nproc_per_node={number}, or --use_gpu=False"
        )
    torch.cuda.set_device(place)
    return torch.device("cuda", place)


def barrier() -> None:
    """Until all processes are here."""
    all_reduce_sum(torch.zeros(1))


@contextmanager
def main_process_first() -> Iterator[None]:
    """The first process does what follows, then the others, who find what it wrote."""
    if rank() > 0:
        barrier()
    yield
    if rank() == 0:
        barrier()


def shard(number: int) -> slice:
    """Which of a number of rows are this process's."""
    return slice(rank(), number, world_size())


def all_reduce_sum(values: Tensor) -> Tensor:
    """Sum over the processes."""
    if world_size() > 1:
        dist.all_reduce(values)
    return values


def broadcast_flag(flag: bool) -> bool:
    """What the first process says."""
    return bool(all_reduce_sum(torch.tensor(int(flag and rank() == 0))))


def broadcast_model(model: nn.Module) -> None:
    """All processes take over what the first one's model has learned and counted."""
    if world_size() > 1:
        for values in model.state_dict().values():
            if isinstance(values, Tensor):
                dist.broadcast(values, 0)


def gather_shards(values: np.ndarray, number: int) -> np.ndarray:
    """All values, (number,), of which each process has its `shard`: (S,) int64."""
    if world_size() == 1:
        return values
    every = torch.zeros(number, dtype=torch.int64)
    every[shard(number)] = torch.from_numpy(values)
    return all_reduce_sum(every).numpy()


class _Loss(nn.Module):
    """The loss of a model as a forward pass, which is where DistributedDataParallel looks on."""

    def __init__(self, model: nn.Module, loss: Callable):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, interaction):
        return self.loss(interaction)


def wrap_ddp(model: nn.Module, loss: Callable) -> Callable:
    """The loss, whose gradient is the mean over the processes.

    Args:
        model: on its device; ``uses_every_parameter``, where it has that and it is true, promises that no step leaves a
            parameter out, which saves a search for those.
        loss: of a batch.
    """
    if world_size() == 1:
        return loss
    device = next(model.parameters()).device
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)  # its heir is unknown to older torch
        return DistributedDataParallel(
            _Loss(model, loss),
            device_ids=None if device.type == "cpu" else [device],
            broadcast_buffers=False,  # see `broadcast_model`
            find_unused_parameters=not model.uses_every_parameter,
        )
