"""Genotype files: every format, and the genotypes that nasir carries."""

from nasir.formats.format import Format
from nasir.formats.load import load_genotype
from nasir.formats.onnx_model import METADATA_KEY
from nasir.formats.shipped import Entry, entries, load_entry
from nasir.formats.table import FORMATS, detect, dump_genotype, parse_genotype

__all__ = [
    "FORMATS",
    "METADATA_KEY",
    "Entry",
    "Format",
    "detect",
    "dump_genotype",
    "entries",
    "load_entry",
    "load_genotype",
    "parse_genotype",
]
