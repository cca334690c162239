"""A causal language model with a few thousand random weights, made without network access."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import torch

CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def write_tiny_causal(folder: Path, chat: bool = True, positions: int = 4096) -> Path:
    """Write a Llama-like model with a tokenizer of bytes, with or without a chat template; returns its folder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<pad>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<|end|>", additional_special_tokens=special[2:]
    )
    if chat:
        fast.chat_template = CHAT
    path = folder / "causal"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        fast.save_pretrained(path)
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=len(vocabulary), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=positions, pad_token_id=0,
            eos_token_id=1, bos_token_id=None, initializer_range=0.5,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(path)
    return path
