"""Importing weights: a file of the original's names into one of nasir's."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nasir
from lowering.torch.weights import pack
from nasir import NasirError, Where
from nasir.errors import quoted
from nasir.files import write_atomically
from runners.experiment.size import NetworkSize, size_facts
from runners.inputs import read_named
from runners.originals.family import family_of
from runners.originals.read import read_state
from runners.originals.translation import translate


@dataclass(frozen=True, slots=True)
class Imported:
    """What was imported: of which network, how many tensors and numbers, and what was left out."""

    path: Path
    genotype: str
    family: str
    size: Mapping[str, str | int]
    auxiliary: bool
    tensors: int
    numbers: int
    left_out: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "file": str(self.path),
            "genotype": self.genotype,
            "family": self.family,
            "size": dict(self.size),
            "auxiliary": self.auxiliary,
            "tensors": self.tensors,
            "numbers": self.numbers,
            "left_out": list(self.left_out),
        }


def import_weights(
    design: str | Path,
    source: Path,
    path: Path,
    size: NetworkSize | None = None,
    space: str | None = None,
) -> Imported:
    """Writes the weights of an original's file as a safetensors file under the stable keys.

    `design` is the genotype of the network (with its `space`, where it needs one), or the space of
    a supernet. What `size` leaves open is read from the tensors' shapes; an auxiliary head comes
    along where the file has one. Raises E101, E112, E761, E762, E763, and what genotypes and spaces
    raise.
    """
    state = read_state(source)
    try:
        family = family_of(state)
        known = family.size(state)
        read = _space(design) if family.supernet else read_named(design, space)
        graph = _graph(read, size or NetworkSize(), known)
        found = translate(read, graph, state)
    except NasirError as error:
        raise error.at(Where(str(source))) from None
    about = {
        **({"genotype": nasir.dump_genotype(read)} if isinstance(read, nasir.Genotype) else {}),
        **({"space": read.name} if isinstance(read, nasir.Space) else {}),
        "size": json.dumps(size_facts(graph)),
        "auxiliary": json.dumps(bool(graph.auxiliary)),
        "source": f"{source.name} sha256 {hashlib.sha256(source.read_bytes()).hexdigest()}",
        "nasir": nasir.__version__,
    }
    write_atomically(path, pack(found.weights, about))
    return Imported(
        path,
        read.name,
        found.family,
        size_facts(graph),
        bool(graph.auxiliary),
        len(found.weights),
        sum(value.numel() for value in found.weights.values()),
        found.left_out,
    )


def _graph(
    design: nasir.Genotype | nasir.Space, size: NetworkSize, known: Mapping[str, Any]
) -> nasir.Graph:
    """The network, or supernet, of the size that is asked for, and else known from the weights."""
    if isinstance(design, nasir.Genotype):
        return _filled(size, known).build(design)
    sizes: dict[str, Any] = {name: value for name, value in known.items() if name != "parts"}
    if size.skeleton:
        sizes["skeleton"] = size.skeleton
    return nasir.partial_channels(nasir.supernet(design, **sizes), known["parts"])


def _space(name: str | Path) -> nasir.Space:
    """The space of a supernet's weights. Raises E762 for what names none."""
    try:
        return nasir.load_space(name)
    except NasirError as error:
        if error.code != "E209":
            raise
    message = f"the weights are a supernet's, and {quoted(str(name))} is no space"
    raise NasirError("E762", message, hint="name the space that was searched: darts, s2, …")


def _filled(size: NetworkSize, known: Mapping[str, Any]) -> NetworkSize:
    """The size with what it leaves open; a head of the file's is taken."""
    changed = {name: value for name, value in known.items() if not getattr(size, name)}
    return replace(size, **changed)
