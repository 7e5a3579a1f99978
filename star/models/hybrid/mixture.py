"""The model of a hybrid: components beside each other, mixed block for block.

Source: Manticore (arXiv 2406.00894), section 3; `star.genomes.hybrids.Hybrid` has the equation.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from star.base.files import check_tensors, copy_weights, named_weights
from star.genomes import Genome
from star.genomes.alphabets import HYBRID
from star.genomes.hybrids import COMPONENTS as COMPONENTS
from star.genomes.hybrids import Hybrid
from star.genomes.hybrids import has_components as has_components
from star.genomes.hybrids.hybrid import SHARED

from ..cache import Memory
from ..featurizer import INITIAL_STD
from ..language_model import LanguageModel
from .components import Shapes, State, build_component, finished
from .own_weights import read_own
from .projectors import build_projector, fitted

PROJECTORS_FILE = "projectors.safetensors"  # of projectors that were trained before
Weights = Sequence[Sequence[float]] | torch.Tensor  # of the components in each block


def gate(
    weight: float | torch.Tensor, projector: nn.Module | None, x: torch.Tensor, width: int
) -> torch.Tensor:
    """`(1 - a) P(x) + a x` of x (batch, length, channels), as (batch, length, width).

    Args:
        weight: a, a number or a tensor of none dimension.
        projector: P; None where a is 1.
        x: what is given.
        width: that is wanted.
    """
    if projector is None:
        return fitted(x, width)
    return (1 - weight) * projector(x) + weight * fitted(x, width)


def counts(weight: float | torch.Tensor) -> bool:
    """Whether a weight is not zero."""
    return bool(weight.detach() if isinstance(weight, torch.Tensor) else weight)


class Ends(nn.Module):
    """An embedding, norm and head of the hybrid's own."""

    def __init__(self, hybrid: Hybrid) -> None:
        super().__init__()
        self.embedding = nn.Embedding(hybrid.vocabulary, hybrid.width)
        nn.init.normal_(self.embedding.weight, std=INITIAL_STD)
        self.norm = nn.RMSNorm(hybrid.width, eps=hybrid.sizes.norm_eps)
        self.head: nn.Module | None = None  # None: the embedding

    def finish(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, length, width) to logits (batch, length, vocabulary)."""
        return finished(x, self.norm, self.head, self.embedding)

    def average(self, tables: Sequence[torch.Tensor]) -> None:
        """Begin as the mean of embeddings (vocabulary, own width)."""
        with torch.no_grad():
            padded = [fitted(table, self.embedding.embedding_dim) for table in tables]
            self.embedding.weight.copy_(torch.stack(padded).mean(dim=0))


class HybridModel(LanguageModel):
    """A language model whose blocks are mixtures of components.

    It has no LIVs of its own: those of its components are in `components`. The mixture is fixed;
    a search for one sets `weights` to a tensor (blocks, components) that gradients reach, and keeps
    all components in all blocks.
    """

    def __init__(self, hybrid: Hybrid, weights: Sequence[Sequence[float]]) -> None:
        """Build it with fresh weights.

        Args:
            hybrid: the components.
            weights: of each block, of each component.
        """
        nn.Module.__init__(self)
        self.hybrid = hybrid
        self.weights: Weights = weights
        self.needed = hybrid.needed(weights)
        # The place of each layer's memory among all, by component and layer.
        there = (
            (number, layer)
            for number, segments in enumerate(hybrid.segments)
            for block, layers in enumerate(segments)
            if self.needed[block][number]
            for layer in layers
        )
        self._places = {key: place for place, key in enumerate(there)}
        modules = [build_component(component) for component in hybrid.components]
        self.components = nn.ModuleList(modules)
        self.into = self._projectors(is_out=False)
        self.out = self._projectors(is_out=True)
        self.ends = Ends(hybrid) if hybrid.ends == SHARED else None

    def _projectors(self, is_out: bool) -> nn.ModuleDict:
        """By block and component, `1_0`: where its weight is neither 0 nor 1."""
        hybrid, found = self.hybrid, {}
        for block, row in enumerate(self.weights):
            for number, weight in enumerate(row):
                if 0 < float(weight) < 1:
                    widths = (hybrid.width, hybrid.components[number].width)
                    pair = widths[::-1] if is_out else widths
                    found[f"{block}_{number}"] = build_projector(hybrid.projector, *pair)
        return nn.ModuleDict(found)

    def drop_heads(self) -> None:
        """From now on give normed vectors (batch, length, width) in place of logits, where all
        components are of one width; raises ValueError for others."""
        widths = {component.width for component in self.hybrid.components}
        if len(widths) > 1:
            raise ValueError(f"components of widths {sorted(widths)}, expected one width")
        for module in (*self.components, *([self.ends] if self.ends is not None else [])):
            module.head = nn.Identity()

    def trim(self) -> None:
        """Drop what has no weight: layers, embeddings, heads."""
        first = self.hybrid.end_weights(self._numbers, 0)
        last = self.hybrid.end_weights(self._numbers, -1)
        for number, component in enumerate(self.components):
            kept = [layer for owner, layer in self._places if owner == number]
            begins, finishes = bool(first[number]), bool(last[number])
            component.keep(kept, begins, finishes)  # type: ignore[operator]

    @property
    def _numbers(self) -> Sequence[Sequence[float]]:
        weights = self.weights
        return weights.tolist() if isinstance(weights, torch.Tensor) else weights

    def _layers(self, number: int, block: int) -> range:
        return self.hybrid.segments[number][block]

    def memory_shapes(self, context: int) -> Shapes:
        """For each layer that is there, the buffers that generation writes once."""
        modules: Any = self.components
        return [modules[n].memory_shapes(layer, context) for n, layer in self._places]

    def state_shapes(self) -> Shapes:
        """For each layer that is there, the running states of generation."""
        modules: Any = self.components
        return [modules[n].state_shapes(layer) for n, layer in self._places]

    @property
    def dtype(self) -> torch.dtype:
        """That of the weights."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """That of the weights."""
        return next(self.parameters()).device

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens int64 (batch, length) to logits (batch, length, vocabulary)."""
        return self._run(tokens, [None] * len(self._places))

    def _run(self, tokens: torch.Tensor, memories: Sequence[Memory | None]) -> torch.Tensor:
        states: list[State] = [{} for _ in self.components]
        position = memories[0].position if memories and memories[0] is not None else 0
        x = self._begin(tokens, position)
        for block in range(self.hybrid.blocks):
            mixed = torch.zeros_like(x)
            for number, there in enumerate(self.needed[block]):
                if there:
                    layers = self._layers(number, block)
                    own = [memories[self._places[number, layer]] for layer in layers]
                    mixed = mixed + self._mixed(block, number, x, states[number], own)
            x = mixed
        return self._finish(x)

    def _mixed(
        self,
        block: int,
        number: int,
        x: torch.Tensor,
        state: State,
        memories: Sequence[Memory | None],
    ) -> torch.Tensor | float:
        """What one component adds to the stream x (batch, length, width); 0 where it has no weight
        and is there to be borrowed from."""
        module: Any = self.components[number]
        weight, name = self.weights[block][number], f"{block}_{number}"
        into, out = (self._projector(modules, name) for modules in (self.into, self.out))
        own = gate(weight, into, x, self.hybrid.components[number].width)
        own = module.run(self._layers(number, block), own, state, memories)
        if into is None and not counts(weight):
            return 0.0
        return weight * gate(weight, out, own, self.hybrid.width)

    @staticmethod
    def _projector(modules: nn.ModuleDict, name: str) -> nn.Module | None:
        return modules[name] if name in modules else None  # noqa: SIM401  # it has no `get`

    def _end_weights(self, block: int) -> Sequence[float] | torch.Tensor:
        weights = self.weights
        if isinstance(weights, torch.Tensor) and self.hybrid.ends == "mixed":
            return weights[block]
        return self.hybrid.end_weights(self._numbers, block)

    def _begin(self, tokens: torch.Tensor, position: int) -> torch.Tensor:
        if self.ends is not None:
            return self.ends.embedding(tokens)
        modules: Any = self.components
        return sum(  # type: ignore[return-value]
            weight * fitted(modules[number].begin(tokens, position), self.hybrid.width)
            for number, weight in enumerate(self._end_weights(0))
            if counts(weight)
        )

    def _finish(self, x: torch.Tensor) -> torch.Tensor:
        if self.ends is not None:
            return self.ends.finish(x)
        modules: Any = self.components
        return sum(  # type: ignore[return-value]
            weight * modules[number].finish(fitted(x, self.hybrid.components[number].width))
            for number, weight in enumerate(self._end_weights(-1))
            if counts(weight)
        )


