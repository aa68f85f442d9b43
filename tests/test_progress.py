from __future__ import annotations

import pickle

from resnas_deploy.progress import Counted, counted, headed, part, within


def facts(text):
    return str(text), text.stage, text.done, text.total


def test_a_heading():
    told = []
    headed("opening 1 of 2, ", told.append)("round 3")
    assert told == ["opening 1 of 2, round 3"]


def test_what_is_counted_is_a_text_as_any_other():
    text = counted("calibrating", 16, 64, "images")
    assert text == "calibrating: 16/64 images"
    assert (text.stage, text.done, text.total, text.unit) == ("calibrating", 16, 64, "images")


def test_what_is_counted_goes_from_process_to_process():
    text = counted("calibrating", 16, 64, "images")
    assert vars(pickle.loads(pickle.dumps(text))) == vars(text)


def test_what_is_counted_stays_so_after_a_heading():
    told = []
    headed("finalist 1: ", told.append)(counted("calibrating", 16, 64, "images"))
    assert facts(told[0]) == ("finalist 1: calibrating: 16/64 images", "finalist 1: calibrating", 16, 64)
    assert told[0].unit == "images"


def test_a_part_counts_towards_the_whole():
    told = []
    hear = part(1, 4, "opening", told.append, counts="rounds")
    hear("loading")
    hear(Counted("round 3 of 4", 2, 4, stage="rounds"))
    hear("energy")  # how far it is stays known
    hear(counted("calibrating", 60, 64, "images"))  # which is another stage
    assert [facts(text) for text in told] == [
        ("opening 2 of 4, loading", "opening", 1, 4),
        ("opening 2 of 4, round 3 of 4", "opening", 1.5, 4),
        ("opening 2 of 4, energy", "opening", 1.5, 4),
        ("opening 2 of 4, calibrating: 60/64 images", "opening", 1.5, 4),
    ]


def test_a_group_counts_for_as_many_as_it_has():
    told = []
    within(4, 20, "4 of 20: ", told.append, stage="networks", counts="rounds", size=4)(
        Counted("", 1, 2, stage="rounds")
    )
    assert facts(told[0]) == ("4 of 20: ", "networks", 6, 20)
