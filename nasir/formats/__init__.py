"""Genotype files: every format, and the genotypes that nasir carries."""

from nasir.formats.format import Format
from nasir.formats.load import (
    Entry,
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
from nasir.formats.own import METADATA_KEY
from nasir.formats.table import FORMATS, named_format

__all__ = [
    "FORMATS",
    "METADATA_KEY",
    "Entry",
    "Format",
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
