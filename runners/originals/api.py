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
from nasir.files import write_atomically
from runners.inputs import read_named
from runners.originals.family import family_of
from runners.originals.read import read_state
from runners.originals.translation import translate
from runners.size import NetworkSize, size_facts


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
    genotype: str | Path,
    source: Path,
    path: Path,
    size: NetworkSize | None = None,
    space: str | None = None,
) -> Imported:
    """Writes the weights of an original's file as a safetensors file under the stable keys.

    What `size` leaves open is read from the tensors' shapes; an auxiliary head comes along where
    the file has one. Raises E101, E112, E761, E762, E763, and what genotypes raise.
    """
    read = read_named(genotype, space)
    try:
        state = read_state(source)
        chosen = _filled(size or NetworkSize(), family_of(state).size(state))
        graph = chosen.build(read)
        found = translate(read, graph, state)
    except NasirError as error:
        raise error.at(Where(str(source))) from None
    about = {
        "genotype": nasir.dump_genotype(read),
        "size": json.dumps(size_facts(graph)),
        "auxiliary": json.dumps(chosen.auxiliary),
        "source": f"{source.name} sha256 {hashlib.sha256(source.read_bytes()).hexdigest()}",
        "nasir": nasir.__version__,
    }
    write_atomically(path, pack(found.weights, about))
    return Imported(
        path,
        read.name,
        found.family,
        size_facts(graph),
        chosen.auxiliary,
        len(found.weights),
        sum(value.numel() for value in found.weights.values()),
        found.left_out,
    )


def _filled(size: NetworkSize, known: Mapping[str, Any]) -> NetworkSize:
    """The size with what it leaves open; a head of the file's is taken."""
    changed = {name: value for name, value in known.items() if not getattr(size, name)}
    return replace(size, **changed)
