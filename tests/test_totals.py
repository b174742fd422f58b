"""What the networks of a space cost without writing them down, and conditions on it: `where`."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nasir
from nasir import NasirError, Space
from nasir.space import catalog
from tests.command_line import call
from tests.refusals import fails_with
from tests.strategies import examples, spaces
from tests.supernets import small_spaces

SMALL = """nasir: 1
space: small
skeleton: nasbench201
where: [{}]
size: {{layers: 1, channels: [8, 16]}}
cells:
  cell: {{inputs: 1, nodes: 2, ops: [none, skip_connect, nor_conv_3x3, avg_pool_3x3], output: [2]}}
"""


def with_where(*conditions: str) -> Space:
    return nasir.load_space(SMALL.format(", ".join(f'"{each}"' for each in conditions)))


def large(condition: str) -> Space:
    """DARTS's space with a condition."""
    text = (Path(__file__).parent.parent / "spaces/darts.yaml").read_text()
    return nasir.load_space(
        text.replace("skeleton: cifar", f"skeleton: cifar\nwhere: [{condition}]")
    )


def totals_of(genotype: nasir.Genotype, **size: Any) -> tuple[int, int, int]:
    found = nasir.cost(nasir.network(genotype, **size))
    return found.params, found.macs, found.activations


@pytest.mark.parametrize("name", sorted(catalog()))
def test_costs_are_those_of_the_networks(name: str) -> None:
    drawn = [nasir.sample(name, seed) for seed in range(2)]
    assert list(nasir.costs(name, drawn)) == [totals_of(each) for each in drawn]


@given(space=st.one_of(spaces(), small_spaces()), seed=st.integers(0, 2**32))
@examples(25)
def test_costs_of_any_space_are_those_of_the_networks(space: Space, seed: int) -> None:
    genotype = nasir.sample(space, seed)
    size: dict[str, Any] = (
        {"channels": 4, "layers": 3, "resolution": 16} if space.skeleton == "cifar" else {}
    )
    assert list(nasir.costs(space, [genotype], **size)) == [totals_of(genotype, **size)]


CONDITIONS = {
    "params < 20k": lambda g: totals_of(g)[0] < 20_000,
    "2M <= macs < 4.5M": lambda g: 2_000_000 <= totals_of(g)[1] < 4_500_000,
    "none + avg_pool_3x3 <= 1": lambda g: _count(g, "none", "avg_pool_3x3") <= 1,
    "(cell.skip_connect == 2 or channels == 8) and layers2 == 1": lambda g: (
        _count(g, "skip_connect") == 2 or g.size == (("channels", 8),)
    ),
}


def _count(genotype: nasir.Genotype, *ops: str) -> int:
    return sum(edge.op in ops for edges in genotype.cells[0].nodes for edge in edges)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_small_space_is_exactly_what_fulfils_its_conditions(condition: str) -> None:
    space, free = with_where(condition), with_where("params > 0")
    found = list(nasir.enumerate_genotypes(space))
    wanted = [g for g in nasir.enumerate_genotypes(free) if CONDITIONS[condition](g)]
    assert [(g.cells, g.size) for g in found] == [(g.cells, g.size) for g in wanted]
    assert 0 < len(found) == nasir.size(space) < nasir.size(free) == 128
    assert nasir.acceptance(space) == len(found) / 128
    assert [nasir.rank(space, g) for g in found] == list(range(len(found)))
    assert [nasir.unrank(space, i) for i in range(len(found))] == found
    assert {nasir.sample(space, seed) for seed in range(400)} <= {*found}
    assert nasir.count_classes(space) == len({nasir.canonical_id(g) for g in found})
    outside = next(g for g in nasir.enumerate_genotypes(free) if g not in wanted)
    (reason,) = space.contains(outside)
    assert f"`{condition}`" in reason
    with fails_with("E211", "does not belong"):
        nasir.rank(space, outside)


def test_a_large_space_is_drawn_from_until_its_conditions_are_fulfilled() -> None:
    space = large("params < 3M, normal.max_pool_3x3 + normal.avg_pool_3x3 <= 2")
    for seed in range(5):
        genotype = nasir.sample(space, seed)
        assert space.contains(genotype) == ()
        assert totals_of(genotype)[0] < 3_000_000
        assert nasir.mutate(space, genotype, seed).definition == space
    assert 0.05 < nasir.acceptance(space, 200) < 0.6
    with fails_with("E106", "too many"):
        nasir.size(space)
    genotype = nasir.load_genotype(nasir.dump_genotype(nasir.sample(space, 0)))
    assert genotype.definition == space
    assert "params = 3,349,342" in space.contains(nasir.load_genotype("darts_v2"))[0]


@pytest.mark.parametrize("space", [with_where("params < 1"), large("params < 1")])
def test_conditions_that_nothing_fulfils_end(space: Space) -> None:
    with fails_with("E211", "fulfils its `where`"):
        nasir.sample(space, 0)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("params < 500q", "cannot be parsed"),
        ("params", "is no condition"),
        ("paramz < 3", "no value 'paramz'"),
        ("cell.sep_conv_3x3 < 3", "no value 'cell.sep_conv_3x3'"),
        ("open('x')", "no arithmetic"),
        ("params // none > 3", "divides by zero"),
        ("none > 3 and paramz < 3", "no value 'paramz'"),
    ],
)
def test_wrong_conditions_have_a_place(condition: str, said: str) -> None:
    with pytest.raises(NasirError, match=said) as caught:
        with_where("macs > 0", condition)
    assert (caught.value.code, caught.value.where.line) == ("E306", 4)


def test_commands_say_how_many_fulfil_the_conditions(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.format("params < 20k"))
    count = nasir.size(str(path))
    assert f"{count} of 128 genotypes fulfil params < 20k" in call("spaces", str(path)).out
    drawn = call("sample", str(path), "-n", "3")
    assert f"{count / 128:.2%} of the genotypes" in drawn.err
    csv = tmp_path / "costs.csv"
    done = call("cost", str(path), "--all", "-o", str(csv))
    assert f"{count} networks" in done.out
    header, *rows = csv.read_text().splitlines()
    assert (header, len(rows)) == ("genotype,params,macs,activations", count)
    assert max(int(row.rsplit(",", 3)[1]) for row in rows) < 20_000
    assert call("cost", "darts", "--all").code == 2
    for wrong in (["--all", "--draws", "3"], ["--all", "--nodes"], ["-o", str(csv)]):
        assert "E505" in call("cost", "nasbench201", *wrong).err
    assert "parameters" in call("cost", "darts", "--draws", "3", "--json").out
