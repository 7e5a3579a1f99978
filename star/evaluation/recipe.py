"""The recipe: everything but the genome that decides an evaluation's result, and its key."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from star.base.ranges import Range, expect_ranges
from star.base.settings import expect_seed
from star.data import Corpus, open_corpus
from star.data import DataConfig as DataConfig
from star.genomes import CacheSetting as CacheSetting
from star.genomes import Genome, GenomeError, ModelConfig, matched_width, read_match
from star.genomes.model_config import check_width
from star.training import TrainingConfig as TrainingConfig

# Raise it whenever the same recipe can give another result, so that ledgers do not mix them.
EVALUATION_VERSION = 1
DEVIATION = "validation_loss_deviation"  # metrics that come with the settings of a recipe, beside
LEARNING_RATE = "learning_rate"  # those of its objectives
MOST_SEEDS = 1000  # that one candidate is trained with
RANGES = {"seeds": Range(1, MOST_SEEDS)}


@dataclass
class EvaluationConfig:
    """How often a candidate is trained."""

    seeds: int = 1  # trainings of each candidate, with seeds from `seed` on; metrics are the means

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        expect_ranges("evaluation.", self, RANGES)


@dataclass
class SearchModelConfig(ModelConfig):
    """The sizes of a search; `width` is what costs are counted at."""

    search_width: int | None = None  # what candidates are trained at; null: width
    match: str | None = None  # state:4096 or parameters:350k: each candidate's width is the nearest

    def check(self) -> None:
        """Raise `GenomeError` when a size cannot be built."""
        super().check()
        if self.search_width is not None:
            check_width("search_width", self.search_width)
        if self.match is not None:
            read_match(self.match)
            if self.search_width is not None:
                raise GenomeError(
                    f"model.match={self.match}: not together with "
                    f"model.search_width={self.search_width}; set one only"
                )
        other = "match" if self.match else "search_width"
        if self.given and getattr(self, other) is not None:
            raise GenomeError(
                f"model.{other}={getattr(self, other)}: not together with "
                f"model.{min(self.given)}, which fits one width only"
            )

    def content(self) -> dict[str, Any]:
        """The sizes as recipes keep them: `match` only while it is in use."""
        content = super().content()
        if self.match is None:
            del content["match"]
        return content

    def matched(self, genome: Genome, context: int) -> "SearchModelConfig":
        """The sizes of one genome: with `match`, at the width that comes nearest.

        context: positions that caches which grow with the sequence are counted for. Raises
        `GenomeError` where no width comes near.
        """
        if self.match is None:
            return self
        width = matched_width(genome, self, self.match, context)
        return replace(self, width=width, match=None)

    def when_trained(self) -> ModelConfig:
        """The sizes that a candidate is trained at."""
        sizes: dict[str, Any] = {
            field.name: getattr(self, field.name) for field in fields(ModelConfig)
        }
        width = self.width if self.search_width is None else self.search_width
        return ModelConfig(**{**sizes, "width": width})


@dataclass(frozen=True)
class Recipe:
    """Everything but the genome that decides an evaluation's result."""

    model: ModelConfig  # sizes that costs are counted at
    cache: CacheSetting  # what the cache objective counts
    training: TrainingConfig
    data: DataConfig
    seed: int  # of weights and batches, the same for every candidate
    objectives: Sequence[str] = ()  # names or import paths beside those measured always
    # of objectives, by name
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def check(self) -> None:
        """Raise `UserError` or `GenomeError` for the first value that cannot be used."""
        self.model.check()
        self.cache.check()
        self.training.check()
        self.evaluation.check()
        expect_seed(self.seed + self.evaluation.seeds - 1)

    @property
    def trained_model(self) -> ModelConfig:
        """The sizes that a candidate is trained at; costs are counted at `model`."""
        model = self.model
        return model.when_trained() if isinstance(model, SearchModelConfig) else model

    def of(self, genome: Genome) -> "Recipe":
        """The recipe of one genome, whose sizes are those that `model.match` gives it.

        Raises `GenomeError` where no width comes near.
        """
        model = self.model
        if not isinstance(model, SearchModelConfig) or model.match is None:
            return self
        return replace(self, model=model.matched(genome, self.cache.context))

    @property
    def further_metrics(self) -> tuple[str, ...]:
        """Names of what is recorded beside the objectives."""
        rates = (LEARNING_RATE,) if self.training.learning_rates else ()
        return (*rates, DEVIATION) if self.evaluation.seeds > 1 else rates

    def open_corpus(self) -> Corpus:
        """The text to train and measure on. Raises `UserError` where it does not suit."""
        training, vocabulary = self.training, self.model.vocabulary
        return open_corpus(self.data, training.length, vocabulary, training.validation_length)

    def length_note(self) -> str:
        """What the loss cannot tell of a memory, in one line; empty where it can."""
        training, context = self.training, self.cache.context
        length = training.validation_length or training.length
        longest = min(length, training.length)
        if longest >= context:
            return ""
        return (
            f"the loss is of windows of {length:,} tokens, after training on {training.length:,}, "
            f"and the cache is counted at {context:,} positions: what memory of more than "
            f"{longest:,} positions is worth is not in the loss (training.length)"
        )

    def content(self, fingerprint: str, objectives: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that can change a result, beside genome and seed, as the ledger keeps it.

        Args:
            fingerprint: of the data.
            objectives: settings of those that are not measured always; they enter only when there
                are any, so that a new objective changes no key that exists.
        """
        parts = {"model": self.model.content(), "cache": asdict(self.cache)}
        parts["training"] = self.training.content()
        if self.cache.state_dtype == self.cache.dtype:
            parts["cache"] = without_state_dtype(parts)["cache"]
        content: dict[str, Any] = {**parts, "data": self.data.content(fingerprint)}
        content["evaluation_version"] = EVALUATION_VERSION
        if self.evaluation.seeds > 1:
            content["evaluation"] = asdict(self.evaluation)
        return {**content, "objectives": dict(objectives)} if objectives else content


def without_state_dtype(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content as it was before running states had a dtype of their own, not the cache's."""
    cache = {key: value for key, value in content["cache"].items() if key != "state_dtype"}
    return {**content, "cache": cache}


def recipe_id(content: Mapping[str, Any]) -> str:
    """Hash of a recipe's content: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
