"""The quick decorator makes the same classes as the standard one."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from typing import Any

import pytest

from gpudesk import records


def point(decorate: Callable[..., Any]) -> Any:
    @decorate(frozen=True, slots=True)
    class Point:
        """A point."""

        x: int
        y: float = 0.5
        tags: list[str] = field(default_factory=list)
        secret: str | None = field(default=None, repr=False)

        @property
        def total(self) -> float:
            return self.x + self.y

    return Point


@records.dataclass(frozen=True, slots=True)
class Alone:
    """One field, at module level so that it can be pickled."""

    value: int = 1


@records.dataclass(frozen=True, slots=True)
class Pair:
    """Two fields."""

    left: int
    right: str = "r"


@records.dataclass(frozen=True, slots=True)
class Nothing:
    """No field."""


@pytest.fixture(params=[records.dataclass, dataclasses.dataclass], ids=["quick", "standard"])
def made(request: pytest.FixtureRequest) -> Any:
    return point(request.param)


def test_values_defaults_and_properties(made: Any) -> None:
    value = made(2)
    assert (value.x, value.y, value.tags, value.secret, value.total) == (2, 0.5, [], None, 2.5)
    assert made(2, 3.0, ["a"], secret="s").secret == "s"
    assert made(1).tags is not made(1).tags, "the factory runs for every instance"


def test_equality_and_hash(made: Any) -> None:
    assert made(1, 2.0) == made(1, 2.0)
    assert made(1, 2.0) != made(1, 2.5)
    assert made(1) != (1, 0.5, [], None)
    with pytest.raises(TypeError, match="unhashable"):
        hash(made(1))
    assert hash(made(1, 2.0, ())) == hash(made(1, 2.0, ())), "the same values, the same hash"
    assert len({made(1, 2.0, ()), made(1, 2.0, ()), made(2, 2.0, ())}) == 2


def test_repr_leaves_secrets_out(made: Any) -> None:
    assert repr(made(1, secret="s")).endswith("Point(x=1, y=0.5, tags=[])")


def test_it_is_frozen_and_has_no_room_for_more(made: Any) -> None:
    value = made(1)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
        value.x = 2
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
        del value.x
    with pytest.raises((FrozenInstanceError, TypeError)):  # the standard one raises TypeError in 3.11
        value.unknown = 1
    assert not hasattr(value, "__dict__")


def test_wrong_arguments(made: Any) -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        made()
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        made(1, z=2)


def test_the_tools_of_dataclasses_work(made: Any) -> None:
    value = made(1, tags=["t"])
    assert dataclasses.replace(value, x=5) == made(5, tags=["t"])
    assert [f.name for f in dataclasses.fields(value)] == ["x", "y", "tags", "secret"]
    assert dataclasses.asdict(value) == {"x": 1, "y": 0.5, "tags": ["t"], "secret": None}
    assert copy.copy(value) == value
    assert copy.deepcopy(value) == value
    match value:
        case made(x, y):
            assert (x, y) == (1, 0.5)
    assert made.__doc__ == "A point."


@pytest.mark.parametrize("value", [Alone(3), Pair(1), Nothing()])
def test_any_number_of_fields(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    assert hash(value) == hash(copy.copy(value))
    assert value in {value}
    assert repr(Nothing()) == "Nothing()"
    assert Alone(3) != Alone(4)


def test_a_mutable_default_is_refused_as_ever() -> None:
    with pytest.raises(ValueError, match="mutable default"):

        @records.dataclass(frozen=True, slots=True)
        class Bad:
            items: list[int] = []  # noqa: RUF012


def test_everything_else_is_the_standard_decorator() -> None:
    @records.dataclass(slots=True)
    class Mutable:
        x: int

    value = Mutable(1)
    value.x = 2
    assert value.x == 2


def test_a_post_init_is_refused_rather_than_forgotten() -> None:
    with pytest.raises(TypeError, match="__post_init__"):

        @records.dataclass(frozen=True, slots=True)
        class Checked:
            x: int

            def __post_init__(self) -> None: ...


@records.dataclass(frozen=True, slots=True)
class Counted:
    """A value with a field that is no argument."""

    value: int
    seen: list[int] = field(default_factory=list, init=False)


@pytest.mark.parametrize("replace", [records.replace, dataclasses.replace], ids=["quick", "standard"])
def test_replace_changes_only_what_is_named(replace: Callable[..., Any], made: Any) -> None:
    value = made(2, tags=["a"], secret="s")
    changed = replace(value, y=1.5)
    assert (changed.x, changed.y, changed.tags, changed.secret) == (2, 1.5, ["a"], "s")
    assert value.y == 0.5
    assert replace(value) == value
    assert replace(Alone(1), value=3) == Alone(3)
    assert replace(Nothing()) == Nothing()
    with pytest.raises(TypeError):
        replace(value, z=1)


def test_replace_makes_anew_what_is_no_argument() -> None:
    value = Counted(1)
    value.seen.append(1)
    assert records.replace(value, value=2).seen == []


@pytest.mark.parametrize("decorate", [records.dataclass, dataclasses.dataclass], ids=["quick", "standard"])
@pytest.mark.parametrize("eq", [True, False])
def test_values_that_change(decorate: Any, eq: bool) -> None:
    @decorate(slots=True, eq=eq)
    class Made:
        """What may change."""

        name: str
        count: int = 0
        seen: list[int] = field(default_factory=list)

    counter: Any = Made
    value, other = counter("a"), counter("a")
    assert (value == other) is eq
    assert (counter.__hash__ is None) is eq
    value.count += 1
    value.seen.append(3)
    assert repr(value).endswith("Made(name='a', count=1, seen=[3])")
    assert other.seen == []
    assert value != other
    with pytest.raises(AttributeError):
        value.nmae = 2
    assert copy.deepcopy(value).seen == [3]


def test_the_first_instance_is_made_like_every_other() -> None:
    @records.dataclass(frozen=True, slots=True)
    class Late:
        """Never made before."""

        left: int
        right: int = 2

    with pytest.raises(TypeError):
        Late()  # type: ignore[call-arg]
    assert Late(1) == Late(1, right=2)
    assert Late.__init__.__qualname__.endswith("Late.__init__")
