"""The back end `transformers`: a causal language model on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.backends.base import Answer, Done, Failure, Request
from recbole_lecdsr.llm.generation.prompt_template import Messages
from recbole_lecdsr.llm.settings import LLMSettings

_SORTED = 32  # batches whose prompts are sorted by length together, so that little is padding


class LocalModel:
    """Batched generation by a causal model of the transformers library.

    The tokenizer is read at once, the weights when the first question comes.

    Args:
        settings: the model's name or path, sampling, ``dtype``, ``device_map``, ``batch_size``.
        device: where the model goes if there is no ``device_map``.

    Raises:
        UserError: a model that cannot be loaded.
    """

    deferred = False

    def __init__(self, settings: LLMSettings, device: str = "cpu"):
        from transformers import AutoTokenizer

        self.settings, self.device = settings, device
        # Greedy decoding says the same again.
        self.answers_differ = bool(settings.temperature)
        self.tokenizer = self._load(AutoTokenizer)
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token or self.tokenizer.unk_token
        self.model = None
        self._seeded = False

    def _load(self, kind, **arguments):
        name = self.settings.model
        try:
            return kind.from_pretrained(name, **arguments)
        except ImportError as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"model {name!r} cannot be loaded: {reason} (llm.device_map needs accelerate)") from None
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"language model {name!r} cannot be loaded ({reason}): give a folder with a causal model of "
                "transformers, or a model's name while the network can be reached"
            ) from None

    def _weights(self):
        if self.model is None:
            from transformers import AutoModelForCausalLM

            dtype = self.settings.dtype
            if dtype == "auto":
                # Half precision where it is fast; a CPU computes in what the weights are stored in.
                dtype = "auto" if str(self.device) == "cpu" else "bfloat16"
            arguments = {"torch_dtype": dtype if dtype == "auto" else getattr(torch, dtype)}
            if self.settings.device_map is not None:
                arguments["device_map"] = self.settings.device_map
            self.model = self._load(AutoModelForCausalLM, **arguments).eval()
            if self.settings.device_map is None:
                self.model.to(self.device)
        return self.model

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def run(self, requests: Iterable[Request], done: Done) -> None:
        """See `recbole_lecdsr.llm.backends.base.Backend.run`."""
        if not self._seeded and self.settings.seed is not None:
            torch.manual_seed(self.settings.seed)
            self._seeded = True
        waiting = iter(requests)
        size = self.settings.batch_size
        while block := list(islice(waiting, size * _SORTED)):
            prompts = [(request, self._text(request.messages)) for request in block]
            prompts = [pair for pair in prompts if self._fits(*pair, done)]
            prompts.sort(key=lambda pair: len(pair[1]), reverse=True)  # the longest first: too large a batch fails soon
            for start in range(0, len(prompts), size):
                batch = prompts[start : start + size]
                for (request, _), answer in zip(batch, self._generate([text for _, text in batch]), strict=True):
                    done(request, answer)

    def _fits(self, request: Request, text: str, done: Done) -> bool:
        room = getattr(self._weights().config, "max_position_embeddings", None)
        length, answer = self.count(text), self._answer_tokens
        if room is None or length + answer <= room:
            return True
        done(request, Failure(
            f"its prompt of {length} tokens and an answer of {answer} are more than the {room} that the model reads: "
            "lower llm.max_history_tokens"
        ))  # fmt: skip
        return False

    @property
    def _answer_tokens(self) -> int:
        return self.settings.max_tokens or 1024

    def _text(self, messages: Messages) -> str:
        """A chat as the model's template has it; where it has none, the messages one under the other."""
        extra = dict(self.settings.extra_body.get("chat_template_kwargs") or {})  # as vLLM takes them
        plain = [{**message, "content": self._unmarked(message["content"])} for message in messages]
        if self.tokenizer.chat_template:
            try:
                return self.tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True, **extra)
            except Exception:  # templates raise what they like for a role that they do not know
                joined = "\n\n".join(message["content"] for message in plain)
                return self.tokenizer.apply_chat_template(
                    [{"role": "user", "content": joined}], tokenize=False, add_generation_prompt=True, **extra
                )
        return "\n\n".join(message["content"] for message in plain) + "\n\n"

    def _unmarked(self, text: str) -> str:
        """A text in which no special token of the tokenizer stands: a title cannot end its message."""
        for mark in self.tokenizer.all_special_tokens:
            if len(mark) > 1 and mark in text:
                text = text.replace(mark, f"{mark[0]} {mark[1:]}")
        return text

    @torch.inference_mode()
    def _generate(self, prompts: list[str]) -> list[Answer]:
        model = self._weights()
        # A chat template has put the special tokens in already.
        inputs = self.tokenizer(
            prompts, return_tensors="pt", padding=True, add_special_tokens=not self.tokenizer.chat_template
        )
        inputs = {name: inputs[name].to(model.device) for name in ("input_ids", "attention_mask")}
        settings = self.settings
        arguments = {"do_sample": False}
        if settings.temperature:
            arguments = {"do_sample": True, "temperature": float(settings.temperature), "top_p": settings.top_p or 1.0}
        try:
            output = model.generate(
                **inputs, **arguments, max_new_tokens=self._answer_tokens, pad_token_id=self.tokenizer.pad_token_id
            )
        except torch.OutOfMemoryError:
            raise UserError(
                f"the device has too little memory for {len(prompts)} prompts of up to {inputs['input_ids'].shape[1]} "
                "tokens: lower llm.batch_size or llm.max_history_tokens, or give llm.dtype or llm.device_map"
            ) from None
        ends = model.generation_config.eos_token_id
        ends = {ends} if isinstance(ends, int) else set(ends or ())
        width = inputs["input_ids"].shape[1]
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        answers = []
        for row, length in zip(output[:, width:].tolist(), lengths, strict=True):
            stop = next((place for place, token in enumerate(row) if token in ends), None)
            said = row if stop is None else row[:stop]
            text = self.tokenizer.decode(said, skip_special_tokens=True)
            finish = "stop" if stop is not None else "length"
            answers.append(Answer(text, finish, None, length, len(said)))
        return answers
