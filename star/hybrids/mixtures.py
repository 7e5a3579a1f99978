"""Three parametrisations of a mixture that gradients can search: DARTS, GAEA and DASH.

Each holds one row of numbers a block, and gives from it the weights of the components in that
block, which are positive and sum to one. They begin alike for all components.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch.optim import AdamW

TEMPERATURE = 1.0  # of DASH's softmax
BETAS = (0.9, 0.999)


class Parametrisation(Protocol):
    """What a search asks of a mixture. Shapes are (blocks, components)."""

    values: torch.Tensor  # that gradients are taken of

    def weights(self) -> torch.Tensor:
        """The mixture, with gradients to `values`."""
        ...

    def drawn(self, noise: np.random.Generator) -> torch.Tensor:
        """What the model is run with in one step: the mixture, or a sample around it."""
        ...

    def update(self, gradient: torch.Tensor) -> None:
        """One step against a gradient of `values`, in place."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """All tensors that it goes on from, themselves."""
        ...


class Darts:
    """`softmax(alpha)`; AdamW without decay on alpha (Liu et al. 2019, arXiv 1806.09055)."""

    def __init__(
        self,
        shape: tuple[int, int],
        learning_rate: float,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """shape: (blocks, components)."""
        self.values = torch.zeros(shape, device=device, dtype=dtype, requires_grad=True)
        self._optimizer = AdamW([self.values], learning_rate, BETAS, weight_decay=0.0)
        # As AdamW itself would begin, so that a state can be written into it.
        self._moments = {
            "step": torch.zeros(()),
            "exp_avg": torch.zeros_like(self.values, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(self.values, requires_grad=False),
        }
        self._optimizer.state[self.values] = self._moments

    def weights(self) -> torch.Tensor:
        """As `Parametrisation`."""
        return torch.softmax(self.values, dim=-1)

    def drawn(self, noise: np.random.Generator) -> torch.Tensor:
        """The mixture itself."""
        return self.weights()

    def update(self, gradient: torch.Tensor) -> None:
        """One step of AdamW."""
        self.values.grad = gradient
        self._optimizer.step()
        self.values.grad = None

    def state(self) -> dict[str, torch.Tensor]:
        """Alpha and its moments."""
        return {"values": self.values, **self._moments}


class Dash(Darts):
    """DARTS whose model sees `softmax((alpha + g) / T)` with g of Gumbel's distribution, drawn anew
    in each step (Jang et al. 2017, arXiv 1611.01144; as Manticore names it, DASH)."""

    def drawn(self, noise: np.random.Generator) -> torch.Tensor:
        """A sample; its mean nears the mixture, and its largest weight is as often each
        component's as the mixture says."""
        gumbel = torch.from_numpy(noise.gumbel(size=tuple(self.values.shape))).to(self.values)
        return torch.softmax((self.values + gumbel) / TEMPERATURE, dim=-1)


class Gaea:
    """The weights themselves, kept on the simplex by exponentiated gradients: `theta <- theta *
    exp(-rate * gradient)`, and each row divided by its sum (Li et al. 2021, arXiv 2004.07802)."""

    def __init__(
        self,
        shape: tuple[int, int],
        learning_rate: float,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """shape: (blocks, components)."""
        uniform = torch.full(shape, 1 / shape[1], device=device, dtype=dtype)
        self.values = uniform.requires_grad_()
        self._learning_rate = learning_rate

    def weights(self) -> torch.Tensor:
        """As `Parametrisation`."""
        return self.values * 1.0  # no leaf, as those of the others

    def drawn(self, noise: np.random.Generator) -> torch.Tensor:
        """The mixture itself."""
        return self.weights()

    @torch.no_grad()
    def update(self, gradient: torch.Tensor) -> None:
        """One exponentiated step; softmax of the logarithm is the division by the sum, and cannot
        overflow. A weight stays above zero, where it would be lost for good."""
        logarithm = self.values.log() - self._learning_rate * gradient
        self.values.copy_(torch.softmax(logarithm, dim=-1))
        self.values.clamp_(min=torch.finfo(self.values.dtype).tiny)

    def state(self) -> dict[str, torch.Tensor]:
        """The weights."""
        return {"values": self.values}


METHODS: dict[str, Callable[..., Parametrisation]] = {"darts": Darts, "gaea": Gaea, "dash": Dash}
