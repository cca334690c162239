"""The ``profile`` command: texts of a language model about the users or the items of a data set."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.embeddings.provenance import DIGEST, content_digest, read_provenance
from recbole_lecdsr.data.splitting import describe_split
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole
from recbole_lecdsr.llm.backends.base import Backend
from recbole_lecdsr.llm.backends.redaction import redact_parameters, refuse_secret_parameters
from recbole_lecdsr.llm.file_group import disk_errors_reported, write_together
from recbole_lecdsr.llm.generation.answer_checks import FieldText, answer_fields
from recbole_lecdsr.llm.generation.answer_store import AnswerStore
from recbole_lecdsr.llm.generation.history_text import estimate_tokens
from recbole_lecdsr.llm.generation.job import GenerationJob
from recbole_lecdsr.llm.generation.job_result import FailedSubject, JobPreview, JobResult
from recbole_lecdsr.llm.generation.prompt_source import PromptSource
from recbole_lecdsr.llm.generation.prompt_template import PromptTemplate, Stage, SubjectKind, read_template
from recbole_lecdsr.llm.json_lines import encode_json_line, replace_half_surrogates
from recbole_lecdsr.llm.settings import LLMSettings
from recbole_lecdsr.llm.text_sources import MADE_BY_PROFILE, ItemFields, UserHistories

if TYPE_CHECKING:
    from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset

logger = logging.getLogger(__name__)

ANSWER_STORE_FILE = "answers.jsonl"
_N_REASONS = 5  # reasons for missing answers that the summary shows


@dataclass(frozen=True)
class ProfileReport:
    """What a run of the profiler has done.

    Attributes:
        subjects: what there is a text about, in a word: ``users``, ``items``, or ``profiles`` where a user may have
            several.
        written: how many have a text, in ``output``; 0 if that was not written.
        total: how many there are.
        output: the file of texts.
        result: of the generation job; None where no language model was used.
        failure_file: lists those without a valid answer; None if there are none.
        request_files: batch files to have answered.
    """

    subjects: str
    written: int
    total: int
    output: Path
    result: JobResult | None = None
    failure_file: Path | None = None
    request_files: Sequence[Path] = ()

    @property
    def has_failed(self) -> bool:
        """Whether questions were asked and there is no text."""
        return self.written == 0 and self.result is not None and bool(self.result.failed)

    def summary(self) -> dict[str, str]:
        """The report as text, by what each entry is about."""
        target = f", in {self.output}" if self.written else "; nothing is written"
        lines: dict[str, str] = {self.subjects: f"{self.written:,} of {self.total:,}{target}"}
        result = self.result or JobResult({})
        if result.counts:
            lines["answers"] = format_counts(result.counts)
        if result.tokens_in or result.tokens_out:
            lines["tokens"] = f"{result.tokens_in:,} in, {result.tokens_out:,} out"
        if result.failed:
            reasons = format_counts(dict(Counter(one.reason for one in result.failed).most_common(_N_REASONS)))
            lines["without answer"] = (
                f"{len(result.failed):,} {self.subjects} ({reasons}), listed in {self.failure_file}"
            )
        if self.request_files:
            files = ", ".join(map(str, self.request_files))
            lines["requests"] = f"in {files}: have them answered, then run again with --results"
        if result.waiting:
            lines["waiting"] = f"{result.waiting:,} {self.subjects}"
        return lines


class Profiler:
    """Generates texts about the users or the items of a data set.

    A prompt about a user contains the **training** interactions of the split in use, with ``as_of`` the first ones of
    these; a prompt about an item the fields of that item.

    Args:
        dataset: the data set; ``llm`` in its configuration selects model and template.
        kind: ``users`` or ``items``.

    Attributes:
        source: the users or items, and the texts of their prompts.
        subjects: what there is a text about, in a word, as in `ProfileReport`.
        template, backend: None for ``llm.backend: history``, which uses no language model.
        output: the file that `run` writes.

    Raises:
        UserError: settings that contradict each other, or that hold a key; a template or a model that cannot be loaded;
            a data set without training interactions or texts.
    """

    template: PromptTemplate | None
    backend: Backend | None
    source: PromptSource

    def __init__(self, dataset: CrossDomainSequentialDataset, kind: SubjectKind = "users"):
        config = dataset.config
        self.dataset, self.kind = dataset, kind
        refuse_secret_parameters("llm", config["llm"])
        self.settings = LLMSettings(**config["llm"])
        self.folder = Path(config["pair_path"])
        self.output = self.folder / self._output_name()
        shares = config["as_of"] if kind == "users" else None
        self.subjects: str = kind if shares is None else "profiles"
        self.id_field, self.text_field = ("user_id", "profile") if kind == "users" else ("item_id", "description")
        count_tokens = estimate_tokens
        if self.settings.backend == "history":
            if kind == "items":
                raise UserError(
                    "llm.backend history writes the histories of users. Without a language model, items need no "
                    "texts of their own: embed reads their fields as they are"
                )
            self.template = self.backend = None
        else:
            if self.settings.model is None:
                raise UserError(
                    f"llm.model is not set, which llm.backend {self.settings.backend} requires: give --llm.model=NAME, "
                    "or use no language model with --llm.backend=history"
                )
            if kind == "users":
                names = [dataset.names[domain] for domain in DOMAINS]
                self.template = read_template(self.settings.prompt, kind, names)
            else:
                self.template = read_template(self.settings.item_prompt, kind)
            self.backend = self._build_backend()
            count_tokens = self.backend.count_tokens
        if kind == "users":
            self.source = UserHistories(dataset, self.settings, count_tokens, shares)
        else:
            self.source = ItemFields(dataset)
        if not self.source.subjects:
            missing = "no training interactions" if kind == "users" else "no item has a text in .item or items.jsonl"
            raise UserError(f"there is nothing to ask about the {kind}: {missing}")

    def preview(self) -> JobPreview:
        """What `run` would ask, without asking."""
        if self.template is None or self.backend is None:
            return JobPreview(len(self.source.subjects))
        with ExitStack() as stack:
            path = self.folder / ANSWER_STORE_FILE
            if not path.exists():
                path = Path(stack.enter_context(TemporaryDirectory())) / ANSWER_STORE_FILE
            store = stack.enter_context(AnswerStore(path))
            return self._job(self.template, self.backend, store).preview()

    def run(self, results: Sequence[str | Path] = (), show_progress: bool = False) -> ProfileReport:
        """Ask for the missing answers and write the texts.

        Args:
            results: result files of a Batch API.
            show_progress: show a bar.

        Raises:
            UserError: an output file that the ``profile`` command has not written or that was changed since; malformed
                result files; an error of the back end that would affect every further request (the answers so far are
                stored).
        """
        self._require_overwritable()
        if self.template is None or self.backend is None:
            return self._write_histories()
        if results and self.settings.backend != "batch":
            raise UserError("--results takes result files of a Batch API: give --llm.backend=batch as for the requests")
        with disk_errors_reported():
            self.folder.mkdir(parents=True, exist_ok=True)
        with AnswerStore(self.folder / ANSWER_STORE_FILE) as store:
            job = self._job(self.template, self.backend, store)
            if results:
                _store_results(job, results)
            result = job.run(show_progress)
        if result.counts:
            logger.info("%d requests: %s", sum(result.counts.values()), format_counts(result.counts))
        last = self.template.stages[-1]
        texts = {index: answer_fields(last, answer, self.text_field) for index, answer in result.answers.items()}
        return self._write(texts, result)

    def _job(self, template: PromptTemplate, backend: Backend, store: AnswerStore) -> GenerationJob:
        return GenerationJob(self.source, template, settings=self.settings, backend=backend, store=store)

    def _output_name(self) -> str:
        if self.kind == "items":
            return str(self.dataset.config["item_file"])
        names: list[str] = self.dataset.config["profile_file"]
        if len(names) > 1:
            raise UserError(
                f"profile_file names {len(names)} files, {', '.join(names)}, and `profile` writes one: give "
                f"--profile_file={names[0]}"
            )
        return names[0]

    def _build_backend(self) -> Backend:
        """The back end that the settings select; each is imported only if it is used."""
        if self.settings.backend == "openai":
            from recbole_lecdsr.llm.backends.openai_chat import OpenAIChat

            return OpenAIChat(self.settings)
        if self.settings.backend == "batch":
            from recbole_lecdsr.llm.backends.openai_batch import OpenAIBatch

            return OpenAIBatch(self.settings, self.folder / f"batch-{self.kind}")
        from recbole_lecdsr.llm.backends.transformers_local import TransformersModel

        return TransformersModel(self.settings, str(self.dataset.config["device"]))

    # ------------------------------------------------------------------ output files

    def _require_overwritable(self) -> None:
        """Refuse to overwrite a file that `profile` has not written, or that was changed since."""
        if not self.output.exists():
            return
        option = "profile_file" if self.kind == "users" else "item_file"
        remedy = f"is not overwritten: move it away, or write another file with --{option}=NAME.jsonl"
        provenance = read_provenance(self.output)
        if provenance.get("made_by") != MADE_BY_PROFILE:
            raise UserError(f"{self.output} was not made by `profile` and {remedy}")
        digests = [provenance[name] for name in (DIGEST, "replaces") if name in provenance]
        if digests and content_digest(self.output) not in digests:
            raise UserError(f"{self.output} was changed since `profile` wrote it and {remedy}")

    def _write_histories(self) -> ProfileReport:
        """Write the formatted histories themselves as the texts of the users."""
        stage = Stage("history", "${history}")
        texts: dict[int, dict[str, FieldText]] = {
            index: {self.text_field: self.source.parts(index, stage)[0].values["history"]}
            for index in range(len(self.source.subjects))
        }
        return self._write(texts, None)

    def _write(self, texts: Mapping[int, Mapping[str, FieldText]], result: JobResult | None) -> ProfileReport:
        if texts:
            source = "history" if result is None else self.settings.model
            provenance = self._provenance(len(texts), result)
            if self.output.exists():
                # After a crash, identifies the file that the sidecar's own file had not replaced yet.
                provenance["replaces"] = content_digest(self.output)
            with write_together() as group:
                file = group.open(self.output, provenance)
                for index, fields in texts.items():
                    subject = _identify(self.id_field, *self.source.subjects[index])
                    fields = {name: _encodable(text) for name, text in fields.items()}
                    file.write(encode_json_line({**subject, **fields, "source": source}))
        return ProfileReport(
            self.subjects,
            written=len(texts),
            total=len(self.source.subjects),
            output=self.output,
            result=result,
            failure_file=self._write_failures(result.failed if result else ()),
            request_files=tuple(self.backend.request_files) if self.backend else (),
        )

    def _write_failures(self, failures: Sequence[FailedSubject]) -> Path | None:
        """List those without a valid answer; an outdated list is deleted."""
        path = self.output.with_name(f"{self.output.stem}.failed.jsonl")
        if not failures:
            path.unlink(missing_ok=True)
            return None
        with disk_errors_reported(), write_whole(path) as file:
            for failure in failures:
                fields = asdict(failure)
                row = {**_identify(self.id_field, fields.pop("token"), fields.pop("events")), **fields}
                file.write(json.dumps({name: value for name, value in row.items() if value not in ("", None)}) + "\n")
        return path

    def _provenance(self, rows: int, result: JobResult | None) -> dict[str, object]:
        """What the texts were made of; the content of the sidecar."""
        config, settings = self.dataset.config, self.settings
        request: dict[str, object] = {}
        if self.template:
            request = {"prompt": self.template.name, "template": self.template.digest, "sampling": settings.sampling}
        history: dict[str, object] = {}
        if self.kind == "users":
            history = {
                "max_history_tokens": settings.max_history_tokens, "event_text": list(settings.event_text),
                **describe_split(config), "events": self.dataset.log.digest,
            }  # fmt: skip
            if config["as_of"] is not None:
                history["as_of"] = list(config["as_of"])
        provenance = {
            "made_by": MADE_BY_PROFILE, "backend": settings.backend,
            "model": settings.model if self.template else None, **request, **history,
            "date": datetime.now(timezone.utc).date().isoformat(), "rows": rows, "of": len(self.source.subjects),
            "lost": len(result.failed) if result else 0, "waiting": result.waiting if result else 0,
        }  # fmt: skip
        return redact_parameters(provenance)


def _identify(id_field: str, token: str, events: int | None) -> dict[str, object]:
    """The fields of an output line that say which subject it is about."""
    return {id_field: token} if events is None else {id_field: token, "events": events}


def _encodable(text: FieldText) -> FieldText:
    return replace_half_surrogates(text) if isinstance(text, str) else [replace_half_surrogates(one) for one in text]


def format_counts(counts: Mapping[str, int]) -> str:
    """Counts as text.

    Example:
        >>> format_counts({"valid": 1200, "empty": 3})
        '1,200 valid, 3 empty'
    """
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _store_results(job: GenerationJob, paths: Sequence[str | Path]) -> None:
    from recbole_lecdsr.llm.backends.openai_batch import read_results

    outcomes = read_results(paths)
    if ignored := job.store_results(outcomes):
        logger.warning(
            "%d of %d rows of the result files are ignored: their questions are answered already, or template, model, "
            "settings or data have changed since",
            ignored, len(outcomes),
        )  # fmt: skip
