"""The model of a hybrid against its components, and against what its costs predict."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from star.base.errors import UserError
from star.base.files import named_weights, write_tensors
from star.genomes import CacheSetting, Genome, GenomeFile, cache_bytes, parameter_count
from star.genomes.hybrids import PROJECTORS
from star.models import Cache, decode, load_checkpoint, save_checkpoint
from star.models.generation import Sampling, generate
from star.models.hybrid import HybridModel, build_projector, fitted, gate
from star.models.hybrid.mixture import COMPONENTS, PROJECTORS_FILE
from star.models.hybrid.own_weights import DIGEST
from tests.mixtures import PARTS, hybrid_of, mixed, written

TOKENS = torch.randint(256, (2, 20), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("projector", PROJECTORS)
def test_a_component_alone_is_itself(tmp_path: Path, projector: str) -> None:
    hybrid = hybrid_of(*PARTS, blocks=3, parts=2, projector=projector)
    alphabet, models = written(tmp_path, hybrid)
    for number, model in enumerate(models):
        alone = Genome.from_genes([[alphabet.alone(number).id, 1, 1, 1, 1]] * 3, alphabet)
        found = decode(alone, hybrid.sizes)
        assert torch.equal(found(TOKENS), model(TOKENS))
        assert len(named_weights(found)) == len(named_weights(model))


def test_ends_of_one_component(tmp_path: Path) -> None:
    hybrid = hybrid_of("attention", "lfm2", ends="1")
    alphabet, models = written(tmp_path, hybrid)
    found = decode(mixed(alphabet, "Mix-0-4", "Mix-0-4"), hybrid.sizes)
    assert torch.equal(found(TOKENS), models[1](TOKENS))


@pytest.mark.parametrize("ends", ["averaged", "shared"])
def test_averaged_ends_begin_as_the_mean(tmp_path: Path, ends: str) -> None:
    hybrid = hybrid_of("attention", "lfm2", ends=ends)
    alphabet, models = written(tmp_path, hybrid)
    found = decode(mixed(alphabet, "Mix-0-4", "Mix-0-4"), hybrid.sizes)
    assert isinstance(found, HybridModel)
    expected = sum(fitted(model.embedding(TOKENS), 64) for model in models) / 2
    torch.testing.assert_close(found._begin(TOKENS, 0), expected)


def test_without_heads_it_gives_normed_vectors(tmp_path: Path) -> None:
    """What an auto-encoder reads, as in mad-lab's compression."""
    alphabet, models = written(tmp_path, hybrid_of("lfm2", "lfm2"))
    found = decode(mixed(alphabet, "Mix-0-4", "Mix-0-4"), alphabet.hybrid.sizes)
    assert isinstance(found, HybridModel)
    found.drop_heads()
    models[1].head = torch.nn.Identity()  # type: ignore[assignment]
    vectors = found(TOKENS)
    assert torch.equal(vectors, models[1](TOKENS))
    shared = HybridModel(replace(alphabet.hybrid, ends="shared"), [[0.5, 0.5]] * 2)
    shared.drop_heads()
    assert shared(TOKENS).shape == vectors.shape == (2, 20, 64)
    several = hybrid_of("attention", "lfm2")
    with pytest.raises(ValueError, match=r"widths \[32, 64\]"):
        HybridModel(several, [[0.5, 0.5]] * 2).drop_heads()


@pytest.mark.parametrize("projector", PROJECTORS)
def test_the_equation(tmp_path: Path, projector: str) -> None:
    """Equation of arXiv 2406.00894, written out for one block of two components."""
    hybrid = hybrid_of("attention", "lfm2", blocks=1, projector=projector)
    alphabet, models = written(tmp_path, hybrid)
    found = decode(mixed(alphabet, "Mix-1-3"), hybrid.sizes)
    assert isinstance(found, HybridModel)
    stream = 0.25 * fitted(models[0].embedding(TOKENS), 64) + 0.75 * models[1].embedding(TOKENS)
    mixture = torch.zeros_like(stream)
    for number, weight in enumerate((0.25, 0.75)):
        width = hybrid.components[number].width
        own = (1 - weight) * found.into[f"0_{number}"](stream) + weight * stream[..., :width]
        for liv in models[number].livs:
            own = own + liv(own, {})[0]
        padded = torch.cat([own, torch.zeros(*own.shape[:2], 64 - width)], dim=-1)
        mixture += weight * ((1 - weight) * found.out[f"0_{number}"](own) + weight * padded)
    logits = sum(
        weight
        * model.norm(mixture[..., : model.norm.normalized_shape[0]])
        @ model.embedding.weight.T
        for weight, model in zip((0.25, 0.75), models, strict=True)
    )
    torch.testing.assert_close(found(TOKENS), logits)


