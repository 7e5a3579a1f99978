"""Our language model as the harness wants one: likelihoods of text, and text that follows.

It gives the numbers that the harness's own `HFLM` gives of the exported model. Longer prompts than
the context are cut on the left, as there, and counted.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from torch.nn.utils.rnn import pad_sequence

from star.base.errors import UserError
from star.evaluation.harness.vocabulary import Vocabulary
from star.models import Cache, LanguageModel
from star.models.generation import PREFILL_CHUNK, Sampling, draw
from star.training import Diverged

USUAL_TOKENS = 256  # that are generated at most, where a task does not say
Progress = Callable[[int, int], None]  # requests that are done, and all of them
Pair = tuple[Any, list[int], list[int]]  # texts, tokens before, tokens that are scored


def ignore(done: int, total: int) -> None:
    """Show no progress."""


class HarnessModel(TemplateLM):
    """A `LanguageModel` with its vocabulary; `cut` counts prompts that were cut."""

    def __init__(
        self,
        model: LanguageModel,
        vocabulary: Vocabulary,
        context: int,
        batch_size: int,
        progress: Progress = ignore,
    ) -> None:
        """Hold it.

        Args:
            model: on any device, in any dtype.
            vocabulary: its tokens.
            context: the most positions that it sees.
            batch_size: sequences at once.
            progress: called as requests are answered.
        """
        super().__init__()
        self.model, self.vocabulary = model.eval(), vocabulary
        self.context, self.batch_size, self.progress = context, batch_size, progress
        self.cut = 0

    @property
    def eot_token_id(self) -> int:
        """The token between documents, which is before every text too."""
        return self.vocabulary.end_of_text

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Tokens of a text, with nothing added."""
        return self.vocabulary.encode(string)

    def _loglikelihood_tokens(
        self, requests: Sequence[Pair], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """Of each request the log likelihood of its last tokens, and whether they are likeliest."""
        for _, before, scored in requests:
            if len(scored) > self.context:
                raise UserError(
                    f"context={self.context}: an answer of the task has {len(scored)} tokens; use "
                    "a larger context"
                )
            self.cut += len(before) + len(scored) > self.context + 1
        # Longest first, so that too large a batch fails at once, and little is padded.
        order = sorted(range(len(requests)), key=lambda n: -len(requests[n][1] + requests[n][2]))
        found: dict[int, tuple[float, bool]] = {}
        for first in range(0, len(order), self.batch_size):
            places = order[first : first + self.batch_size]
            answers = self._score([requests[place] for place in places])
            found.update(zip(places, answers, strict=True))
            self.progress(len(found), len(order))
        return [found[place] for place in range(len(requests))]

    @torch.inference_mode()
    def _score(self, batch: Sequence[Pair]) -> list[tuple[float, bool]]:
        kept = [(before + scored)[-(self.context + 1) :] for _, before, scored in batch]
        # Padding on the right, which no causal model sees.
        rows = [torch.tensor(tokens[:-1], device=self.model.device) for tokens in kept]
        logits = self.model(pad_sequence(rows, batch_first=True))
        answers = []
        for row, tokens, (_, _, scored) in zip(logits, kept, batch, strict=True):
            end, count = len(tokens) - 1, len(scored)
            likelihoods = torch.log_softmax(row[end - count : end].float(), dim=-1)
            wanted = torch.tensor(scored, device=self.model.device)
            each = likelihoods.gather(1, wanted[:, None])
            is_likeliest = bool((likelihoods.argmax(dim=-1) == wanted).all())
            answers.append((float(each.sum()), is_likeliest))
        if not all(abs(value) < float("inf") for value, _ in answers):
            raise Diverged("the model's logits are not finite")
        return answers

    def loglikelihood_rolling(
        self, requests: Sequence[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Of each text its log likelihood, in windows of the context where it is longer."""
        windows: list[Pair] = []
        owners: list[int] = []
        for number, request in enumerate(requests):
            tokens = self.tok_encode(request.args[0])
            pairs = get_rolling_token_windows(tokens, self.prefix_token_id, self.context, 1)
            for before, scored in map(make_disjoint_window, pairs):
                windows.append((None, before, scored))
                owners.append(number)
        totals = [0.0] * len(requests)
        scored = self._loglikelihood_tokens(windows)
        for owner, (value, _) in zip(owners, scored, strict=True):
            totals[owner] += value
        return totals

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """Of each prompt the text that follows, up to one of the request's stops."""
        found: dict[int, str] = {}
        random = torch.Generator(self.model.device).manual_seed(Sampling.seed)
        for places, prompts, options in self._generation_batches(requests):
            texts = self._generate(prompts, options, random)
            found.update(zip(places, texts, strict=True))
            self.progress(len(found), len(requests))
        return [found[place] for place in range(len(requests))]

    def _generation_batches(
        self, requests: Sequence[Instance]
    ) -> Iterator[tuple[list[int], list[list[int]], dict[str, Any]]]:
        """Prompts of one length, which a cache can hold together, and of the same options."""
        prepared = [self._prepared(*request.args) for request in requests]

        def key(place: int) -> tuple[int, str]:
            prompt, options = prepared[place]
            return -len(prompt), repr(sorted(options.items()))

        for _, group in groupby(sorted(range(len(prepared)), key=key), key=key):
            members = list(group)
            for first in range(0, len(members), self.batch_size):
                places = members[first : first + self.batch_size]
                yield places, [prepared[n][0] for n in places], prepared[places[0]][1]

    def _prepared(self, text: str, options: dict[str, Any]) -> tuple[list[int], dict[str, Any]]:
        """A prompt's tokens, with room behind them, and its options in full."""
        full: dict[str, Any] = {**normalize_gen_kwargs(options, USUAL_TOKENS)}
        room = self.context - full["max_gen_toks"]
        if room < 1:
            raise UserError(
                f"context={self.context}: the task generates up to {full['max_gen_toks']} tokens, "
                "so that no prompt has room; use a larger context"
            )
        tokens = self.tok_encode(text) or [self.eot_token_id]
        self.cut += len(tokens) > room
        return tokens[-room:], full

    @torch.inference_mode()
    def _generate(
        self, prompts: list[list[int]], options: dict[str, Any], random: torch.Generator
    ) -> list[str]:
        sampling = _sampling(options)
        stops, most = [stop for stop in options["until"] if stop], options["max_gen_toks"]
        device = self.model.device
        cache = Cache.allocate(self.model, len(prompts), len(prompts[0]) + most)
        logits = torch.empty(0)
        for part in torch.tensor(prompts, device=device).split(PREFILL_CHUNK, dim=1):
            logits = self.model.prefill(part, cache)[:, -1]
        rows: list[list[int]] = [[] for _ in prompts]
        for count in range(1, most + 1):
            if not bool(torch.isfinite(logits).all()):
                raise Diverged("the model's logits are not finite")
            drawn = draw(logits[:, : self.vocabulary.count], sampling, random)
            for row, token in zip(rows, drawn.tolist(), strict=True):
                row.append(token)
            if count == most or all(self._has_ended(row, stops) for row in rows):
                break
            logits = self.model.step(drawn, cache)
        return [postprocess_generated_text(self._text(row), stops, None) for row in rows]

    def _text(self, tokens: list[int]) -> str:
        """Up to the end of the document."""
        is_ended = self.eot_token_id in tokens
        return self.vocabulary.decode(
            tokens[: tokens.index(self.eot_token_id)] if is_ended else tokens
        )

    def _has_ended(self, tokens: list[int], stops: Sequence[str]) -> bool:
        text = self._text(tokens)
        return self.eot_token_id in tokens or any(stop in text for stop in stops)


def _sampling(options: dict[str, Any]) -> Sampling:
    """How tokens are drawn: the likeliest, unless the task asks for a sample, which is of
    temperature 1 where it says nothing else, as in transformers."""
    if not options.get("do_sample"):
        return Sampling(temperature=0.0)
    return Sampling(options.get("temperature", 1.0), options.get("top_k"), options.get("top_p"))
