"""Genotype files: every format, and the genotypes that nasir carries."""

from nasir.formats.load import (
    Reading,
    detect,
    dump_genotype,
    each_genotype,
    entries,
    load_entry,
    load_genotype,
    load_genotypes,
    read_genotype,
    read_source_genotype,
)
from nasir.formats.table import FORMATS, named_format

__all__ = [
    "FORMATS",
    "Reading",
    "detect",
    "dump_genotype",
    "each_genotype",
    "entries",
    "load_entry",
    "load_genotype",
    "load_genotypes",
    "named_format",
    "read_genotype",
    "read_source_genotype",
]
