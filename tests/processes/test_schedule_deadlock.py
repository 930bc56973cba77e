"""Who holds what and who can never go on, by values alone."""

from shmlab.processes.deadlock import Holders, find


def holders(*notes):
    found = Holders()
    for note in notes:
        found.note(*note)
    return found


def test_a_value_that_falls_is_taken_and_one_that_rises_given_back():
    seen = Holders()
    seen.note("A", {"x": 1}, {"x": 0})
    assert (seen.of("x"), seen.owned("x")) == (("A",), True)
    seen.note("A", {"x": 0}, {"x": 1})
    assert (seen.of("x"), seen.owned("x")) == ((), True)


def test_who_was_let_on_has_taken_what_was_posted():
    seen = holders(("A", {"x": 1}, {"x": 0}), ("A", {"x": 0}, {"x": 0}, [("B", "x")]))
    assert seen.of("x") == ("B",)


def test_a_post_by_somebody_else_makes_it_nobodys():
    seen = holders(("A", {"x": 1}, {"x": 0}), ("B", {"x": 0}, {"x": 1}))
    assert (seen.of("x"), seen.owned("x")) == ((), False)


def test_what_counts_is_nobodys():
    seen = holders(("A", {"slots": 3}, {"slots": 1}))
    assert (seen.of("slots"), seen.owned("slots")) == (("A", "A"), False)


def test_a_semaphore_that_is_new_was_taken_by_nobody():
    seen = holders(("A", {}, {"x": 0}))
    assert (seen.of("x"), seen.owned("x")) == ((), False)


def test_a_ring_of_three_and_one_behind_it():
    taken = {"x": 0, "y": 1, "z": 1}
    seen = holders(
        ("A", {"x": 1, "y": 1, "z": 1}, taken),
        ("B", taken, {"x": 0, "y": 0, "z": 1}),
        ("C", {"x": 0, "y": 0, "z": 1}, {"x": 0, "y": 0, "z": 0}),
    )
    found = find({"D": "x", "A": "y", "B": "z", "C": "x"}, seen, [], [])
    assert [each.who for each in found.cycle] == ["A", "B", "C"]
    assert str(found) == (
        "deadlock: A waits for y, held by B; B waits for z, held by C; C waits for x, held by A; "
        "D waits for x, held by A"
    )
    assert found.stuck == ("A", "B", "C", "D")


def test_whoever_can_be_let_on_is_not_stuck():
    seen = holders(("A", {"x": 1}, {"x": 0}))
    assert find({"B": "x"}, seen, ["A"], []) is None
    assert find({"B": "x", "C": "x"}, seen, ["A"], []) is None


def test_held_by_one_who_has_ended():
    seen = holders(("A", {"x": 1}, {"x": 0}))
    found = find({"B": "x"}, seen, ["C"], ["A"])
    assert (found.kind, found.cycle) == ("blocked for ever", ())
    assert str(found) == "blocked for ever: B waits for x, held by A, which has ended"


def test_producer_and_consumer_in_the_wrong_order():
    """The producer has the mutex and waits for a slot that only the consumer could post, who waits for it."""
    seen = holders(("A", {"mutex": 1, "slots": 0}, {"mutex": 0, "slots": 0}))
    found = find({"A": "slots", "B": "mutex"}, seen, [], [])
    assert str(found) == (
        "deadlock: A waits for slots, which only B could post; B waits for mutex, held by A"
    )


def test_nobody_waits():
    assert find({}, Holders(), ["A"], []) is None
