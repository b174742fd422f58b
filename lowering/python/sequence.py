"""Tokens and sequences as Python."""

from lowering.python.code import Code, call, text
from lowering.python.rule import PythonRule, Site
from nasir import Type
from nasir.ops.sequence import (
    DECODER,
    DROPOUT_MASK,
    EMBEDDING,
    LAST,
    LOG_SOFTMAX,
    MASKED,
    WORD_DROPOUT,
)
from nasir.types import TokenType

_MASK = '''\
class DropoutMask(nn.Module):
    """In training one draw for each example and unit, the same at every step; else ones."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.keep = 1 - rate

    def forward(self, like: Tensor) -> Tensor:
        if not self.training:
            return torch.ones(like.shape[-2:], dtype=like.dtype, device=like.device)
        draw = torch.rand(like.shape[-2:], device=like.device)
        return (draw < self.keep).to(like.dtype) / self.keep
'''

_WORDS = '''\
class WordDropout(nn.Module):
    """In training, drops some words of the vocabulary wherever they occur."""

    def __init__(self, vocabulary: int, rate: float) -> None:
        super().__init__()
        self.vocabulary, self.keep = vocabulary, 1 - rate

    def forward(self, words: Tensor, tokens: Tensor) -> Tensor:
        if not self.training:
            return words
        draw = torch.rand(self.vocabulary, 1, device=words.device)
        return words * F.embedding(tokens, (draw < self.keep).to(words.dtype) / self.keep)
'''


def _embedding(site: Site) -> Code:
    words = tuple(_vocabulary(site.types[node.inputs[0]]) for node in site.nodes)
    return call("nn.Embedding", site.number(words, "vocabulary"), site.width("out"))


def _vocabulary(type_: Type) -> int:
    assert isinstance(type_, TokenType)
    return type_.vocabulary


def _word_dropout(site: Site) -> Code:
    return call("WordDropout", site.integer("vocabulary"), repr(site.attr("rate")))


def _mask(site: Site) -> Code:
    return call("DropoutMask", repr(site.attr("rate")))


def _masked(site: Site, inputs: tuple[str, ...]) -> Code:
    del site
    return Code("*", inputs)


def _last(site: Site, inputs: tuple[str, ...]) -> Code:
    del site
    return text(f"{inputs[0]}[-1]")


def _decoder(site: Site) -> Code:
    return call("nn.Linear", site.channels(), site.width("out"))


def _log_softmax(site: Site, inputs: tuple[str, ...]) -> Code:
    del site
    return call("F.log_softmax", inputs[0], "dim=-1")


RULES = (
    PythonRule(EMBEDDING, layer=_embedding),
    PythonRule(WORD_DROPOUT, layer=_word_dropout, helper=_WORDS),
    PythonRule(DROPOUT_MASK, layer=_mask, helper=_MASK),
    PythonRule(MASKED, forward=_masked),
    PythonRule(LAST, forward=_last),
    PythonRule(DECODER, layer=_decoder),
    PythonRule(LOG_SOFTMAX, forward=_log_softmax),
)
