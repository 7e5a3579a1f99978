"""What a search remembers of evaluations: its view of a ledger, under one recipe and seed."""

import os
from datetime import datetime, timezone
from pathlib import Path

import platformdirs

from star.errors import UserError
from star.evaluation import Evaluation, Recipe
from star.evaluation.ledger import Ledger, Record, recipe_content, recipe_id
from star.genomes import Genome
from star.provenance import differences
from star.search.candidates import Evaluated
from star.search.run_folder import LEDGER

RUN, SHARED = "run", "shared"


class SearchMemory:
    """Answers genomes that were evaluated before and appends those that are finished now."""

    def __init__(self, ledger: Ledger, recipe: str, seed: int, run: str) -> None:
        """recipe: id in the ledger. run: name of the run, for the record."""
        self.ledger, self.recipe, self.seed, self.run = ledger, recipe, seed, run

    def recall(self, genome: Genome) -> Evaluation | None:
        """The finished evaluation of a genome, if there is one."""
        return self.ledger.get(genome.id, self.recipe, self.seed)

    def remember(self, evaluated: Evaluated) -> None:
        """Append a finished evaluation, at once on disk."""
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
            finished=datetime.now(timezone.utc).isoformat(),
        )
        self.ledger.add(record, self.recipe)

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()


def ledger_path(setting: str, folder: Path) -> Path:
    """Where the ledger lies: in the run folder, in the user's data folder (or STAR_CACHE_DIR), or at a path."""
    if setting == RUN:
        return folder / LEDGER
    if setting == SHARED:
        return Path(os.environ.get("STAR_CACHE_DIR") or platformdirs.user_data_dir("star")) / LEDGER
    return Path(setting).expanduser()


def open_memory(setting: str, folder: Path, recipe: Recipe, fingerprint: str) -> SearchMemory:
    """Open the ledger for one search. fingerprint: of the data.

    Raises `UserError` for a ledger that cannot be used, and for a run folder's own ledger of another recipe.
    """
    path = ledger_path(setting, folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"ledger={setting}: {path.parent} cannot be made ({error.strerror})") from None
    ledger = Ledger(path)
    content = recipe_content(recipe, fingerprint)
    known = ledger.recipes()
    if setting == RUN and known and recipe_id(content) not in known:
        changed = "; ".join(differences(next(iter(known.values())), content, set()))
        ledger.close()
        raise UserError(
            f"run_dir={folder}: its evaluations were made by another recipe ({changed}); choose another folder"
        )
    return SearchMemory(ledger, ledger.add_recipe(content), recipe.seed, str(folder.resolve()))
