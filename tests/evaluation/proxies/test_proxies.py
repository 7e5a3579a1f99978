"""Training-free scores: closed forms of models that are small enough to have one, and promises that
hold for every architecture."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from star.data import Corpus, DataConfig
from star.evaluation import Recipe
from star.evaluation.proxies import (
    PROXIES,
    ProxyScores,
    gradient_norm,
    jacobian_covariance,
    snip,
    zico,
)
from star.evaluation.proxies.jacobians import JITTER
from star.genomes import CacheSetting, Genome, ModelConfig, library_names, load_genome
from star.models import decode
from star.training import TrainingConfig

VOCABULARY = 5
TOKENS = torch.tensor([[0, 1, 2, 3], [1, 1, 4, 0], [2, 3, 0, 1], [4, 0, 0, 2]])


class Bigram(nn.Module):
    """Its logits are the row of the last token: softmax regression, whose gradient is known."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(VOCABULARY, VOCABULARY, generator=generator)
        self.embedding = nn.Embedding.from_pretrained(weight, freeze=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.embedding(tokens)


class Summed(nn.Module):
    """Linear in its embeddings: the Jacobian is the same for all sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(VOCABULARY, 3), nn.Linear(3, VOCABULARY)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(tokens))


def gradient(weight: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Of the mean cross-entropy of `Bigram`: (softmax - one-hot) / predictions, by given token."""
    given, wanted = tokens[:, :-1].ravel(), tokens[:, 1:].ravel()
    found = np.zeros_like(weight)
    for before, after in zip(given, wanted, strict=True):
        share = np.exp(weight[before]) / np.exp(weight[before]).sum()
        found[before] += (share - np.eye(VOCABULARY)[after]) / len(given)
    return found


def weight_of(model: Bigram) -> np.ndarray:
    return model.embedding.weight.detach().double().numpy()


def test_gradient_norm_and_snip_of_softmax_regression() -> None:
    model = Bigram()
    weight = weight_of(model)
    expected = gradient(weight, TOKENS.numpy())
    assert gradient_norm(model, TOKENS) == pytest.approx(np.linalg.norm(expected), rel=1e-5)
    assert snip(model, TOKENS) == pytest.approx(np.abs(weight * expected).sum(), rel=1e-5)


def test_zico_of_softmax_regression() -> None:
    model = Bigram()
    sizes = np.abs([gradient(weight_of(model), part[None]) for part in TOKENS.numpy()])
    spread = sizes.std(axis=0)
    varies = spread > 1e-9
    expected = math.log((sizes.mean(axis=0)[varies] / spread[varies]).sum())
    assert zico(model, TOKENS) == pytest.approx(expected, rel=1e-4)


def test_jacobians_that_agree_have_the_worst_score() -> None:
    torch.manual_seed(0)
    count = len(TOKENS)
    first, rest = count + JITTER, JITTER  # eigenvalues of a matrix of ones
    expected = -(math.log(first) + 1 / first + (count - 1) * (math.log(rest) + 1 / rest))
    assert jacobian_covariance(Summed(), TOKENS) == pytest.approx(expected, rel=1e-3)
    uncorrelated = -count * (math.log(1 + JITTER) + 1 / (1 + JITTER))
    assert expected < jacobian_covariance(decode(Genome.from_text("11111"), SIZES), TOKENS)
    assert jacobian_covariance(decode(Genome.from_text("11111"), SIZES), TOKENS) < uncorrelated


SIZES = ModelConfig(width=32, window=8)
TRAINING = TrainingConfig(steps=2, batch_size=4, length=16, device="cpu", validation_batches=1)
RECIPE = Recipe(SIZES, CacheSetting(), TRAINING, DataConfig(), seed=0)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    text = np.frombuffer(b"to be, or not to be: that is the question. " * 40, dtype=np.uint8)
    return Corpus(text, text, "made up")


@pytest.mark.parametrize("name", PROXIES)
def test_every_design_has_a_score_and_keeps_its_weights(name: str, corpus: Corpus) -> None:
    tokens = corpus.batch(0, 0, 4, 16)
    found = set()
    for design in library_names():
        torch.manual_seed(0)
        model = decode(load_genome(design, 4)[0], SIZES)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        score = PROXIES[name](model, tokens)
        assert math.isfinite(score) and score == PROXIES[name](model, tokens)
        found.add(score)
        after = model.state_dict()
        assert all(torch.equal(value, after[key]) for key, value in before.items())
        assert all(weight.grad is None for weight in model.parameters())
    assert len(found) > len(library_names()) / 2  # designs that agree at this depth are equal


@pytest.mark.parametrize("name", ["zico", "jacobian_covariance"])
def test_one_sequence_has_no_spread(name: str) -> None:
    with pytest.raises(ValueError, match="a batch of 1: expected at least 2 sequences"):
        PROXIES[name](Bigram(), TOKENS[:1])


def test_scores_of_genomes_are_those_of_the_models_that_are_trained(corpus: Corpus) -> None:
    scores, genome = ProxyScores("snip", RECIPE, corpus), Genome.from_text("11111-91111")
    torch.manual_seed(RECIPE.seed)
    expected = snip(decode(genome, SIZES), corpus.batch(0, 0, 4, 16))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert scores(genome) == expected == scores(genome)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_built_has_the_worst_score(corpus: Corpus) -> None:
    narrow = Recipe(ModelConfig(width=20), CacheSetting(), TRAINING, DataConfig(), seed=0)
    assert ProxyScores("snip", narrow, corpus)(Genome.from_text("31111-91111")) == -math.inf
