"""The language models of quark0's DARTS: `RNNModel` with one `DARTSCell`."""

from nasir import Genotype, Graph
from runners.originals.unit import TensorGroup


def units(genotype: Genotype, graph: Graph) -> tuple[TensorGroup, ...]:
    """The parts in the order of the original's state. The decoder's weight is the encoder's."""
    del graph
    nodes = range(len(genotype.cell("recurrent").nodes))
    return (
        TensorGroup("encoder.", ("embedding.weight",)),
        TensorGroup("rnns.0._W0", ("cell/n0.weight",)),
        *(TensorGroup(f"rnns.0._Ws.{node}", (f"cell/n{node + 1}.weight",)) for node in nodes),
        TensorGroup("decoder.bias", ("decoder.bias",)),
    )


TIED = {"decoder.weight": "encoder.weight"}
"""Tensors that are another one, by name."""
