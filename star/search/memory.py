"""What a search remembers of evaluations: its view of a ledger, under one recipe and seed."""

import json
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import platformdirs

from star.base.errors import UserError
from star.base.files import writing
from star.base.reading import expanded, named, reason
from star.base.settings import differences
from star.evaluation import Evaluation, Measured, Recipe
from star.evaluation.devices import other_device
from star.evaluation.failures import BUILD_ERROR, failure
from star.evaluation.ledger import Ledger, Record
from star.evaluation.objectives import TRAINED, Context, measure
from star.evaluation.recipe import recipe_id, without_state_dtype
from star.evaluation.result import require_finite
from star.genomes import Genome
from star.runs.folder import LEDGER
from star.search.candidates import Evaluated

RUN, SHARED = "run", "shared"

MOST_NAMED = 5  # damaged rows in a warning

log = logging.getLogger(__name__)


class SearchMemory:
    """Answers genomes that were evaluated before and appends those that are finished now."""

    def __init__(
        self, ledger: Ledger, content: Mapping[str, Any], recipe: Recipe, measured: Measured,
        run: str, is_own: bool, needed: Collection[str] = (),
    ) -> None:  # fmt: skip
        """View a ledger.

        Args:
            ledger: where the evaluations are.
            content: of the recipe, as the ledger keeps it.
            recipe: the same as settings.
            measured: the objectives of the search.
            run: name of the run.
            is_own: the ledger holds no other run, whatever its rows call it: folders are moved.
            needed: names of the objectives that an answer must have.
        """
        self.ledger, self.content, self.recipe, self.measured = ledger, content, recipe, measured
        self.run, self.is_own = run, is_own
        # Static ones of the user's own are in no recipe, and measured again.
        self._own = [o for o in measured.static if o.name in measured.references]
        self._needed = set(needed) - {objective.name for objective in self._own}
        self.recalled: set[str] = set()  # ids of the genomes that were answered
        self._recipe_ids: dict[int, str] = {}

    def with_seed(self, seed: int) -> "SearchMemory":
        """A view of the same ledger under the same recipe with another seed."""
        needed = {*self._needed, *(objective.name for objective in self._own)}
        return SearchMemory(
            self.ledger, self.content, replace(self.recipe, seed=seed), self.measured,
            self.run, self.is_own, needed,
        )  # fmt: skip

    def _recipe_id(self, rung: int) -> str:
        """Id of the recipe of a training to this rung.

        The whole training has the recipe itself; to a lower rung it has one with the key `rung`.
        """
        if rung not in self._recipe_ids:
            self._recipe_ids[rung] = self.ledger.add_recipe(self._content(rung))
        return self._recipe_ids[rung]

    def _content(self, rung: int) -> Mapping[str, Any]:
        is_last = rung == self.recipe.training.steps
        return self.content if is_last else {**self.content, "rung": rung}

    def recall(self, genome: Genome, rung: int) -> Evaluation | None:
        """The finished evaluation of a genome after so many steps, if there is one."""
        found = self._recall(genome, rung)
        # One that is known after few steps only is trained further.
        (self.recalled.discard if found is None else self.recalled.add)(genome.id)
        return found

    def _recall(self, genome: Genome, rung: int) -> Evaluation | None:
        run = None if self.is_own else self.run
        found = self.ledger.get(genome.id, self._recipe_id(rung), self.recipe.seed, run)
        if found is None:
            found = self._of_before(genome, rung, run)
        if found is not None and found.measured and not self._needed_at(rung) <= {*found.metrics}:
            return None
        if found is None or not self._own:
            return found
        if not found.measured:  # by a mistake in the user's code, perhaps, which is mended now
            return None if found.failure == BUILD_ERROR else found
        # Static objectives of the user's own are in no recipe: rows of before have none, or others.
        try:
            added = measure(self._own, Context(genome, self.recipe))
        except Exception as error:  # which would end its evaluation too
            return failure(error, found.metrics)
        return require_finite(replace(found, metrics={**found.metrics, **added}))

    def _needed_at(self, rung: int | None) -> set[str]:
        """Names of the objectives that an answer must have after so many steps; None is all."""
        if rung != 0:
            return self._needed
        return {n for n in self._needed if self.measured.objectives[n].cost != TRAINED}

    def _of_before(self, genome: Genome, rung: int, run: str | None) -> Evaluation | None:
        """A measured evaluation of before running states were kept wider than keys: its losses
        hold, its costs are counted anew."""
        before = recipe_id(without_state_dtype(self._content(rung)))
        found = self.ledger.get(genome.id, before, self.recipe.seed, run)
        if found is None or not found.measured:
            return None
        static = [o for o in self.measured.static if o.name not in self.measured.references]
        counted = measure(static, Context(genome, self.recipe))
        return replace(found, metrics={**found.metrics, **counted})

    def remember(self, evaluated: Evaluated, rung: int) -> None:
        """Append a finished evaluation after so many steps, at once on disk."""
        candidate = evaluated.candidate
        record = Record(
            genome_id=candidate.genome.id,
            genome=candidate.genome.to_text(),
            alphabet=candidate.genome.alphabet.name,
            seed=self.recipe.seed,
            evaluation=evaluated.evaluation,
            run=self.run,
            generation=candidate.generation,
            origin=candidate.origin,
            parents=candidate.parents,
            variation=dict(candidate.variation),
            finished=datetime.now(UTC).isoformat(),
        )
        self.ledger.add(record, self._recipe_id(rung))

    def recall_proposals(self, settings: Mapping[str, Any], generation: int) -> list | None:
        """What an algorithm of these settings proposed in a generation (from 0), as JSON gives it;
        None where that is not known."""
        text = self.ledger.proposed(*self._proposing(settings), generation)
        return None if text is None else json.loads(text)

    def remember_proposals(
        self, settings: Mapping[str, Any], generation: int, proposals: list
    ) -> None:
        """Keep what an algorithm proposes, at once on disk; ready for JSON."""
        self.ledger.propose(*self._proposing(settings), generation, json.dumps(proposals))

    def _proposing(self, settings: Mapping[str, Any]) -> tuple[str, int, str]:
        recipe = recipe_id({**self.content, "search": settings})
        return recipe, self.recipe.seed, "" if self.is_own else self.run

    def report_damage(self) -> None:
        """Warn of damaged rows of this recipe and its rungs."""
        own = {
            name: content.get("rung")
            for name, content in self.ledger.recipes().items()
            if {**content, "rung": None} == {**self.content, "rung": None}
        }
        # What rows of an earlier version lack is no damage.
        later = {name for name in self._needed if self.measured.objectives[name].optional}
        found = (
            self.ledger.damaged([name], self._needed_at(rung) - later) for name, rung in own.items()
        )
        damaged = sorted(set(chain.from_iterable(found)))
        if damaged:
            listed = ", ".join(damaged[:MOST_NAMED]) + ", ..." * (len(damaged) > MOST_NAMED)
            log.warning(
                "ledger %s: damaged rows: %d (%s); these genomes are trained again",
                self.ledger.path, len(damaged), listed,
            )  # fmt: skip

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()


