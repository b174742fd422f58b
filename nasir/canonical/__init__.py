"""The canonical form of genotypes: which of them are one architecture."""

from nasir.canonical.identity import canonical_id, correspondence, count_classes, nasbench101_hash

__all__ = [
    "canonical_id",
    "correspondence",
    "count_classes",
    "nasbench101_hash",
]
