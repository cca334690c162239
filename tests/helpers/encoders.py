"""A sentence encoder with a few hundred random weights, made without network access."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import torch

WORDS = ["the", "a", "of", "and", "one", "two", "three", "red", "blue", "film", "book", "cup", "tea", "user", "likes"]
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def write_tiny_encoder(folder: Path, max_length: int = 16) -> Path:
    """Write a sentence-transformers model with vectors of 8 dimensions; returns its folder, inside ``folder``."""
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    try:
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    except ImportError:  # before version 5.4
        from sentence_transformers.models import Pooling, Transformer

    bert = folder / "bert"
    bert.mkdir(parents=True)
    word_pieces = [*WORDS, ".", *CHARACTERS, *(f"##{character}" for character in CHARACTERS)]
    (bert / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *word_pieces]) + "\n")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        BertTokenizerFast(vocab=str(bert / "vocab.txt")).save_pretrained(bert)
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(word_pieces) + 5, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16, max_position_embeddings=64,
        )  # fmt: skip
        BertModel(config).save_pretrained(bert)
        words = Transformer(str(bert), max_seq_length=max_length)
        SentenceTransformer(modules=[words, Pooling(8)], device="cpu").save(str(folder / "encoder"))
    return folder / "encoder"
