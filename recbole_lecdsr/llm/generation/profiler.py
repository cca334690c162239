"""The `profile` job: a language model's texts about the users or the items of a data set."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import sidecar, write_whole
from recbole_lecdsr.llm.backends.base import Backend
from recbole_lecdsr.llm.generation.answer_checks import fields_of
from recbole_lecdsr.llm.generation.answer_store import Store
from recbole_lecdsr.llm.generation.history_text import estimate_tokens
from recbole_lecdsr.llm.generation.job import FailedSubject, Job, Outcome, Preview
from recbole_lecdsr.llm.generation.prompt_template import PromptTemplate, Stage, read_template
from recbole_lecdsr.llm.settings import LLMSettings
from recbole_lecdsr.llm.text_sources import MADE_BY, ItemFields, UserHistories, is_generated

logger = logging.getLogger(__name__)

STORE = "answers.jsonl"


class Profiler:
    """Texts about the users or the items of a data set.

    Users: what their **training** events of the split in force tell. Items: what their fields tell.

    Args:
        dataset: the data set; ``llm`` of its configuration says who is asked, and what.
        of: ``users`` or ``items``.

    Raises:
        UserError: settings that do not go together, a template or a model that cannot be read.
    """

    def __init__(self, dataset: CrossDomainSequentialDataset, of: str = "users"):
        config = dataset.config
        self.dataset, self.of = dataset, of
        self.settings = LLMSettings(**config["llm"])
        self.folder = Path(config["pair_path"])
        self.output = self.folder / config["profile_file" if of == "users" else "item_file"]
        self.id_field, self.field = ("user_id", "profile") if of == "users" else ("item_id", "description")
        if self.settings.backend == "history":
            if of == "items":
                raise UserError(
                    "llm.backend history writes histories of users; without a language model, items need no step: "
                    "embed reads their fields as they are"
                )
            self.template = self.backend = None
            count = estimate_tokens
        else:
            if self.settings.model is None:
                raise UserError(
                    f"llm.model names no model for the back end {self.settings.backend}: give --llm.model=NAME, or do "
                    "without a language model by --llm.backend=history"
                )
            prompt = self.settings.prompt if of == "users" else self.settings.item_prompt
            self.template: PromptTemplate | None = read_template(prompt, of)
            self.backend: Backend | None = self._make_backend()
            count = self.backend.count
        self.subjects = UserHistories(dataset, self.settings, count) if of == "users" else ItemFields(dataset)
        if not self.subjects.tokens:
            raise UserError(f"there is nothing to tell of the {of}: " + (
                "no training events" if of == "users" else "no item has a text in .item or items.jsonl"))  # fmt: skip

    def _make_backend(self) -> Backend:
        if self.settings.backend == "openai":
            from recbole_lecdsr.llm.backends.openai_chat import ChatEndpoint

            return ChatEndpoint(self.settings)
        if self.settings.backend == "batch":
            from recbole_lecdsr.llm.backends.openai_batch import BatchFiles

            return BatchFiles(self.settings, self.folder / f"batch-{self.of}")
        from recbole_lecdsr.llm.backends.transformers_local import LocalModel

        return LocalModel(self.settings, str(self.dataset.config["device"]))

    # ------------------------------------------------------------------ what is asked

    def preview(self) -> Preview:
        """What `run` would ask, without asking."""
        if self.template is None:
            return Preview(len(self.subjects.tokens))
        with ExitStack() as stack:
            path = self.folder / STORE
            if not path.exists():
                path = Path(stack.enter_context(TemporaryDirectory())) / STORE
            store = stack.enter_context(Store(path))
            return Job(self.subjects, self.template, self.settings, self.backend, store).preview()

    def run(self, results: Sequence[str | Path] = (), show_progress: bool = False) -> dict[str, object]:
        """Ask for what is missing and write the texts.

        Args:
            results: files that the Batch interface gave back.
            show_progress: show a bar.

        Returns:
            What was done, for the reader.

        Raises:
            UserError: an output file that something else has made; a back end that cannot go on (what was answered is
                stored); result files that are none.
        """
        if self.output.exists() and not is_generated(self.output):
            raise UserError(
                f"{self.output} was not made by `profile`, so it is not overwritten: move it away, or write another by "
                f"--{'profile' if self.of == 'users' else 'item'}_file=NAME.jsonl"
            )
        if self.template is None:
            stage = Stage("history", "")
            texts = {
                token: {self.field: self.subjects.parts(index, stage)[0][1]["history"]}
                for index, token in enumerate(self.subjects.tokens)
            }
            return self._write(texts, Outcome())
        if results and self.settings.backend != "batch":
            raise UserError("--results are files of a Batch interface: give --llm.backend=batch, as for their requests")
        with self._store() as store:
            job = Job(self.subjects, self.template, self.settings, self.backend, store)
            if results:
                from recbole_lecdsr.llm.backends.openai_batch import read_results

                outcomes = read_results(results)
                if strange := job.take(outcomes):
                    logger.warning(
                        "%d of %d rows of the result files answer nothing that is asked now, since it is answered "
                        "already, or template, model, settings or data are others; they are left out",
                        strange, len(outcomes),
                    )  # fmt: skip
            outcome = job.run(show_progress)
        last = self.template.stages[-1]
        return self._write(
            {self.subjects.tokens[i]: fields_of(last, answer, self.field) for i, answer in outcome.answers.items()},
            outcome,
        )

    def _store(self) -> Store:
        self.folder.mkdir(parents=True, exist_ok=True)
        return Store(self.folder / STORE)

    # ------------------------------------------------------------------ what is written

    def _write(self, texts: dict[str, dict[str, str]], outcome: Outcome) -> dict[str, object]:
        summary: dict[str, object] = {}
        source = self.settings.model if self.template else "history"
        if texts:
            with write_whole(self.output) as file:
                for token, fields in texts.items():
                    if self.of == "users" and self.field not in fields:
                        fields = {self.field: " ".join(fields.values())}
                    row = {self.id_field: token, **fields, "source": source}
                    file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace").decode() + "\n")
            with write_whole(sidecar(self.output)) as file:
                json.dump(self._origin(len(texts), outcome), file, indent=2)
                file.write("\n")
            summary[self.of] = f"{len(texts):,} of {len(self.subjects.tokens):,}, in {self.output}"
        else:
            summary[self.of] = f"0 of {len(self.subjects.tokens):,}; nothing is written"
        if asked := sum(outcome.counts.values()):
            summary["answers"] = ", ".join(f"{count:,} {status}" for status, count in outcome.counts.most_common())
            logger.info("%d requests: %s", asked, summary["answers"])
        if outcome.tokens_in or outcome.tokens_out:
            summary["tokens"] = f"{outcome.tokens_in:,} in, {outcome.tokens_out:,} out"
        self._report(outcome.lost, summary)
        written = getattr(self.backend, "written", [])
        if written:
            files = ", ".join(map(str, written))
            summary["requests"] = f"in {files}: have them answered, then run again with --results"
        if outcome.waiting:
            summary["waiting"] = f"{outcome.waiting:,} {self.of}"
        return summary

    def _report(self, lost: Sequence[FailedSubject], summary: dict[str, object]) -> None:
        path = self.output.with_name(f"{self.output.stem}.failed.jsonl")
        if not lost:
            path.unlink(missing_ok=True)
            return
        with write_whole(path) as file:
            for one in lost:
                row = {self.id_field: one.token, "stage": one.stage, "part": one.part, "reason": one.reason,
                       "attempts": one.attempts, "answer": one.answer}  # fmt: skip
                file.write(json.dumps({name: value for name, value in row.items() if value not in ("", None)}) + "\n")
        reasons: dict[str, int] = {}
        for one in lost:
            reasons[one.reason] = reasons.get(one.reason, 0) + 1
        told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items(), key=lambda r: -r[1])[:5])
        summary["without answer"] = f"{len(lost):,} {self.of} ({told}), listed in {path}"

    def _origin(self, rows: int, outcome: Outcome) -> dict[str, object]:
        config, settings = self.dataset.config, self.settings
        asked = {}
        if self.template:
            asked = {"prompt": self.template.name, "template": self.template.digest, "sampling": settings.sampling}
        split = {}
        if self.of == "users":
            split = {
                "max_history_tokens": settings.max_history_tokens, "event_text": list(settings.event_text),
                "split": config["eval_args"]["split"], "benchmark_filename": config["benchmark_filename"],
                "events": self.dataset.log.digest,
            }  # fmt: skip
        return {
            "made_by": MADE_BY, "backend": settings.backend, "model": settings.model if self.template else None,
            **asked, **split, "date": datetime.now(timezone.utc).date().isoformat(),
            "rows": rows, "of": len(self.subjects.tokens), "lost": len(outcome.lost), "waiting": outcome.waiting,
        }  # fmt: skip
