"""Histories of users whom the model has never seen: tokens come in, an event log goes out.

The users' id is 0, padding: they have no profile, and a model that represents users by their ids alone cannot
personalise its recommendations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from recbole_lecdsr.data.constants import TRAIN
from recbole_lecdsr.data.event_log import EventLog, build_event_log
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.recommend.vocabulary import ItemVocabulary

# (domain, item token) or (domain, item token, time); a domain by its name, or as source or target.
Interaction = tuple[str, str] | tuple[str, str, float]

_MAX_ERRORS = 5  # interactions that one error names


@dataclass(frozen=True)
class TimeScale:
    """Relative time of any moment: the share of training interactions that are no later (`EventLog.relative_time`).

    Attributes:
        time: (T,) float64, ascending; the share changes at these times only.
        share: (T,) float32, from each of them on.
    """

    time: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, log: EventLog) -> TimeScale:
        """The scale that the interactions of a log have."""
        time, index = np.unique(log.time, return_index=True)
        return cls(time, log.relative_time[index])

    def relative(self, time: np.ndarray) -> np.ndarray:
        """(E,) float64, in the unit of the training data -> (E,) float32 in [0, 1].

        >>> TimeScale(np.array([10.0, 20.0]), np.array([0.25, 1.0], np.float32)).relative(np.array([5, 10, 19, 30]))
        array([0.  , 0.25, 0.25, 1.  ], dtype=float32)
        """
        share = np.append(self.share, np.float32(0))  # index -1: before all
        relative: np.ndarray = share[np.searchsorted(self.time, time, side="right") - 1]
        return relative


@dataclass(frozen=True)
class Histories:
    """Histories of H users, one after the other.

    Attributes:
        item, domain: (E,) int64 item ids and domain codes.
        time: (E,) float64; NaN for an interaction without time.
        length: (H,) int64, interactions of each history, at least 1.
    """

    item: np.ndarray
    domain: np.ndarray
    time: np.ndarray
    length: np.ndarray

    def __len__(self) -> int:
        return len(self.length)

    @property
    def is_complete(self) -> bool:
        """Whether each history has interactions, and all of them a time or none."""
        if not self.length.all():
            return False
        number = np.repeat(np.arange(len(self)), self.length)
        timed = np.bincount(number, ~np.isnan(self.time), minlength=len(self))
        return bool(np.all((timed == 0) | (timed == self.length)))

    def split(self, size: int) -> Iterator[Histories]:
        """Parts of up to ``size`` histories."""
        end = np.r_[0, np.cumsum(self.length)]
        for start in range(0, len(self), size):
            length = self.length[start : start + size]
            rows = slice(end[start], end[start + len(length)])
            yield Histories(self.item[rows], self.domain[rows], self.time[rows], length)

    def to_log(self, scale: TimeScale) -> tuple[EventLog, np.ndarray]:
        """The histories as sequences of user 0.

        A history with times is sorted by them, at equal times the source domain first, as training sequences are; one
        without keeps its order and counts as being at the end of the data.

        Returns:
            the log, and (H,) int64, the index of the newest interaction of each history in it.
        """
        end = np.cumsum(self.length)
        number = np.repeat(np.arange(len(self)), self.length)
        has_time = ~np.isnan(self.time[end - 1])
        time = np.where(has_time[number], self.time, np.arange(len(number)))
        log = build_event_log(number, self.item, self.domain, time, ready_split=np.full(len(number), TRAIN))
        relative = np.where(has_time[number], scale.relative(log.time), np.float32(1))
        return replace(log, user=np.zeros_like(log.user), relative_time=relative), end - 1


def parse_histories(histories: Sequence[Sequence[Interaction]], vocabulary: ItemVocabulary) -> Histories:
    """Histories of tokens as ids.

    Args:
        histories: for each user the interactions, oldest first; all of a history with a time, or none.
        vocabulary: of the data that the model was trained on.

    Raises:
        UserError: a history that is empty or of another form, a domain or an item that is not in the data, a time that
            is no finite number.
    """
    try:
        found = _to_ids(histories, vocabulary)
    except (KeyError, TypeError, ValueError):
        found = None
    if found is None or not found.is_complete:
        raise UserError("\n".join(islice(_find_errors(histories, vocabulary), _MAX_ERRORS)))
    return found


def _to_ids(histories: Sequence[Sequence[Interaction]], vocabulary: ItemVocabulary) -> Histories:
    """As `parse_histories`, with errors that do not say where, and `Histories.is_complete` unchecked."""
    domains = vocabulary.items_of_domain
    items, codes, times = [], [], []
    for history in histories:
        for name, token, *time in history:
            code, ids = domains[name]
            items.append(ids[token])
            codes.append(code)
            if time:
                (moment,) = time
                times.append(_finite(moment))
            else:
                times.append(math.nan)
    length = np.array([len(history) for history in histories], dtype=np.int64)
    return Histories(np.array(items, np.int64), np.array(codes, np.int64), np.array(times, np.float64), length)


def _finite(time: object) -> float:
    """A time as a number.

    Raises:
        ValueError, TypeError: it is none, or not finite.
    """
    number = float(time)  # type: ignore[arg-type]  # what cannot be converted is a TypeError
    if not math.isfinite(number):
        raise ValueError(f"{time} is not finite")
    return number


def _find_errors(histories: Sequence[Sequence[Interaction]], vocabulary: ItemVocabulary) -> Iterator[str]:
    """What is wrong with histories, each with its place where there are several."""
    names = vocabulary.domain_names
    for number, history in enumerate(histories):
        place = f"history {number}: " if len(histories) > 1 else ""
        if isinstance(history, str) or not isinstance(history, Sequence):
            yield f"{place}{history!r} is no list of interactions: give such as [({names[0]!r}, 'ITEM')]"
            continue
        if not history:
            yield f"{place}the history is empty: give interactions such as {names[0]}:ITEM"
        has_time = set()
        for interaction in history:
            if error := _find_error(interaction, vocabulary):
                yield place + error
            else:
                has_time.add(len(interaction) == 3)
        if len(has_time) > 1:
            yield f"{place}some interactions have a time and others have none: give all of them one, or none"


def _find_error(interaction: Interaction, vocabulary: ItemVocabulary) -> str | None:
    """What is wrong with an interaction."""
    if isinstance(interaction, str) or not isinstance(interaction, Sequence) or len(interaction) not in (2, 3):
        return f"{interaction!r} is neither (domain, item token) nor (domain, item token, time)"
    name, token, *time = interaction
    if name not in vocabulary.items_of_domain or token not in vocabulary.items_of_domain[name][1]:
        return vocabulary.explain_unknown_item(str(name), str(token))
    try:
        _ = [_finite(moment) for moment in time]
    except (TypeError, ValueError):
        return f"{name}:{token}: the time {time[0]!r} is no finite number: give it in the unit of the training data"
    return None