@pytest.mark.parametrize("ends", ["mixed", "averaged", "shared", "0"])
def test_costs_are_those_of_the_model(tmp_path: Path, ends: str) -> None:
    hybrid = hybrid_of("attention", "sharing", blocks=2, parts=2, ends=ends)
    alphabet, _ = written(tmp_path, hybrid)
    setting = CacheSetting(32, 2, "float32")
    for names in product(("Mix-2-0", "Mix-1-1", "Mix-0-2"), repeat=2):
        genome = mixed(alphabet, *names)
        model = decode(genome, hybrid.sizes)
        count = parameter_count(genome, hybrid.sizes)
        expected = sum(weight.numel() for weight in named_weights(model).values())
        assert count.non_embedding + count.embedding == expected
        cache = Cache.allocate(model, 2, 32)
        assert cache.nbytes == cache_bytes(genome, hybrid.sizes, setting)
        with torch.no_grad():
            parallel = model(TOKENS)
        parts = [model.prefill(TOKENS[:, :7], cache)]
        parts += [model.step(TOKENS[:, t], cache)[:, None] for t in range(7, 20)]
        torch.testing.assert_close(torch.cat(parts, dim=1), parallel, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("projector", PROJECTORS)
def test_flops_of_projectors(projector: str) -> None:
    from star.genomes.hybrids.projectors import pair_cost

    pair = build_projector(projector, 64, 32), build_projector(projector, 32, 64)
    with FlopCounterMode(display=False) as counter:
        pair[1](pair[0](torch.randn(1, 1, 64)))
    assert counter.get_total_flops() == 2 * pair_cost(projector, 64, 32).weights


def test_a_projector_that_begins_as_the_identity() -> None:
    x = torch.randn(2, 3, 64)
    for kind in ("identity", "skip"):
        for width in (32, 64, 96):
            projector = build_projector(kind, 64, width)
            torch.testing.assert_close(projector(x), fitted(x, width))
            torch.testing.assert_close(gate(0.3, projector, x, width), fitted(x, width))


def test_gradients_reach_what_they_should(tmp_path: Path) -> None:
    hybrid = hybrid_of("attention", "lfm2", projector="skip")
    alphabet, _ = written(tmp_path, hybrid)
    model = decode(mixed(alphabet, "Mix-2-2", "Mix-4-0"), hybrid.sizes)
    model(TOKENS).sum().backward()
    names = {name for name, weight in model.named_parameters() if weight.grad is None}
    assert not names, "every weight that is there is used"
    assert isinstance(model, HybridModel)
    assert not any(name.startswith("1_") for name in model.into), "a block of one component"
    # A projector at zero gets gradients, and passes none on to the component through itself.
    for weight in model.into.parameters():
        assert float(weight.grad.abs().sum()) > 0 if weight.grad is not None else False


def test_gradients_of_a_mixture_are_right(tmp_path: Path) -> None:
    hybrid = hybrid_of("attention", "lfm2", blocks=1)
    written(tmp_path, hybrid)
    torch.manual_seed(0)
    model = HybridModel(hybrid, [[0.5, 0.5]]).double()
    tokens = TOKENS[:1, :5]

    def logits(alpha: torch.Tensor) -> torch.Tensor:
        model.weights = alpha.softmax(dim=-1)
        return model(tokens)[..., :3]

    alpha = torch.tensor([[0.3, -0.2]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(logits, (alpha,))


def test_a_checkpoint_is_whole_wherever_it_is(tmp_path: Path) -> None:
    hybrid = replace(hybrid_of("attention", "sharing"), mixture=((0.3, 0.7), (0.9, 0.1)))
    alphabet, _ = written(tmp_path / "hybrid", hybrid)
    genome = mixed(alphabet, "found", "Mix-1-3")
    model = decode(genome, hybrid.sizes)
    (tmp_path / "saved").mkdir()
    save_checkpoint(tmp_path / "saved", model, GenomeFile("one", genome), hybrid.sizes)
    (tmp_path / "hybrid").rename(tmp_path / "gone")
    moved = (tmp_path / "saved").rename(tmp_path / "moved")
    loaded = load_checkpoint(moved)
    assert loaded.genome.genome.id == genome.id
    assert torch.equal(loaded.model(TOKENS), model(TOKENS))
    tokens = [
        list(generate(one, Cache.allocate(one, 1, 24), [1, 2, 3], Sampling(temperature=0)))
        for one in (model, loaded.model)
    ]
    assert tokens[0] == tokens[1]
    assert len(tokens[0]) == 22


def test_weights_of_another_hybrid_are_refused(tmp_path: Path) -> None:
    """Of the same shapes, whatever their file says of itself."""
    hybrid = replace(hybrid_of("attention", "lfm2"), projectors="b" * 16)
    alphabet, models = written(tmp_path, hybrid)
    genome, sizes = mixed(alphabet, "Mix-4-0", "Mix-4-0"), hybrid.sizes
    path = tmp_path / PROJECTORS_FILE
    with pytest.raises(UserError, match=f"{PROJECTORS_FILE}.*missing"):
        decode(genome, sizes)
    write_tensors(path, {"unused": torch.zeros(1)}, {DIGEST: "b" * 16})
    with pytest.raises(UserError, match=r"projectors.*digest \w{16}, expected b{16}"):
        decode(genome, sizes)
    own = tmp_path / COMPONENTS / "0.safetensors"
    digest = alphabet.hybrid.components[0].digest
    changed = {name: 2 * weight for name, weight in named_weights(models[0]).items()}
    write_tensors(own, changed, {DIGEST: digest})
    with pytest.raises(UserError, match=rf"0.safetensors.*digest \w{{16}}, expected {digest}"):
        decode(genome, sizes)
