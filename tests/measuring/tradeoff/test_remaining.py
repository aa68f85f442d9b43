"""How long a comparison still takes, by a clock of the test's."""

from __future__ import annotations

from resnas_deploy.measuring.tradeoff.remaining import Remaining


def test_it_is_told_from_the_second_round_on_and_then_by_the_parts_that_are_done():
    now, told = [100.0], []
    remaining = Remaining(4, 3, clock=lambda: now[0])
    first = remaining.telling(0, told.append)

    def at(seconds, tell, text):
        now[0] = 100.0 + seconds
        tell(text)
        return told[-1]

    assert at(0, first, "loading a network") == "part 1 of 4: loading a network"
    assert at(20, first, "warm-up, 0 of 2") == "part 1 of 4: warm-up, 0 of 2"
    # A round takes 10 s, a part 20 + 5 * 10, and 30 s are gone.
    assert at(30, first, "warm-up, 1 of 2") == "part 1 of 4, about 4 minutes left: warm-up, 1 of 2"
    assert at(200, first, "round 3 of 3") == "part 1 of 4, about 80 s left: round 3 of 3"
    second = remaining.telling(1, told.append)
    # The first part took 240 s: three more of them.
    assert at(240, second, "loading") == "part 2 of 4, about 12 minutes left: loading"
    assert at(300, second, "warm-up, 0 of 2") == "part 2 of 4, about 11 minutes left: warm-up, 0 of 2"
    assert at(2000, second, "round") == "part 2 of 4, about 0 s left: round"
