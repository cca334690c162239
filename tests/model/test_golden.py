"""The mathematics of docs/models.md, 3 and 4, against numbers that the published implementation computed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_lecdsr.data.user_vectors import UserVectors
from recbole_lecdsr.model.published_network import LeCDSRNetwork
from recbole_lecdsr.model.ranking_losses import RANKING_LOSSES
from recbole_lecdsr.model.sequence_input import SequenceInput

GOLDEN = Path(os.environ.get("LECDSR_GOLDEN") or Path(__file__).parents[1] / "golden" / "lecdsr_reference.npz")
TAU, TAU_ALIGN, LAMBDA, TOLERANCE = 3.0, 3.0, 0.3, 1e-4

# our loss -> names in the file: the loss, and the gradients of loss + 0.3 · alignment
LOSSES = {"all_pairs_hinge": ("psl_loss", "grad"), "own_sample_hinge": ("own_loss", "grad_own")}

# name in the file -> name of our parameter
PARAMETERS = {
    "item_embeddings.weight": "item_id.weight",
    "position_embeddings.weight": "position.weight",
    "W2.weight": "output.weight",
    "b2.weight": "output_bias",
    "complex_weight": "fusion.filter",
    "instance_gate_item": "instance_gate.item",
    "instance_gate_user": "instance_gate.user",
    "instance_gate_position": "instance_gate.position",
    "user_embeddings.weight": "user_id.weight",
} | {
    f"{theirs}.{kind}": f"{ours}.{kind}"
    for theirs, ours in {
        "item_gating": "fusion.item_gate",
        "fusion_gating": "fusion.fusion_gate",
        "feature_gate_item": "feature_gate.item",
        "feature_gate_user": "feature_gate.user",
        **{f"adapter_text.{i}": f"item_adapter.{i}" for i in (0, 1, 3)},
        **{f"adapter_user.{i}": f"user_adapter.{i}" for i in (0, 1, 3)},
    }.items()
    for kind in ("weight", "bias")
}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        return {key: file[key] for key in file.files}


def relative(ours, theirs) -> float:
    """Largest absolute difference over largest absolute value."""
    ours, theirs = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-12))


@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("variant", ["full", "no_item_semantics", "no_user_profile", "no_semantic_fusion"])
def test_published_scores_losses_and_gradients_are_reproduced(golden, variant, loss):
    def part(kind: str) -> dict[str, torch.Tensor]:
        prefix = f"{variant}/{kind}/"
        return {k[len(prefix) :]: torch.from_numpy(v) for k, v in golden.items() if k.startswith(prefix)}

    loss_name, gradients_name = LOSSES[loss]
    inputs, weights, gradients, outputs = part("input"), part("weight"), part(gradients_name), part("output")
    n_items, d = weights["item_embeddings.weight"].shape
    network = LeCDSRNetwork(
        n_users=len(weights["user_embeddings.weight"]),
        n_items=n_items,
        max_length=inputs["item_seq"].shape[1],
        embedding_size=d,
        hidden_size=weights.get("adapter_text.0.weight", weights.get("adapter_user.0.weight")).shape[0],
        item_embedding=None if variant == "no_item_semantics" else weights["llm_item.weight"],
        user_vectors=None
        if variant == "no_user_profile"
        else UserVectors.one_per_user(weights["llm_user.weight"].numpy()),
        semantic_fusion=variant != "no_semantic_fusion",
        mask_padding=False,
    )
    ours = dict(network.named_parameters())
    with torch.no_grad():
        for theirs, name in PARAMETERS.items():
            if name in ours:
                ours[name].copy_(weights[theirs].reshape(ours[name].shape))

    windows, user = inputs["item_seq"], inputs["user"]
    unread = windows, windows, user  # domains and times are not read
    encoded = network.encode(SequenceInput(windows, inputs["position"], *unread, user, user), TAU_ALIGN)
    scores = network.score(encoded.query, inputs["candidates"])
    ranking, align = RANKING_LOSSES[loss](scores[:, 0], scores[:, 1:], TAU), encoded.alignment
    total = ranking + LAMBDA * align
    total.backward()

    assert relative(scores.detach(), outputs["scores"]) < TOLERANCE
    assert (
        relative(network.score(encoded.query).gather(1, inputs["candidates"]).detach(), outputs["scores"]) < TOLERANCE
    )
    assert relative(ranking.item(), outputs[loss_name]) < TOLERANCE
    assert relative(align.item(), outputs["align_loss"]) < TOLERANCE
    if loss == "all_pairs_hinge":
        assert relative(total.item(), outputs["loss"]) < TOLERANCE
    compared = {theirs: PARAMETERS[theirs] for theirs in gradients}
    assert set(compared.values()) == set(ours), "every parameter has its gradient in the file"
    for theirs, name in compared.items():
        gradient = ours[name].grad.reshape(gradients[theirs].shape)
        assert relative(gradient, gradients[theirs]) < TOLERANCE, name
