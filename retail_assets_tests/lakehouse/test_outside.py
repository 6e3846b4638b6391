"""What lies outside is waited for so long and no longer, and people are told what is waited for."""

import logging
import threading
import time

import pytest

from retail_assets.lakehouse import outside
from retail_assets.lakehouse.outside import NoAnswer, Outside


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Outside:
    monkeypatch.setattr(outside, "TOLD_AFTER", 0.01)
    return Outside("The clock tower", 0.2, "Wind it up.")


def test_answers_and_errors_come_through_from_one_thread(server):
    first, second = (server.call("say its thread", threading.get_ident) for _ in range(2))
    assert first == second != threading.get_ident()
    with pytest.raises(KeyError, match="its own"):
        server.call("look", lambda: dict[str, int]()["its own"])
    assert server.call("strike", lambda: 12) == 12


def test_what_is_waited_for_is_told_and_no_call_is_waited_for_beyond_its_limit(server, caplog):
    never = threading.Event()
    with caplog.at_level(logging.WARNING), pytest.raises(NoAnswer) as raised:
        server.call("strike twelve", never.wait)
    assert caplog.messages == ["Waiting for The clock tower to strike twelve, for 0 s at most."]
    assert str(raised.value) == ("The clock tower did not answer within 0 s, when it was to strike twelve. Wind it up.")
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="strike twelve"):  # not asked again, and said what it was first asked
        server.call("strike one", lambda: 1, seconds=3600)
    assert time.monotonic() - began < 60
    never.set()


def test_what_answers_late_but_in_time_is_told_and_answers(server, caplog):
    def strike() -> int:
        time.sleep(0.1)
        return 3

    with caplog.at_level(logging.WARNING):
        assert server.call("strike", strike, seconds=60) == 3
    assert caplog.messages == ["Waiting for The clock tower to strike, for 60 s at most."]
    assert not server.lost
