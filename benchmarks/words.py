"""The recurrent supernet: a weight step as in the papers' language models."""

from typing import Any

from benchmarks.measure import Result, interleaved

VOCABULARY, HIDDEN, BATCH, STEPS = 10_000, 300, 64, 35


class WordSearch:
    """The recurrent supernet with a batch of words and an optimiser."""

    def __init__(self, graph: Any, **options: Any) -> None:
        import torch

        import lowering

        generator = torch.Generator().manual_seed(0)
        self.module: Any = lowering.to_torch(graph, **options)
        self.logits = {
            choice.name: (1e-3 * torch.randn(len(choice.options), generator=generator))
            for choice in graph.choices
        }
        for row in self.logits.values():
            row.requires_grad_()
        words = torch.randint(0, VOCABULARY, (STEPS + 1, BATCH), generator=generator)
        self.words, self.next = words[:-1], words[1:]
        self.hidden = torch.zeros(BATCH, HIDDEN)
        self.weights = list(self.module.parameters())
        self.optimiser: Any = torch.optim.SGD(self.weights, 20.0, weight_decay=5e-7, foreach=True)

    def step(self) -> None:
        """Forward, backward to weights and mixtures, clipping, SGD."""
        import torch
        import torch.nn.functional as F

        self.optimiser.zero_grad()
        mixture = {name: row.softmax(0) for name, row in self.logits.items()}
        found, _ = self.module(self.words, self.hidden, mixture)
        loss: Any = F.nll_loss(found.flatten(0, 1), self.next.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 0.25)
        self.optimiser.step()


def recurrent(rounds: int) -> list[Result]:
    """The search network of DARTS for words, 300 units, 64 texts of 35 words."""
    import nasir

    graph = nasir.supernet("darts_rnn", vocabulary=VOCABULARY, hidden=HIDDEN)
    plain, ours = WordSearch(graph, optimise=False), WordSearch(graph)
    return interleaved(
        {"step, as published": plain.step, "step, memory none": ours.step},
        max(3, rounds // 3),
        floors={"step, memory none": 1.8},
    )
