"""Tensors that follow from a few numbers, kept for the next call that asks for the same."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import torch
from torch.utils._python_dispatch import is_in_torch_dispatch_mode


def kept_table(count: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that keeps the last `count` results of a function of hashable arguments.

    Under a compiler, or in a mode such as `FakeTensorMode`, results are neither kept nor taken from
    what was kept: tensors made there hold no numbers, and real ones are strange to it.
    """

    def decorate(make: Callable[..., Any]) -> Callable[..., Any]:
        kept = lru_cache(maxsize=count)(_outside_inference(make))

        @wraps(make)
        def table(*arguments: Any) -> Any:
            if torch.compiler.is_compiling() or is_in_torch_dispatch_mode():
                return make(*arguments)
            return kept(*arguments)

        return table

    return decorate


def _outside_inference(make: Callable[..., Any]) -> Callable[..., Any]:
    """What is made in inference mode could not be used in a training that comes later."""

    def made(*arguments: Any) -> Any:
        with torch.inference_mode(False):
            return make(*arguments)

    return made
