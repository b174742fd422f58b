"""Laws of trees of decisions, of any shape."""

from hypothesis import given
from hypothesis import strategies as st

from nasir.node import Slot
from nasir.space import tree
from nasir.space.tree import Choose, Option
from tests.strategies import examples


@st.composite
def chooses(draw: st.DrawFn, depth: int = 2) -> Choose:
    """A decision whose options may bring decisions of their own."""
    count = draw(st.integers(1, 3))
    inner = st.lists(chooses(depth - 1), max_size=2) if depth else st.just([])
    options = tuple(Option(f"o{place}", tuple(draw(inner))) for place in range(count))
    keep = draw(st.none() | st.integers(1, count))
    return Choose(Slot("cell", "output"), options, keep)


TREES = st.lists(chooses(), min_size=1, max_size=2)


@given(TREES)
@examples(60)
def test_picks_are_numbered_in_the_order_in_which_they_are_listed(found: list[Choose]) -> None:
    for choose in found:
        if choose.size < 2000:
            listed = list(choose.each())
            assert listed == [choose.unrank(index) for index in range(choose.size)]
            assert [choose.rank(pick) for pick in listed] == list(range(choose.size))


@given(TREES, st.integers(0))
@examples(60)
def test_neighbours_of_picks_are_mutual_and_other_picks(found: list[Choose], number: int) -> None:
    total = 1
    for choose in found:
        total *= choose.size
    picks = tree.unrank(found, number % total)
    assert tree.rank(found, picks) == number % total
    near = list(tree.neighbours(found, picks))
    assert len(set(near)) == len(near)
    assert picks not in near
    for other in near[:5]:
        assert picks in tree.neighbours(found, other)


@given(
    st.from_regex(r"[a-z_]+", fullmatch=True),
    st.sampled_from(["op on edge", "op on node", "edge into node", "input", "output"]),
    st.integers(0, 99),
    st.integers(0, 99),
)
def test_a_slot_is_parsed_back_from_its_name(kind: str, role: str, node: int, source: int) -> None:
    numbers = {"op on edge": (node, source), "output": ()}.get(role, (node,))
    slot = Slot(kind, role, *numbers)  # pyright: ignore[reportArgumentType]
    assert Slot.parse(str(slot), slot.role) == slot
