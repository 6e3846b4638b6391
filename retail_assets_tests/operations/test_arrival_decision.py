"""What the arrival sensor asks for, without a landing zone, an event log or a run: every day ends up as it was
delivered, nothing is made twice, whatever happens in between."""

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from retail_assets.operations.arrival import Ingested, state
from retail_assets.operations.arrival_decision import Asked, Known, Look, Memory, Rules, decide, to_compare

RULES = Rules("raw_invoices", days_per_run=3, runs_at_once=2, compared_at_once=2)
BROKEN = "broken"
"""Content that no run can ingest."""


def day(number: int) -> str:
    return f"2011-01-{number:02}"


@dataclass
class Shop:
    """A landing zone, a table and runs, in a few mappings; and the sensor's cursor."""

    rules: Rules = RULES
    partitions: list[str] = field(default_factory=lambda: [day(number) for number in range(1, 11)])
    drops: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Day -> the name and the content of its drop."""
    table: dict[str, Ingested] = field(default_factory=dict)
    newest: int = 0
    under_way: dict[str, Asked] = field(default_factory=dict)
    launched: dict[str, str] = field(default_factory=dict)
    """Run key -> the run: Dagster makes no second one."""
    cursor: str | None = None
    gone: dict[str, int] = field(default_factory=dict)
    """The days that the table has lost, with the number of their making."""
    compared: list[str] = field(default_factory=list)
    """The days whose drops were read at the last tick."""

    def fingerprints(self, of: str) -> list[str]:
        return [":".join(self.drops[of])] if of in self.drops else []

    def contents(self, of: str) -> list[str] | None:
        found = [self.drops[of][1]] if of in self.drops else []
        return None if BROKEN in found else found

    def look(self) -> Look:
        states = {of: state(self.fingerprints(of)) for of in self.drops if of in self.partitions}
        runs = {run: (asked.days[0], asked.days[-1]) for run, asked in self.under_way.items()}
        return Look(states, self.partitions, runs, self.newest, self.gone)

    def tick(self, made: bool = True, kept: bool = True) -> list[str]:
        """The days that are asked for; a kill may come before the runs are `made`, or before the cursor is `kept`."""
        memory = Memory.read(self.cursor)
        if memory.after is None:
            memory = replace(memory, after=str(len(self.launched)))
        memory, look = memory.without(memory.requested.keys() - self.launched.keys()), self.look()
        asked: list[Asked] = []
        self.compared = []
        if memory.mark != look.mark:
            known = Known(self.table.keys(), self.table)
            self.compared = to_compare(memory, look, known, self.rules)
            contents = {of: self.contents(of) for of in self.compared}
            memory, asked = decide(memory, replace(look, contents=contents), known, self.rules)
        if kept:
            self.cursor = memory.cursor()
        for run in asked if made else []:
            self.launch(run)
        return [of for run in asked for of in run.days]

    def launch(self, asked: Asked) -> None:
        if asked.key not in self.launched:
            run_id = f"run {len(self.launched)}"
            self.launched[asked.key] = run_id
            self.under_way[run_id] = asked

    def end(self, run_id: str, well: bool = True) -> None:
        """Makes the days of the run, but those that cannot be read."""
        for of in self.under_way.pop(run_id).days:
            found = self.contents(of)
            if well and found is not None:
                self.newest += 1
                self.gone.pop(of, None)
                self.table[of] = Ingested(self.fingerprints(of), found)

    def settle(self) -> list[str]:
        """Ticks, and ends every run, until nothing more is asked for."""
        asked = []
        for _ in range(2 * len(self.partitions)):
            asked += self.tick()
            for run_id in list(self.under_way):
                self.end(run_id)
        assert self.tick() == []
        return asked


def test_drops_that_were_only_touched_are_read_a_few_at_a_tick_and_left_alone():
    shop = Shop(drops={day(number): ("drop", "rows") for number in range(1, 8)})
    shop.settle()
    shop.drops = {of: ("touched", content) for of, (_, content) in shop.drops.items()}
    read = []
    for _ in range(6):
        assert shop.tick() == []
        read.append(shop.compared)
    assert read == [[], [day(1), day(2)], [day(3), day(4)], [day(5), day(6)], [day(7)], []]
    assert Memory.read(shop.cursor).unchanged.keys() == shop.drops.keys()


def test_days_that_the_calendar_no_longer_has_keep_no_other_from_being_looked_at():
    shop = Shop(drops={day(number): ("drop", "rows") for number in range(1, 8)})
    shop.settle()
    shop.partitions = shop.partitions[4:]
    shop.drops[day(7)] = ("drop", "corrected")
    assert shop.settle() == [day(7)]


def test_days_that_cannot_be_made_keep_no_other_from_being_looked_at():
    shop = Shop(drops={day(number): ("drop", "rows") for number in range(1, 8)})
    shop.settle()
    shop.drops |= {day(number): ("drop", BROKEN) for number in range(1, 6)}
    shop.drops[day(7)] = ("drop", "corrected")
    assert shop.settle() == [day(1), day(2), day(3), day(4), day(5), day(7)]
    shop.drops[day(3)] = ("drop", "mended")
    assert shop.settle() == [day(3)]


def test_what_failed_is_asked_for_again_as_often_as_the_memory_is_lost_and_each_time_in_a_run_of_its_own():
    shop = Shop(drops={day(1): ("drop", BROKEN)})
    for times in (1, 2, 3):
        assert shop.settle() == [day(1)]
        assert len(shop.launched) == times
        shop.cursor = None


def test_a_drop_that_is_as_it_was_once_before_is_made_again():
    shop = Shop()
    for content in ("rows", "corrected", "rows"):
        shop.drops[day(1)] = ("drop", content)
        shop.settle()
        assert shop.table[day(1)].contents == [content]


def test_a_drop_that_changes_while_its_day_is_made_is_asked_for_once_that_has_ended():
    shop = Shop(drops={day(1): ("drop", "rows")})
    assert [shop.tick(), shop.tick()] == [[], [day(1)]]
    shop.drops[day(1)] = ("drop", "corrected")
    assert [shop.tick(), shop.tick()] == [[], []]
    for run_id in list(shop.under_way):
        shop.end(run_id, well=False)
    assert shop.settle() == [day(1)]


def test_a_day_that_the_table_has_lost_is_asked_for_as_often_as_it_is_lost():
    shop = Shop(drops={day(1): ("drop", "rows"), day(2): ("drop", "rows")})
    shop.settle()
    for _ in range(3):
        shop.gone = {day(2): shop.newest}
        assert shop.tick() == [day(2)]
        assert shop.tick() == []
        for run_id in list(shop.under_way):
            shop.end(run_id)
    shop.gone = {day(2): shop.newest}
    assert shop.tick() == [day(2)]
    (run_id,) = shop.under_way
    shop.end(run_id, well=False)
    assert [shop.tick(), shop.tick()] == [[], []]


def test_a_drop_that_says_itself_that_it_is_complete_is_asked_for_at_the_first_look():
    shop = Shop(rules=replace(RULES, marked=True), drops={day(2): ("drop", "rows")})
    assert shop.tick() == [day(1), day(2)]


def test_a_cursor_of_another_kind_is_none():
    for cursor in (None, "", "run 7", '{"unknown": 1}', "[]"):
        assert Memory.read(cursor) == Memory()


# Everything at once --------------------------------------------------------------------------------------------------

DAYS = st.sampled_from([day(number) for number in (1, 2, 3, 6)])
"""Few, so that much happens to each; the calendar has others."""
NAMES, CONTENTS = st.sampled_from(["drop", "again"]), st.sampled_from(["rows", "corrected", BROKEN])
STEPS = st.one_of(
    st.tuples(st.just("drop"), DAYS, st.tuples(NAMES, CONTENTS)),
    st.tuples(st.just("remove"), DAYS, st.none()),
    st.tuples(st.just("tick"), st.none(), st.sampled_from(["whole", "without runs", "without cursor"])),
    st.tuples(st.just("tick"), st.none(), st.just("whole")),
    st.tuples(st.just("tick"), st.none(), st.just("whole")),
    st.tuples(st.just("end"), st.integers(0, 1), st.booleans()),
    st.tuples(st.just("lose"), st.none(), st.none()),
    st.tuples(st.just("calendar"), st.integers(0, 2), st.none()),
)


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(STEPS, max_size=60), marked=st.booleans())
def test_whatever_happens_every_day_is_made_as_it_was_delivered_once_and_no_other(steps, marked):
    shop = Shop(rules=replace(RULES, marked=marked))
    looked_at: set[tuple[str, str]] = set()
    failed: set[tuple[str, str]] = set()
    for step, which, what in steps:
        if step == "drop":
            shop.drops[which] = what
        elif step == "remove":
            shop.drops.pop(which, None)
        elif step == "end" and shop.under_way:
            run_id = sorted(shop.under_way)[which % len(shop.under_way)]
            failed |= set() if what else {(of, shop.look().state(of)) for of in shop.under_way[run_id].days}
            shop.end(run_id, well=what)
        elif step == "lose":
            shop.cursor = None
        elif step == "calendar":
            shop.partitions = shop_days()[which:]
        elif step == "tick":
            before, look = dict(shop.under_way), shop.look()
            asked = shop.tick(made=what != "without runs", kept=what != "without cursor")
            under_way = [of for run in before.values() for of in run.days]
            assert not {*asked} & {*under_way}, "made twice at once"
            assert len(asked) == len(set(asked))
            assert len(shop.under_way) <= shop.rules.runs_at_once
            assert len(shop.compared) <= shop.rules.compared_at_once
            for of in asked:
                assert of not in shop.table or shop.table[of].contents != shop.contents(of), "made anew without need"
                assert marked or of not in shop.drops or (of, look.state(of)) in looked_at, "made half written"
            looked_at |= {(of, look.state(of)) for of in shop.drops}
    shop.settle()
    for of in shop.drops.keys() & shop.partitions:
        if shop.contents(of) is not None and (of, shop.look().state(of)) not in failed:
            assert shop.table[of].contents == shop.contents(of)
    for of in shop.partitions:
        if (
            of < max(shop.look().states, default="")
            and of not in shop.drops
            and (of, shop.look().state(of)) not in failed
        ):
            assert shop.table[of].contents == []


@settings(max_examples=100, deadline=None)
@given(broken=st.sets(DAYS, min_size=1), looks=st.integers(1, 5))
def test_a_day_that_failed_is_asked_for_once_and_again_when_its_drop_changes(broken, looks):
    shop = Shop(drops={of: ("drop", BROKEN if of in broken else "rows") for of in shop_days()})
    asked = shop.settle()
    assert sorted(asked) == shop_days()
    for _ in range(looks):
        assert shop.tick() == []
    shop.drops |= dict.fromkeys(broken, ("drop", "mended"))
    assert sorted(shop.settle()) == sorted(broken)
    assert shop.settle() == []


def shop_days() -> list[str]:
    return [day(number) for number in range(1, 11)]
