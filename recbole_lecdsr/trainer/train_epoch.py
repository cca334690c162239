"""One epoch of optimization: batches come in; the summed loss goes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from recbole_lecdsr import distributed
from recbole_lecdsr.data.train_loader import TrainLoader
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender

Loss = Callable[[Interaction], "Tensor | tuple[Tensor, ...]"]


@dataclass(frozen=True)
class StepSettings:
    """How an optimizer step is taken.

    Attributes:
        device: of the run.
        amp: compute the loss in mixed precision.
        scale_gradients: scale the loss, so that small gradients do not vanish in mixed precision.
        clip_grad_norm: arguments of `torch.nn.utils.clip_grad_norm_`; None to leave gradients as they are.
    """

    device: torch.device
    amp: bool
    scale_gradients: bool
    clip_grad_norm: Mapping[str, Any] | None


def train_epoch(
    model: CrossDomainSequentialRecommender,
    train_data: TrainLoader,
    optimizer: torch.optim.Optimizer,
    *,
    settings: StepSettings,
    loss: Loss | None = None,
    label: str = "train",
    show_progress: bool = False,
) -> list[float]:
    """Take an optimizer step for each batch.

    Args:
        model: in training mode.
        train_data: the batches.
        optimizer: of the model's parameters.
        settings: of the steps.
        loss: of a batch; default the model's ``calculate_loss``.
        label: of the progress bar.
        show_progress: show a progress bar.

    Returns:
        Each part of the loss, summed over the batches and averaged over the processes.
    """
    loss = distributed.wrap_ddp(model, loss or model.calculate_loss)
    scaler = torch.amp.GradScaler(settings.device.type, enabled=settings.scale_gradients)
    total: Tensor | None = None
    with tqdm(
        total=len(train_data), desc=label, unit=" batches", leave=False, disable=None if show_progress else True
    ) as bar:
        for interaction in train_data:
            optimizer.zero_grad()
            with torch.autocast(settings.device.type, enabled=settings.amp):
                parts = loss(interaction)
            parts = parts if isinstance(parts, tuple) else (parts,)
            if distributed.world_size() > 1:
                parts = _weigh(parts, model, interaction, train_data.is_sharded)
            scaler.scale(reduce(torch.add, parts).sum()).backward()
            if settings.clip_grad_norm:
                scaler.unscale_(optimizer)  # clip gradients, not scaled ones
                clip_grad_norm_(model.parameters(), **settings.clip_grad_norm)
            scaler.step(optimizer)
            scaler.update()
            model.after_step()
            values = torch.stack([part.detach().float().sum() for part in parts])
            total = values if total is None else total + values  # no .item(): that would wait for the device
            bar.update()
    if total is None:
        return []
    return (distributed.all_reduce_sum(total) / distributed.world_size()).tolist()


def _weigh(
    parts: tuple[Tensor, ...], model: CrossDomainSequentialRecommender, interaction: Interaction, is_sharded: bool
) -> tuple[Tensor, ...]:
    """Parts of the loss, weighted so that their mean over the processes is that of the batch.

    Args:
        parts: of the loss of this process's rows.
        model: whose loss it is.
        interaction: these rows.
        is_sharded: whether each process has its own rows of the batch; otherwise each has them all.
    """
    size = distributed.world_size()
    if not is_sharded:  # what compares all rows of all processes finds each pair once for each process
        return tuple(part / size if index in model.all_pairs_losses else part for index, part in enumerate(parts))
    counts = model.count_loss_terms(interaction)
    counts = counts if isinstance(counts, tuple) else (counts,) * len(parts)
    own = torch.stack([torch.as_tensor(count, dtype=torch.float32, device=parts[0].device) for count in counts])
    weight = size * own / distributed.all_reduce_sum(own.clone()).clamp(min=1)
    totals = {*model.summed_losses, *model.all_pairs_losses}
    return tuple(
        part * (size if index in totals else share)
        for index, (part, share) in enumerate(zip(parts, weight, strict=True))
    )
