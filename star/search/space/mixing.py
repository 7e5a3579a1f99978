"""Searches over the letters of a hybrid: what follows from it, and what they do not have."""

from dataclasses import replace

from star.base.errors import UserError
from star.evaluation import Measured, Recipe
from star.evaluation.hybrid_tokens import expect_tokens_of_hybrid
from star.genomes import get_alphabet
from star.genomes.alphabets import HYBRID
from star.genomes.hybrids import has_components
from star.runs.names import letters_in_words
from star.search.config import ONE_SHOT, EvolveConfig

KEY = "search.space.alphabet"


def of_hybrid(config: EvolveConfig) -> tuple[EvolveConfig, list[str]]:
    """The settings of a search, with the depth, width and vocabulary of the hybrid that it is over,
    and notices of them and of its letters; as they are where it is over none.

    Raises:
        GenomeError: for a folder that holds no hybrid.
        UserError: for one without pretrained weights, as the checkpoint of a hybrid is, and for a
            setting that searches of hybrids do not have.
    """
    space = config.search.space
    if not space.alphabet.startswith(HYBRID):
        return config, []
    alphabet = get_alphabet(space.alphabet)
    hybrid = alphabet.hybrid
    assert hybrid is not None
    if not has_components(alphabet.name):
        raise UserError(
            f"{KEY}={space.alphabet}: holds no pretrained components, without which all weights "
            "would be fresh; expected the run_dir of a star.hybridize, as it left it"
        )
    refused = {
        "search.space.mode": space.mode != ONE_SHOT,
        "search.space.depths": bool(space.depths),
        "search.space.motif": space.motif is not None,
        "search.space.backbone_genes": space.backbone_genes,
        "search.variation.operator_probability": config.search.variation.operator_probability > 0,
        "model.match": config.model.match is not None,
        "model.search_width": config.model.search_width is not None,
    }
    for key, is_set in refused.items():
        if is_set:
            raise UserError(
                f"{key}: not together with {KEY}={space.alphabet}, whose genomes have one letter "
                f"for each of {hybrid.blocks} blocks at width {hybrid.width}"
            )
    model = replace(config.model, width=hybrid.width, vocabulary=hybrid.vocabulary)
    named = replace(config.search, space=replace(space, alphabet=alphabet.name))
    fitted = replace(config, depth=hybrid.blocks, width=hybrid.width, model=model, search=named)
    follows = f"depth={hybrid.blocks}, model.width={hybrid.width}, vocabulary={hybrid.vocabulary}"
    words = letters_in_words(alphabet.name)
    return fitted, [f"of hybrid {hybrid.name} follow {follows}", f"letters {words}"]


def expect_pretrained(measured: Measured, alphabet: str, recipe: Recipe) -> None:
    """Raise `UserError` for an objective that trains genomes from nothing, or a text of other
    tokens, in a search over a hybrid, whose components were trained before."""
    if not alphabet.startswith(HYBRID):
        return
    for name, objective in measured.objectives.items():
        if objective.from_nothing:
            raise UserError(
                f"{name}: trains a genome from nothing on tokens of its own, which is not together "
                f"with {KEY}={alphabet}; leave it out of objectives, also_measure and constraints"
            )
    expect_tokens_of_hybrid(alphabet, recipe.open_corpus().tokenizer)
