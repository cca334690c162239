"""The back end ``transformers``: a causal language model that runs on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import torch

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.backends.base import Answer, Backend, Failure, OnOutcome, Request
from recbole_lecdsr.llm.generation.prompt_template import Messages
from recbole_lecdsr.llm.settings import LLMSettings

_BATCHES_SORTED_TOGETHER = 32  # by the length of their prompts, so that little is padding
_DEFAULT_MAX_TOKENS = 1024  # of an answer, without llm.max_tokens
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class TransformersModel(Backend):
    """Batched generation with a causal model of the transformers library.

    The tokenizer is loaded at once, the weights when the first request is processed.

    Args:
        settings: the model's name or path, sampling, ``dtype``, ``device_map`` and ``batch_size``.
        device: where the model runs, unless there is a ``device_map``.

    Attributes:
        deterministic: true at temperature 0, where decoding is greedy.

    Raises:
        UserError: a model that cannot be loaded.
    """

    def __init__(self, settings: LLMSettings, device: str = "cpu"):
        from transformers import AutoTokenizer

        self.settings, self.device = settings, device
        self.deterministic = not settings.temperature
        self.tokenizer = self._load_pretrained(AutoTokenizer)
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token or self.tokenizer.unk_token
        self._model: Any = None
        self._seeded = False

    @property
    def model(self) -> Any:
        """The causal model, in evaluation mode; loaded at first use.

        Raises:
            UserError: weights that cannot be loaded.
        """
        if self._model is None:
            from transformers import AutoModelForCausalLM

            dtype = self.settings.dtype
            if dtype == "auto" and str(self.device) != "cpu":
                dtype = "bfloat16"  # fast on a GPU; a CPU computes in the type in which the weights are stored
            arguments: dict[str, object] = {"torch_dtype": _DTYPES.get(dtype, dtype)}
            if self.settings.device_map is not None:
                arguments["device_map"] = self.settings.device_map
            model = self._load_pretrained(AutoModelForCausalLM, **arguments).eval()
            if self.settings.device_map is None:
                model.to(self.device)
            self._model = model
        return self._model

    def count_tokens(self, text: str) -> int:
        """The length of a text by the model's tokenizer, without special tokens."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def run(self, requests: Iterable[Request], on_outcome: OnOutcome) -> None:
        """See `recbole_lecdsr.llm.backends.base.Backend.run`."""
        if not self._seeded and self.settings.seed is not None:
            torch.manual_seed(self.settings.seed)
            self._seeded = True
        remaining = iter(requests)
        size = self.settings.batch_size
        while block := list(islice(remaining, size * _BATCHES_SORTED_TOGETHER)):
            prompts = [(request, self.render_prompt(request.messages)) for request in block]
            prompts = [(request, prompt) for request, prompt in prompts if self._fits(request, prompt, on_outcome)]
            # The longest first: a batch that is too large for the device fails early.
            prompts.sort(key=lambda pair: len(pair[1]), reverse=True)
            for start in range(0, len(prompts), size):
                batch = prompts[start : start + size]
                answers = self._generate([prompt for _, prompt in batch])
                for (request, _), answer in zip(batch, answers, strict=True):
                    on_outcome(request, answer)

    def render_prompt(self, messages: Messages) -> str:
        """The text that the model reads: its chat template, or without one the messages separated by empty lines.

        Special tokens within a message are broken up, so that a title cannot end the message that contains it.
        """
        template_arguments: Any = self.settings.extra_body.get("chat_template_kwargs") or {}  # as vLLM takes them
        plain = [{**message, "content": self._break_special_tokens(message["content"])} for message in messages]
        joined = "\n\n".join(message["content"] for message in plain)
        if not self.tokenizer.chat_template:
            return f"{joined}\n\n"
        try:
            return self.tokenizer.apply_chat_template(
                plain, tokenize=False, add_generation_prompt=True, **template_arguments
            )
        except Exception:  # templates raise errors of any type for a role that they do not support, such as system
            return self.tokenizer.apply_chat_template(
                [{"role": "user", "content": joined}], tokenize=False, add_generation_prompt=True, **template_arguments
            )

    def _load_pretrained(self, auto_class: Any, **arguments: object) -> Any:
        name = self.settings.model
        try:
            return auto_class.from_pretrained(name, **arguments)
        except ImportError as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"language model {name!r} cannot be loaded: {reason} (llm.device_map needs the package accelerate)"
            ) from None
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"language model {name!r} cannot be loaded ({reason}): give a folder with a causal model of "
                "transformers, or with network access a model's name"
            ) from None

    def _fits(self, request: Request, prompt: str, on_outcome: OnOutcome) -> bool:
        """Whether prompt and answer fit the context of the model; reports a failure if they do not."""
        # Not every configuration has a limit.
        context_length = getattr(self.model.config, "max_position_embeddings", None)
        prompt_length = self.count_tokens(prompt)
        if context_length is None or prompt_length + self._max_new_tokens <= context_length:
            return True
        on_outcome(request, Failure(
            f"its prompt of {prompt_length} tokens and an answer of {self._max_new_tokens} exceed the model's context "
            f"of {context_length} tokens: lower llm.max_history_tokens",
            is_refusal=True,
        ))  # fmt: skip
        return False

    @property
    def _max_new_tokens(self) -> int:
        return self.settings.max_tokens or _DEFAULT_MAX_TOKENS

    def _break_special_tokens(self, text: str) -> str:
        """The text with a space inside everything that the tokenizer would read as a special token."""
        for token in self.tokenizer.all_special_tokens:
            if len(token) > 1 and token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[str]) -> list[Answer]:
        """Complete a batch of prompts."""
        model = self.model
        # A chat template contains the special tokens already.
        encoded = self.tokenizer(
            list(prompts), return_tensors="pt", padding=True, add_special_tokens=not self.tokenizer.chat_template
        )
        inputs = {name: encoded[name].to(model.device) for name in ("input_ids", "attention_mask")}
        width = inputs["input_ids"].shape[1]
        sampling: dict[str, object] = {"do_sample": False}
        if temperature := self.settings.temperature:
            sampling = {"do_sample": True, "temperature": float(temperature), "top_p": self.settings.top_p or 1.0}
        try:
            output = model.generate(
                **inputs, **sampling, max_new_tokens=self._max_new_tokens, pad_token_id=self.tokenizer.pad_token_id
            )
        except torch.OutOfMemoryError:
            raise UserError(
                f"the device has too little memory for {len(prompts)} prompts of up to {width} tokens: lower "
                "llm.batch_size or llm.max_history_tokens, or set llm.dtype or llm.device_map"
            ) from None
        end_tokens = model.generation_config.eos_token_id
        end_tokens = {end_tokens} if isinstance(end_tokens, int) else set(end_tokens or ())
        prompt_lengths = inputs["attention_mask"].sum(dim=1).tolist()
        answers = []
        for row, prompt_length in zip(output[:, width:].tolist(), prompt_lengths, strict=True):
            end = next((position for position, token in enumerate(row) if token in end_tokens), None)
            generated = row if end is None else row[:end]
            answers.append(
                Answer(
                    self.tokenizer.decode(generated, skip_special_tokens=True),
                    finish_reason="length" if end is None else "stop",
                    tokens_in=prompt_length,
                    tokens_out=len(generated),
                )
            )
        return answers
