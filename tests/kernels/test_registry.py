"""Every registered primitive against its definition: outputs and gradients, dtypes, memory
layouts.

These tests drive the registry, so a new operation is tested by being registered.
"""

from typing import Any

import pytest
import torch

from star.kernels.harness.operation import Inputs, Operation
from star.kernels.harness.registry import OPERATIONS

CPU = torch.device("cpu")
EVERY_OPERATION = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


def draw(operation: Operation, sizes: Any, dtype: torch.dtype, seed: int = 0) -> Inputs:
    return operation.inputs(sizes, dtype, CPU, torch.Generator().manual_seed(seed))


def with_gradients(inputs: Inputs, dtype: torch.dtype | None = None) -> Inputs:
    return {
        name: value.detach().to(dtype or value.dtype).requires_grad_()
        if torch.is_tensor(value)
        else value
        for name, value in inputs.items()
    }


def outputs_and_gradients(function: Any, inputs: Inputs) -> list[torch.Tensor]:
    outputs = function(**inputs)
    generator = torch.Generator().manual_seed(1)
    cotangents = [torch.randn(y.shape, generator=generator).to(y.dtype) for y in outputs]
    tensors = [value for value in inputs.values() if torch.is_tensor(value)]
    return [*outputs, *torch.autograd.grad(outputs, tensors, cotangents)]


def check(operation: Operation, sizes: Any, dtype: torch.dtype) -> None:
    inputs = draw(operation, sizes, dtype)
    found = outputs_and_gradients(operation.run, with_gradients(inputs))
    expected = outputs_and_gradients(operation.reference, with_gradients(inputs, torch.float64))
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape and torch.isfinite(a).all()
        assert (a.double() - b).norm() <= operation.tolerance[dtype] * b.norm()


@EVERY_OPERATION
def test_the_fast_path_matches_the_definition_in_every_dtype(operation: Operation) -> None:
    for sizes in operation.interpreter:
        for dtype in operation.dtypes:
            check(operation, sizes, dtype)


@EVERY_OPERATION
def test_other_memory_layouts_give_the_same(operation: Operation) -> None:
    inputs = with_gradients(draw(operation, operation.interpreter[-1], torch.float32))
    strided = {
        name: value.detach().transpose(0, -1).contiguous().transpose(0, -1).requires_grad_()
        if torch.is_tensor(value)
        else value
        for name, value in inputs.items()
    }
    pairs = zip(
        outputs_and_gradients(operation.run, inputs),
        outputs_and_gradients(operation.run, strided),
        strict=True,
    )
    for a, b in pairs:
        torch.testing.assert_close(a, b)
