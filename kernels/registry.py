"""Every primitive, in one table."""

from .operation import Operation
from .swiglu.cases import SWIGLU

OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in (SWIGLU,)}
