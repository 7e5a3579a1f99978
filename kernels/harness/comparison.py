"""One case of an operation against its definition in float64: outputs and gradients.

Random inputs lie between NaNs and memory for outputs starts as NaN, so a read or a missing write
beside the data shows.
"""

import contextlib
import math
import os
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .operation import Inputs, Operation, Sizes, normal

GUARD = 256  # elements of NaN before and after each input; keeps its alignment
DRAWS = 7  # of what is propagated back, to learn how large a gradient usually is


def in_interpreter() -> bool:
    """Whether Triton's kernels run in its interpreter, on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def this_device() -> torch.device:
    """The CPU for Triton's interpreter and where there is no CUDA, else the current GPU."""
    if in_interpreter() or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` for torch.float32."""
    return str(dtype).removeprefix("torch.")


def describe(operation: str, dtype: torch.dtype, sizes: Sizes) -> str:
    """One case in words."""
    return " ".join(
        [operation, dtype_name(dtype), *(f"{name}={value}" for name, value in sizes.items())]
    )


@contextlib.contextmanager
def demanded_triton(device: torch.device) -> Iterator[None]:
    """Run Triton where it can run: on GPUs and in the interpreter; PyTorch's fast path
    elsewhere."""
    before = os.environ.get("STAR_KERNELS")
    os.environ["STAR_KERNELS"] = "triton" if device.type == "cuda" or in_interpreter() else "auto"
    try:
        yield
    finally:
        del os.environ["STAR_KERNELS"]
        if before is not None:
            os.environ["STAR_KERNELS"] = before


@contextlib.contextmanager
def poisoned(device: torch.device) -> Iterator[None]:
    """Let torch.empty and its kin return NaN.

    Seen to work on the CPU in torch 2.13 for torch.empty, empty_like, new_empty, empty_strided and
    resize_ in every floating dtype; `warn_only` lets operations without a deterministic form run
    and leaves the filling on. Raises RuntimeError where a torch does not fill, so that no
    certificate rests on luck.
    """
    settings: Any = torch.utils.deterministic
    mode, filled = torch.get_deterministic_debug_mode(), settings.fill_uninitialized_memory
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.use_deterministic_algorithms(True, warn_only=True)
        settings.fill_uninitialized_memory = True
        try:
            if not torch.empty(GUARD, device=device).isnan().all():
                raise RuntimeError(
                    f"torch {torch.__version__} does not fill new memory, so no check is sharp"
                )
            yield
        finally:
            torch.set_deterministic_debug_mode(mode)
            settings.fill_uninitialized_memory = filled


def floating(value: Any) -> bool:
    """Whether an argument gets a gradient."""
    return torch.is_tensor(value) and value.is_floating_point()


def guarded(value: Any) -> Any:
    """The tensor as a leaf within memory that is NaN on both sides where `poisoned` holds."""
    if not floating(value):
        return value
    memory = torch.empty(value.numel() + 2 * GUARD, dtype=value.dtype, device=value.device)
    inner = memory[GUARD : GUARD + value.numel()].view(value.shape)
    return inner.copy_(value).detach().requires_grad_()


def exact(value: Any) -> Any:
    """The tensor as a leaf in float64."""
    return value.detach().double().requires_grad_() if floating(value) else value


def results(
    function: Callable[..., tuple[Tensor, ...]],
    inputs: Inputs,
    cotangents: Callable[[Sequence[Tensor]], Sequence[Tensor]],
) -> dict[str, Tensor]:
    """Outputs and gradients by name; `cotangents` makes what is propagated back for the outputs."""
    outputs = function(**inputs)
    leaves = {name: value for name, value in inputs.items() if floating(value)}
    pairs = [(y, g) for y, g in zip(outputs, cotangents(outputs), strict=True) if y.requires_grad]
    gradients = torch.autograd.grad(
        [y for y, _ in pairs], list(leaves.values()), [g for _, g in pairs], allow_unused=True
    )
    found = {f"output {i}": y.detach() for i, y in enumerate(outputs)}
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        found[f"gradient of {name}"] = torch.zeros_like(leaf) if gradient is None else gradient
    return found


def relative_error(found: Tensor, expected: Tensor, usual: float = 0.0) -> float:
    """Norm of the error relative to the expected norm, or to the usual one where that is larger.

    Infinite for other shapes and for values that are not finite.
    """
    if (
        found.shape != expected.shape
        or not torch.isfinite(found).all()
        or not torch.isfinite(expected).all()
    ):
        return float("inf")
    size = max(expected.norm().item(), usual)
    difference = (found.double() - expected).norm().item()
    return difference / size if size else (float("inf") if difference else 0.0)


def compare(
    operation: Operation, sizes: Sizes, dtype: torch.dtype, device: torch.device, seed: int
) -> dict[str, float]:
    """Relative error of every output and gradient of one case, which draws its own numbers from the
    seed.

    The gradient of a number or two can nearly cancel for one draw of what is propagated back, and
    its rounding is then large beside it. So where the tolerance is exceeded, errors count relative
    to the norm over several draws.
    """
    generator = torch.Generator().manual_seed(
        zlib.crc32(f"{seed} {describe(operation.name, dtype, sizes)}".encode())
    )
    drawn: list[Tensor] = []

    def draw(outputs: Sequence[Tensor]) -> Sequence[Tensor]:
        return [normal(y.shape, y.dtype, y.device, generator) for y in outputs]

    def draw_first(outputs: Sequence[Tensor]) -> Sequence[Tensor]:
        drawn.extend(draw(outputs))
        return [g.clone() for g in drawn]

    def draw_again(outputs: Sequence[Tensor]) -> Sequence[Tensor]:
        return [g.to(y.dtype) for g, y in zip(drawn, outputs, strict=True)]

    with poisoned(device):
        inputs = operation.inputs(sizes, dtype, device, generator)
        leaves = {name: guarded(value) for name, value in inputs.items()}
        with demanded_triton(device):
            found = results(operation.run, leaves, draw_first)
        changed = [
            n
            for n, leaf in leaves.items()
            if floating(leaf) and not torch.equal(leaf.detach(), inputs[n])
        ]
        if changed:
            raise RuntimeError(f"it changed its inputs {', '.join(changed)}")
        del leaves
        precise = {name: exact(value) for name, value in inputs.items()}
        expected = results(operation.reference, precise, draw_again)
        errors = {name: relative_error(value, expected[name]) for name, value in found.items()}
        if any(
            math.isfinite(error) and error > operation.tolerance[dtype] for error in errors.values()
        ):
            draws = [expected, *(results(operation.reference, precise, draw) for _ in range(DRAWS))]
            for name in errors:
                usual = math.sqrt(sum(draw[name].norm().item() ** 2 for draw in draws) / len(draws))
                errors[name] = relative_error(found[name], expected[name], usual)
        return errors
