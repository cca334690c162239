"""Users for generation jobs that need no data set."""

from __future__ import annotations

from pathlib import Path

from recbole_lecdsr.llm.backends.openai_chat import OpenAIChat
from recbole_lecdsr.llm.generation.answer_store import AnswerStore
from recbole_lecdsr.llm.generation.job import GenerationJob
from recbole_lecdsr.llm.generation.prompt_source import PromptPart, Subject
from recbole_lecdsr.llm.generation.prompt_template import PromptTemplate, Stage
from recbole_lecdsr.llm.settings import LLMSettings

ONE_STAGE = PromptTemplate("one", "Be brief.", (Stage("profile", "Who? ${history}", max_words=20),), "0" * 16)
TWO_STAGES = PromptTemplate(
    "two", "",
    (Stage("domain", "In ${domain}: ${history}", each="domain"), Stage("profile", "Of these: ${answers}")), "1" * 16,
)  # fmt: skip


class FakeUsers:
    """N users, each with a different history in one or two domains."""

    def __init__(self, count: int, domains: tuple[str, ...] = ("books", "films")):
        self.subjects = [Subject(f"u{number}") for number in range(count)]
        self.domains = domains

    def parts(self, index: int, stage: Stage) -> list[PromptPart]:
        text = f"1. what u{index} chose"
        if stage.each is None:
            return [PromptPart("", {"history": text, "domain": "", "domains": ""})]
        own_domains = self.domains[: 1 + index % len(self.domains)]
        return [PromptPart(name, {"history": text, "domain": name, "domains": ""}) for name in own_domains]


def profile_fake_users(path: Path, count: int, **settings: object) -> dict[int, str]:
    """The answers of the server that the environment names about `FakeUsers`, kept in a store at ``path``."""
    values = {"model": "m", "concurrency": 32, "attempts": 8, "max_retries": 12, "timeout": 2, **settings}
    llm = LLMSettings(**values)
    with AnswerStore(path) as store:
        job = GenerationJob(FakeUsers(count), ONE_STAGE, settings=llm, backend=OpenAIChat(llm), store=store)
        return dict(job.run().answers)