def ledger_path(setting: str, folder: Path) -> Path:
    """Where the ledger lies: in the run folder, among the user's data (or STAR_CACHE_DIR), or at a
    path."""
    if setting == RUN:
        return folder / LEDGER
    if setting == SHARED:
        root = os.environ.get("STAR_CACHE_DIR") or platformdirs.user_data_dir("star")
        return Path(root) / LEDGER
    return expanded(setting)


def check_ledger(setting: str) -> None:
    """Raise `UserError` for a ledger outside of the run folder that cannot be used."""
    if setting != RUN:
        path = ledger_path(setting, Path())
        _make_parent(setting, path)
        Ledger(path).close()


def _make_parent(setting: str, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        where = f"{named('ledger', setting)}: {named('', path.parent)}"
        raise UserError(f"{where} cannot be made ({reason(error)})") from None


def open_memory(
    setting: str,
    folder: Path,
    recipe: Recipe,
    measured: Measured,
    fingerprint: str,
    needed: Collection[str] = (),
) -> SearchMemory:
    """Open the ledger for one search.

    Args:
        setting: `run`, `shared` or a path.
        folder: of the run.
        recipe: of every evaluation.
        measured: the objectives of the search.
        fingerprint: of the data.
        needed: names of the objectives that an answer must have.

    Raises:
        UserError: for a ledger that cannot be used, and for a run's own of another recipe.
    """
    path = ledger_path(setting, folder)
    if setting == RUN:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    else:
        _make_parent(setting, path)
    ledger = Ledger(path)
    content = recipe.content(fingerprint, measured.content())
    known = ledger.recipes()
    _refuse_other_devices(ledger, content, known.values())
    if setting == RUN and known and recipe_id(content) not in known:
        whole = filter(None, known.values())
        there = min(whole, key=len, default={})  # those of rungs have a key more
        changed = "; ".join(differences(there, content))
        ledger.close()
        raise UserError(
            f"run_dir={folder}: its evaluations were made by another recipe ({changed}); choose "
            "another folder"
        )
    ledger.add_recipe(content)  # before those of its rungs, which say nothing about a resumed run
    run = str(folder.resolve())
    memory = SearchMemory(ledger, content, recipe, measured, run, setting == RUN, needed)
    memory.report_damage()
    return memory


def _refuse_other_devices(
    ledger: Ledger, content: Mapping[str, Any], known: Iterable[Mapping[str, Any]]
) -> None:
    """Raise `UserError` for a ledger with rows of this recipe from another device."""
    there = other_device(content, known)
    if there:
        ledger.close()
        raise UserError(
            f"ledger {ledger.path}: holds {there}; numbers of two devices do not go into one "
            "ledger: go on there, or choose another ledger and run_dir"
        )
