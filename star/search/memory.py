"""What a search remembers of evaluations: its view of a ledger, under one recipe and seed."""

import os
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import platformdirs

from star.base.errors import UserError
from star.evaluation import Evaluation, Recipe
from star.evaluation.ledger import Ledger, Record, recipe_content, recipe_id
from star.evaluation.rungs import Rung
from star.genomes import Genome
from star.runs.folder import LEDGER
from star.runs.provenance import differences
from star.search.candidates import Evaluated

RUN, SHARED = "run", "shared"


class SearchMemory:
    """Answers genomes that were evaluated before and appends those that are finished now."""

    def __init__(
        self, ledger: Ledger, recipe: Mapping[str, Any], seed: int, run: str, is_own: bool
    ) -> None:
        """recipe: content of the recipe in the ledger. run: name of the run. is_own: the ledger
        holds no other run, even where that name differs because the folder was moved."""
        self.ledger, self.recipe, self.seed, self.run, self.is_own = (
            ledger,
            recipe,
            seed,
            run,
            is_own,
        )
        self._recipe_ids: dict[int, str] = {}

    def _recipe_id(self, rung: Rung | None) -> str:
        """Of training to a rung, which is another recipe unless the rung is the last."""
        last = self.recipe["training"]["steps"]
        steps = last if rung is None else rung.steps
        if steps not in self._recipe_ids:
            content = self.recipe if steps == last else {**self.recipe, "rung": steps}
            self._recipe_ids[steps] = self.ledger.add_recipe(content)
        return self._recipe_ids[steps]

    def recall(self, genome: Genome, rung: Rung | None = None) -> Evaluation | None:
        """The finished evaluation of a genome, or that of a rung of it, if there is one."""
        return self.ledger.get(
            genome.id, self._recipe_id(rung), self.seed, None if self.is_own else self.run
        )

    def remember(self, evaluated: Evaluated, rung: Rung | None = None) -> None:
        """Append a finished evaluation, or that of a rung, at once on disk."""
        candidate = evaluated.candidate
        record = Record(
            genome_id=candidate.genome.id,
            genome=candidate.genome.to_text(),
            alphabet=candidate.genome.alphabet.name,
            seed=self.seed,
            evaluation=evaluated.evaluation,
            run=self.run,
            generation=candidate.generation,
            origin=candidate.origin,
            parents=candidate.parents,
            variation=dict(candidate.variation),
            finished=datetime.now(timezone.utc).isoformat(),
        )
        self.ledger.add(record, self._recipe_id(rung))

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()


def ledger_path(setting: str, folder: Path) -> Path:
    """Where the ledger lies: in the run folder, in the user's data folder (or STAR_CACHE_DIR), or
    at a path."""
    if setting == RUN:
        return folder / LEDGER
    if setting == SHARED:
        return Path(os.environ.get("STAR_CACHE_DIR") or platformdirs.user_data_dir("star")) / LEDGER
    return Path(setting).expanduser()


def open_memory(setting: str, folder: Path, recipe: Recipe, fingerprint: str) -> SearchMemory:
    """Open the ledger for one search. fingerprint: of the data.

    Raises `UserError` for a ledger that cannot be used, and for a run folder's own ledger of
    another recipe.
    """
    path = ledger_path(setting, folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"ledger={setting}: {path.parent} cannot be made ({error.strerror})"
        ) from None
    ledger = Ledger(path)
    content = recipe_content(recipe, fingerprint)
    known = ledger.recipes()
    if setting == RUN and known and recipe_id(content) not in known:
        there = min(known.values(), key=len)  # those of rungs have a key more
        changed = "; ".join(differences(there, content, set()))
        ledger.close()
        raise UserError(
            f"run_dir={folder}: its evaluations were made by another recipe ({changed}); choose "
            f"another folder"
        )
    ledger.add_recipe(
        content
    )  # before those of its rungs, which say nothing about what a resumed run must have
    return SearchMemory(ledger, content, recipe.seed, str(folder.resolve()), setting == RUN)
