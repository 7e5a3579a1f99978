"""The three trainings: branches, gates, the new model. Each is a `Trainer` with a loss of its own,
so that its state is kept and gone on from as any training's."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from star.data import Corpus
from star.data.mad import Instances
from star.evaluation.probing import answer_loss
from star.hybrids.linearise.config import LineariseConfig
from star.hybrids.linearise.gates import Gates, gated_model
from star.hybrids.linearise.recall import TASKS
from star.models import LanguageModel
from star.models.language_model import LivModule
from star.training import Trainer, TrainingConfig
from star.training.config import ADAMW
from star.training.loop import token_loss

GATES, BRANCHES = "gates", "branches"
Seen = dict[int, tuple[torch.Tensor, torch.Tensor]]  # input and update of a LIV, by place


def freeze(module: nn.Module) -> nn.Module:
    """The module itself, whose weights get no gradients from here on."""
    return module.requires_grad_(False).eval()


def by_name(branches: Mapping[int, LivModule]) -> nn.ModuleDict:
    """The branches as one module."""
    return nn.ModuleDict({str(place): branch for place, branch in branches.items()})


@torch.no_grad()
def attended(model: LanguageModel, places: Sequence[int], tokens: torch.Tensor) -> Seen:
    """What some LIVs of a model get and give, each (batch, length, width).

    Args:
        model: that is run.
        places: of the LIVs.
        tokens: int64 (batch, length).
    """
    seen: Seen = {}

    def note(module: nn.Module, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        seen[int(module.index)] = inputs[0], outputs[0]  # type: ignore[arg-type]

    with ExitStack() as hooks:
        for place in places:
            hooks.callback(model.livs[place].register_forward_hook(note).remove)
        model(tokens)
    return seen


def mismatch(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Squared difference as a share of the square of what is wanted, float32, a scalar."""
    found, wanted = found.float(), wanted.float()
    return (found - wanted).square().sum() / wanted.square().sum().clamp(min=1e-12)


class Stage(Trainer):
    """A training beside the original, which is frozen."""

    def __init__(
        self,
        model: nn.Module,
        original: LanguageModel,
        corpus: Corpus,
        config: LineariseConfig,
        part: TrainingConfig,
    ) -> None:
        """Move both models to the device.

        Args:
            model: what is trained.
            original: what is not.
            corpus: the text.
            config: names the recall task and the seed.
            part: settings of this training.
        """
        super().__init__(model, corpus, part, config.seed)
        self.original, self.task = original, TASKS[config.task]
        freeze(original).to(self.device)

    def instances(self, tokens: torch.Tensor) -> Instances:
        """The recall task of this step, made of the text's tokens int64 (batch, length + 1)."""
        rng = np.random.default_rng([self.seed, self.step])
        return self.task(tokens, rng).to(self.device)


class Alignment(Stage):
    """Each branch, given what its attention gets in the original, learns to give what that gives
    (layer-wise matching as in LoLCATs, arXiv 2410.10254).

    The loss is the mean `mismatch` of the branches, on the text and on the recall task.
    """

    def __init__(
        self,
        original: LanguageModel,
        branches: Mapping[int, LivModule],
        corpus: Corpus,
        config: LineariseConfig,
    ) -> None:
        part = config.part(config.align.steps, config.align.learning_rate)
        super().__init__(by_name(branches), original, corpus, config, part)
        self.branches, self.recall = branches, config.align.recall

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens int64 (batch, length + 1)."""
        loss = self.mismatch_on(tokens[:, :-1])
        if self.recall > 0:
            loss = loss + self.recall * self.mismatch_on(self.instances(tokens).inputs)
        return loss

    def mismatch_on(self, tokens: torch.Tensor) -> torch.Tensor:
        """Mean over the branches, a scalar; tokens int64 (batch, length)."""
        seen = attended(self.original, tuple(self.branches), tokens)
        errors = [mismatch(self.branches[n](x, {})[0], y) for n, (x, y) in seen.items()]
        return torch.stack(errors).mean()


class GateTraining(Stage):
    """Gates learn between attention and branches, which are frozen unless the settings let the
    branches learn too."""

    def __init__(
        self,
        original: LanguageModel,
        branches: Mapping[int, LivModule],
        gates: Gates,
        corpus: Corpus,
        config: LineariseConfig,
    ) -> None:
        self.settings, self.gates = config.gates, gates
        trained = nn.ModuleDict({GATES: gates})
        all_branches = by_name(branches).requires_grad_(self.settings.train_branches)
        if self.settings.train_branches:
            trained[BRANCHES] = all_branches
        part = config.part(self.settings.steps, self.settings.learning_rate)
        part = replace(part, optimizer=ADAMW, schedule="constant")
        super().__init__(trained, original, corpus, config, part)
        self.gated = gated_model(original, branches, gates)
        all_branches.to(self.device)

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """Weighted losses of recall and of the text, and the penalty; tokens int64 (batch, length +
        1)."""
        settings = self.settings
        loss = settings.penalty * self.gates.expected_share()
        if settings.recall > 0:
            answers = answer_loss(self.gated, self.instances(tokens))
            loss = loss + settings.recall * answers
        if settings.language > 0:
            loss = loss + settings.language * token_loss(self.gated, tokens)
        return loss


class Distillation(Stage):
    """The new model learns the next tokens of the text, and the old one's logits, on the recall
    task too."""

    def __init__(
        self,
        original: LanguageModel,
        student: LanguageModel,
        corpus: Corpus,
        config: LineariseConfig,
    ) -> None:
        part = config.part(config.distil.steps, config.training.learning_rate)
        super().__init__(student, original, corpus, config, part)
        self.settings = config.distil

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens int64 (batch, length + 1)."""
        loss = self.loss_on(Instances(tokens[:, :-1], tokens[:, 1:]))
        if self.settings.recall > 0:
            loss = loss + self.settings.recall * self.loss_on(self.instances(tokens))
        return loss

    def loss_on(self, instances: Instances) -> torch.Tensor:
        """Cross-entropy of what is scored, and the divergence from the old model there."""
        share, scored = self.settings.teacher, instances.scored
        logits = self.model(instances.inputs)[scored]
        loss = F.cross_entropy(logits.float(), instances.targets[scored])
        if share == 0:
            return loss
        with torch.no_grad():
            wanted = self.original(instances.inputs)[scored]
        return (1 - share) * loss + share * divergence(logits, wanted, self.settings.temperature)


def divergence(logits: torch.Tensor, wanted: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean Kullback-Leibler divergence from wanted to found distributions in nats a token, times
    the squared temperature (Hinton et al. 2015, arXiv 1503.02531); a scalar.

    Args:
        logits: found, (..., vocabulary).
        wanted: of that shape.
        temperature: that both are divided by.
    """
    found = F.log_softmax(logits.float() / temperature, dim=-1).flatten(0, -2)
    target = F.log_softmax(wanted.float() / temperature, dim=-1).flatten(0, -2)
    return temperature**2 * F.kl_div(found, target, reduction="batchmean", log_target=True)
