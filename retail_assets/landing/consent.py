"""What `retail land` does not decide by itself: asked at a terminal, said by an option, or refused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retail_assets.landing.drop_reader import DropRefused

ASK = "ask"


@dataclass(frozen=True)
class Question:
    """What is to be decided, in a sentence of its own; the answers that let the landing go on, and the option that
    gives one beforehand."""

    about: str
    problem: str
    answers: tuple[str, ...]
    option: str


@dataclass(frozen=True)
class Consent:
    """The answers that were given beforehand, ASK where none was, and who can be asked.

    `other_drops`, of days that are landed: `replace` or `keep` them. `fewer_rows`: `replace` days that lose rows by it.
    `far_dates`: `keep` them as days of their own, or `set-aside`, which a few are without being asked about. `ask`
    returns one of the question's answers, or None to leave everything as it is.
    """

    other_drops: str = ASK
    fewer_rows: str = ASK
    far_dates: str = ASK
    ask: Callable[[Question], str | None] | None = None

    def answer(self, given: str, question: Question) -> str:
        """One of the question's answers. Raises DropRefused without one; nothing has changed then."""
        answer: str | None = given
        if given == ASK:
            answer = self.ask(question) if self.ask else None
        if answer is None:
            options = " or ".join(f"{question.option} {answer}" for answer in question.answers)
            raise DropRefused(question.about, question.problem, f"Nothing was changed; {options} lands the files.")
        return answer


NONE_GIVEN = Consent()
"""Nobody said anything beforehand, and nobody can be asked."""


def listed(names: Sequence[object], most: int = 5) -> str:
    """A few of them, and how many there are."""
    shown = ", ".join(str(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} … ({len(names):,} in all)"
