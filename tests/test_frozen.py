"""`frozen` against dataclasses."""

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Any

import pytest

from nasir.frozen import frozen


class Plain:
    """A class of fields of all sorts."""

    name: str
    sizes: tuple[int, ...] = ()
    made: list[int] = field(default_factory=list[int])
    note: str = field(default="", compare=False, repr=False)
    place: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        assert self.name, "a name is there"


Ours: Any = frozen(type("Ours", (), dict(vars(Plain))))
Theirs: Any = dataclass(frozen=True, slots=True)(type("Ours", (), dict(vars(Plain))))
One: Any = frozen(type("One", (), {"__annotations__": {"x": "float"}, "__module__": __name__}))


def test_frozen_classes_are_dataclasses() -> None:
    one, other = (kind("a", (1, 2), note="n", place=3) for kind in (Ours, Theirs))
    assert (repr(one), asdict(one)) == (repr(other), asdict(other))
    assert [f.name for f in fields(Ours)] == [f.name for f in fields(Theirs)]
    assert Ours.__match_args__ == Theirs.__match_args__
    assert str(Ours.__dataclass_params__) == str(Theirs.__dataclass_params__).replace(
        "slots=False", "slots=True"
    )
    names = [list(inspect.signature(kind).parameters) for kind in (Ours, Theirs)]
    assert names[0] == names[1]


def test_equal_fields_are_equal_and_hash_alike() -> None:
    one, other = Ours("a", note="x"), Ours("a", note="y")
    assert one == other != Ours("b")
    assert one != Theirs("a")
    assert one.made is not other.made
    assert hash(One(1.0)) == hash(One(1))
    assert One(nan := float("nan")) == One(nan)  # as of tuples, which look for identity first


def test_fields_cannot_be_changed() -> None:
    one = Ours("a")
    for change in (lambda: setattr(one, "name", "b"), lambda: delattr(one, "name")):
        with pytest.raises(FrozenInstanceError, match="field 'name'"):
            change()
    with pytest.raises(TypeError, match="Ours"):
        Ours()
    with pytest.raises(AssertionError, match="a name is there"):
        replace(one, name="")
    assert not hasattr(one, "__dict__")


def test_copies_are_equal() -> None:
    one = One(2.0)
    assert copy.deepcopy(one) == one == pickle.loads(pickle.dumps(one)) == replace(one)