def load_components(model: HybridModel, folder: Path) -> None:
    """Write pretrained weights of components, and of projectors where there are any, into a model
    that is whole. Raises `UserError` for weights that are missing or others."""
    for number, module in enumerate(model.components):
        path = folder / COMPONENTS / f"{number}.safetensors"
        found = read_own(path, model.hybrid.components[number].digest)
        check_tensors(named_weights(module), found, path, any_float=True)
        copy_weights(module, found)
    if model.ends is not None:
        modules: Any = model.components
        model.ends.average([module.embedding_table() for module in modules])
    _load_projectors(model, folder / PROJECTORS_FILE)


def _load_projectors(model: HybridModel, path: Path) -> None:
    if not path.exists() and not model.hybrid.projectors:
        return
    found = read_own(path, model.hybrid.projectors)
    for prefix, modules in (("into", model.into), ("out", model.out)):
        own = {f"{prefix}.{name}": weight for name, weight in modules.named_parameters()}
        # The file has projectors of all blocks; those of a component alone in a block are not here.
        check_tensors(own, {n: w for n, w in found.items() if n in own}, path, any_float=True)
        with torch.no_grad():
            for name, weight in own.items():
                weight.copy_(found[name])


def decode_hybrid(genome: Genome) -> HybridModel:
    """The model of a genome over a hybrid's letters: pretrained components, projectors that are
    fresh or were trained before. In a folder without weights of components, as that of a checkpoint
    is, they are fresh too.

    Raises `UserError` for weights that cannot be read or are those of something else.
    """
    hybrid = genome.alphabet.hybrid
    assert hybrid is not None
    model = HybridModel(hybrid, hybrid.weights(genome))
    if has_components(genome.alphabet.name):
        load_components(model, Path(genome.alphabet.name.removeprefix(HYBRID)))
    model.trim()
    return model
