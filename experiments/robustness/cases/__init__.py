"""The hostile commands, one module a subject; `ALL` lists them."""

from itertools import chain

from cases import (
    checkpoints,
    data,
    disk,
    folders,
    genome_files,
    ledger,
    output,
    paths,
    permissions,
    searches,
    settings,
)
from cases.case import Case

SUBJECTS = (
    *(settings, genome_files, paths, permissions, disk, data),
    *(ledger, checkpoints, folders, searches, output),
)
ALL: tuple[Case, ...] = tuple(chain.from_iterable(subject.CASES for subject in SUBJECTS))
