"""What a shop's events look like, as its description says in `[events]`. Knows no client of Kafka and no table."""

from dataclasses import dataclass

DROPS, EVENTS = "drops", "events"
"""Which of the two is the truth for a day that has both."""

ORDER_LINE, ORDER = "order_line", "order"
FORMS = (ORDER_LINE, ORDER)
"""A message is one invoice line, or an order with its items."""


@dataclass(frozen=True)
class EventForm:
    """The topic of a shop's events, and how its messages are read.

    `items`: the field of an order that holds its lines. `key`: the fields that tell what a message is about; of several
    messages of the same key and day the one of the highest `version` counts, a field that holds a number or a moment,
    and of the same version, or without one, the one that came last. Without a key every message counts.
    `truth`: of a day that has drops and events, those that are read; the others are compared with them.
    `quiet_seconds`: a day that events still come in for is left alone until none has come for so long. `late_seconds`:
    so long after midnight a day is closed, once every partition of the topic has gone beyond that or has been idle for
    `idle_seconds`.
    """

    topic: str
    form: str = ORDER_LINE
    items: str = "items"
    key: tuple[str, ...] = ()
    version: str | None = None
    truth: str = DROPS
    quiet_seconds: int = 120
    late_seconds: int = 900
    idle_seconds: int = 600
