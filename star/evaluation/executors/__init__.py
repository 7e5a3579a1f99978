"""Executors: what evaluates many candidates, by worker processes, from a table, or on a cluster.

`base` says what an executor is; adding one is one file here and one row.
"""

from .base import Executor as Executor
from .base import ExecutorConfig as ExecutorConfig
from .base import Setup as Setup
from .base import Task as Task
from .processes import Processes as Processes
from .processes import ProcessesConfig as ProcessesConfig
from .ray import RayConfig as RayConfig
from .ray import RayExecutor as RayExecutor
from .table import TableConfig as TableConfig
from .table import TableExecutor as TableExecutor

EXECUTORS: dict[str, type[ExecutorConfig]] = {
    "processes": ProcessesConfig,
    "table": TableConfig,
    "ray": RayConfig,
}
