"""The front of accuracy against cost, and the order by it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.small_data import SPACE

from resnas_deploy.searching.candidate import Candidate, Score
from resnas_deploy.searching.pareto import best_first, front

scores = st.lists(st.tuples(st.integers(0, 10), st.integers(1, 9), st.booleans()), min_size=1, max_size=12)


def candidates(rows):
    subnet = SPACE.widest()
    return [
        Candidate(subnet, Score(right, 10, stopped), (float(cost),), number)
        for number, (right, cost, stopped) in enumerate(rows)
    ]


@given(scores)
def test_the_front_is_what_nothing_beats(rows):
    found = candidates(rows)
    whole = [item for item in found if not item.score.stopped]
    line = front(found)
    for item in whole:
        better = [
            other for other in line if other.costs[0] <= item.costs[0] and other.score.accuracy >= item.score.accuracy
        ]
        assert better  # something on the line is at least as good
    for one in line:
        assert not any(other.costs[0] <= one.costs[0] and other.score.accuracy > one.score.accuracy for other in whole)
    assert sorted(map(id, best_first(found))) == sorted(map(id, found))
