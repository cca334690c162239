"""Users of a job that need no data set."""

from __future__ import annotations

from recbole_lecdsr.llm.generation.prompt_template import PromptTemplate, Stage

ONE = PromptTemplate("one", "Be brief.", (Stage("profile", "Who? ${history}", max_words=20),), "0" * 16)
TWO = PromptTemplate(
    "two", "",
    (Stage("domain", "In ${domain}: ${history}", each="domain"), Stage("profile", "Of these: ${answers}")), "1" * 16,
)  # fmt: skip


class People:
    """N users, each with a history of its own in one or two domains."""

    def __init__(self, count: int, domains: tuple[str, ...] = ("books", "films")):
        self.tokens = [f"u{number}" for number in range(count)]
        self.domains = domains

    def parts(self, index: int, stage: Stage) -> list[tuple[str, dict[str, str]]]:
        text = f"1. what u{index} chose"
        if stage.each is None:
            return [("", {"history": text, "domain": "", "domains": ""})]
        own = self.domains[: 1 + index % len(self.domains)]
        return [(name, {"history": text, "domain": name, "domains": ""}) for name in own]
