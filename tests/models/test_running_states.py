"""Running states add up thousands of positions in bfloat16 as float64 does, since they are float32;
in the cache's own dtype, they stop growing."""

import pytest
import torch

from star.genomes import ALPHABETS, Genome, Liv, LivClass, ModelConfig
from star.models import Cache, LanguageModel, decode
from star.models.cache import Memory
from star.models.structures.base import STATE
from star.models.structures.state_space import SemiSeparable, Transition

RELEASED = ALPHABETS["released"]
MODEL = ModelConfig(width=32, vocabulary=32)
POSITIONS = 4000
REMEMBERING = [c for c in RELEASED.classes if c.operator.structure.states(c, (), MODEL, 1)]


def model_of(liv_class: LivClass) -> LanguageModel:
    """Of one LIV, whose states so depend on no rounded activations of others."""
    torch.manual_seed(0)
    return decode(Genome((Liv(liv_class.id),), RELEASED), MODEL).to(torch.bfloat16).eval()


def stepped(model: LanguageModel, tokens: torch.Tensor, **dtypes: torch.dtype) -> torch.Tensor:
    """The state after one step a token (length,)."""
    cache = Cache.allocate(model, 1, len(tokens), **dtypes)
    for token in tokens:
        model.step(token[None], cache)
    return cache.memories[0].buffers[STATE].double()


def exact(model: LanguageModel, tokens: torch.Tensor) -> torch.Tensor:
    """The state in float64, of the same weights."""
    cache = Cache.allocate(model.double(), 1, len(tokens), state_dtype=torch.float64)
    model.prefill(tokens[None], cache)
    return cache.memories[0].buffers[STATE]


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_these_classes_remember_states() -> None:
    names = {"Rec-1", "Rec-2", "Rec-1-Diff", "Rec-2-Diff", "LinAttn", "GatedDelta", "SSD", "KDA"}
    names |= {"SSD-128", "GatedDelta-Neg"}
    assert {liv_class.name for liv_class in REMEMBERING} == names


@pytest.mark.slow
@pytest.mark.parametrize("liv_class", REMEMBERING, ids=lambda liv_class: liv_class.name)
def test_states_are_those_of_float64_after_thousands_of_steps(liv_class: LivClass) -> None:
    model = model_of(liv_class)
    tokens = torch.randint(0, MODEL.vocabulary, (POSITIONS,))  # as `model_of` left the generator
    assert error(stepped(model, tokens), exact(model, tokens)) < 0.01


def read_out(state_dtype: torch.dtype) -> float:
    """What `h <- exp(-0.001) h + 0.001`, which nears 1, holds after 4,000 steps."""
    rec = RELEASED.by_id[5]
    scan, state = SemiSeparable(rec, MODEL, 0, ()), rec.operator.state
    with torch.no_grad():
        scan.skip.zero_()
    memory = Memory(POSITIONS, {STATE: torch.zeros(1, *scan.shape, dtype=state_dtype)})
    one = torch.ones(1, 1, MODEL.width, dtype=torch.bfloat16)
    rate = -torch.ones(MODEL.width, state)
    mean = torch.full((1, 1, state), 1 / state, dtype=torch.bfloat16)
    features = {
        "V": (one,), "G": (one,), "B": (torch.ones_like(mean),), "C": (mean,),
        "A": (Transition(0.001 * one, rate),),
    }  # fmt: skip
    y = torch.empty(0)
    for _ in range(POSITIONS):
        y = scan(features, memory)
    return float(y.mean())


@pytest.mark.slow
def test_an_analytic_scan_reads_what_is_right() -> None:
    assert read_out(torch.float32) == pytest.approx(0.982, abs=0.003)  # bfloat16 of the output
    assert read_out(torch.bfloat16) < 0.5  # what the smaller states would cost
