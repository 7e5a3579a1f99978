"""Components that no genome is: the model of transformers in segments."""

from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from star.base.errors import UserError
from star.base.files import check_tensors, copy_weights, named_weights
from star.genomes.hybrids import ForeignComponent
from star.models.cache import Memory
from star.models.hybrid.components import build_component
from star.models.hybrid.families import (
    ADAPTERS,
    cut_vocabulary,
    foreign_component,
    module_weights,
)
from star.models.hybrid.foreign import ForeignModule
from tests.hybrids.their_models import FOREIGN, foreign

pytestmark = pytest.mark.slow  # models of transformers, a second each

LAYERS = 4


def component_of(theirs: Any) -> ForeignComponent:
    family = theirs.config.model_type
    return foreign_component("tiny", "0" * 16, family, theirs.config.to_dict(), theirs)


def module_of(theirs: Any) -> ForeignModule:
    module = build_component(component_of(theirs))
    weights = module_weights(theirs, theirs.config.model_type)
    check_tensors(named_weights(module), weights, "theirs")  # type: ignore[arg-type]
    copy_weights(module, weights)
    return module


@pytest.mark.parametrize("case", FOREIGN)
@given(cuts=st.sets(st.integers(1, LAYERS - 1)), parts=st.lists(st.integers(1, 6), max_size=3))
@settings(max_examples=5)
@torch.no_grad()
def test_segments_of_any_lengths_are_the_whole(case: str, cuts: set[int], parts: list[int]) -> None:
    """With memories, over tokens given in any parts; GPT-Neo's window is shorter than they are."""
    theirs, places = foreign(case), [0, *sorted(cuts), LAYERS]
    module = module_of(theirs).eval()
    lengths = [*parts, 1, 1]
    tokens = torch.randint(256, (2, sum(lengths)))
    memories = [
        Memory(24, {name: torch.zeros(2, *shape) for name, shape in shapes.items()})
        for shapes in (module.memory_shapes(layer, 24) for layer in range(LAYERS))
    ]
    found, position = [], 0
    for part in tokens.split(lengths, dim=1):
        x = module.begin(part, position)
        for begin, end in pairwise(places):
            x = module.run(range(begin, end), x, {}, memories[begin:end])
        position += part.shape[1]
        for memory in memories:
            memory.position = position
        found.append(module.finish(x))
    expected = theirs(tokens).logits
    torch.testing.assert_close(torch.cat(found, dim=1), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", FOREIGN)
@torch.no_grad()
def test_in_parallel_it_is_theirs_bit_for_bit(case: str) -> None:
    theirs, tokens = foreign(case), torch.randint(256, (2, 17))
    theirs.set_attn_implementation("sdpa" if theirs._supports_sdpa else "eager")
    module = module_of(theirs)
    assert module.training  # no dropout is left
    assert torch.equal(module.whole(tokens), theirs.eval()(tokens).logits)


@pytest.mark.parametrize("case", FOREIGN)
def test_costs_are_those_of_the_module(case: str) -> None:
    component = component_of(foreign(case))
    module = ForeignModule(component)
    assert component.layers == LAYERS and set(module.layers) == set("0123")
    for name in module.layers:
        own = sum(weight.numel() for weight in module.layers[name].parameters())
        assert own == component.parameters(range(1))
    total = sum(weight.numel() for weight in module.parameters())
    assert total == sum(component.ends()) + component.parameters(range(LAYERS))


@pytest.mark.parametrize("case", ["gpt2", "llama_yarn", "gpt_neox"])
def test_a_cut_vocabulary_has_fewer_rows(case: str) -> None:
    """GPT-2's has positions beside it, Llama's is the head, GPT-NeoX has a head of its own."""
    component = cut_vocabulary(component_of(foreign(case)), 200)
    module = ForeignModule(component)
    assert module.embedding_table().shape == (200, 32)
    total = sum(weight.numel() for weight in module.parameters())
    assert total == sum(component.ends()) + component.parameters(range(LAYERS))
    assert module.whole(torch.zeros(1, 3, dtype=torch.int64)).shape == (1, 3, 200)


def test_what_is_not_kept_is_dropped() -> None:
    module = module_of(foreign("gpt2"))
    tied = deepcopy(module)
    module.keep([1, 2], begins=False, finishes=False)
    assert {name.split(".")[0] for name in named_weights(module)} == {"layers"}
    assert set(module.layers) == {"1", "2"}
    x = torch.randn(1, 3, 32)
    assert module.run(range(1, 3), x, {}, [None, None]).shape == x.shape
    tied.keep([], begins=False, finishes=True)
    assert set(named_weights(tied)) == {
        "embedding.weight", "positions.weight", "norm.weight", "norm.bias",
    }  # fmt: skip
    head = module_of(foreign("gpt_neox"))
    head.keep([], begins=False, finishes=True)
    assert set(named_weights(head)) == {"norm.weight", "norm.bias", "head.weight"}


def test_rotary_frequencies_stay_in_float32() -> None:
    """In bfloat16, positions beyond 256 would fall together."""
    module = module_of(foreign("llama_bias"))
    before = dict(module.base.named_buffers())
    module.to(torch.bfloat16)
    assert module.embedding_table().dtype == torch.bfloat16
    after = dict(module.base.named_buffers())
    assert after.keys() == before.keys() and before
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert module.whole(torch.zeros(1, 3, dtype=torch.int64)).dtype == torch.bfloat16


def test_a_configuration_keeps_what_decides_the_model_alone() -> None:
    theirs = foreign("gpt2")
    content = {
        **theirs.config.to_dict(), "auto_map": {"AutoModel": "own.Own"}, "torch_dtype": "float16",
        "quantization_config": {"bits": 4}, "_name_or_path": "gpt2", "use_cache": False,
    }  # fmt: skip
    component = foreign_component("tiny", "0" * 16, "gpt2", content, theirs)
    assert component.config == component_of(theirs).config
    assert {"n_layer", "n_embd", "activation_function"} <= component.config.keys()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"family": "bert"}, "family=bert: expected one of gpt2, gpt_neo"),
        ({"config": {"n_embd": "wide"}}, "configuration cannot be used (Validation error"),
        ({"config": {"n_embd": 30, "n_head": 4}}, "configuration cannot be used (`embed_dim` must"),
    ],
)
def test_a_component_that_no_model_is_is_refused(changed: dict[str, Any], message: str) -> None:
    component = replace(component_of(foreign("gpt2")), **changed)
    with pytest.raises(UserError) as refused:
        build_component(component)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_weights_beside_the_parts_are_refused() -> None:
    theirs = foreign("gpt_neox")
    theirs.own = torch.nn.Linear(2, 2)
    with pytest.raises(UserError, match=r"has own\.weight, which no part of a gpt_neox has"):
        module_weights(theirs, "gpt_neox")


def test_every_row_has_a_case() -> None:
    assert {foreign(case).config.model_type for case in FOREIGN} == set(ADAPTERS)


@pytest.mark.slow
def test_what_is_around_it_can_be_compiled() -> None:
    module, tokens = module_of(foreign("gpt2")), torch.randint(256, (2, 5))
    compiled = torch.compile(module.whole, backend="eager")
    assert torch.equal(compiled(tokens), module.whole(tokens))
