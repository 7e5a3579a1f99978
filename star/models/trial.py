"""A try of models with operators of a user's own, before a command begins with them."""

import torch

from star.base.errors import UserError, plain, shown
from star.genomes import Genome, GenomeError, ModelConfig

from .cache import Cache
from .language_model import LanguageModel, decode
from .structures import is_own


def decode_tried(genome: Genome, model: ModelConfig) -> LanguageModel:
    """`decode`, and where operators are not ours, two tokens in parallel and one after the other.

    Raises `GenomeError` as `decode`, and for a module of the user's that cannot be made or used;
    `UserError` for files of a hybrid that are not what they were.
    """
    structures = {liv_class.operator.structure.name for liv_class in genome.classes()}
    theirs = sorted(filter(is_own, structures))
    if not theirs:
        return decode(genome, model)
    try:
        built = decode(genome, model)
        _try_out(built, model.vocabulary)
    except (GenomeError, UserError):
        raise
    except Exception as error:  # whatever a user's module raises
        reason = shown(plain(f"{type(error).__name__}: {error}"))
        raise GenomeError(
            f"structure {', '.join(map(repr, theirs))}: its module fails ({reason}); "
            "star.testing.structures.check_class says what a module must do"
        ) from error
    return built


@torch.no_grad()
def _try_out(model: LanguageModel, vocabulary: int) -> None:
    tokens = torch.zeros(1, 2, dtype=torch.int64)
    training = model.training
    logits = model.eval()(tokens)
    cache = Cache.allocate(model, 1, 2)
    first, second = model.prefill(tokens[:, :1], cache), model.step(tokens[:, 1], cache)
    model.train(training)
    for name, found, expected in (
        ("two tokens", logits, (1, 2, vocabulary)),
        ("a prefill of one", first, (1, 1, vocabulary)),
        ("a step", second, (1, vocabulary)),
    ):
        if tuple(found.shape) != expected:
            raise ValueError(f"{name} give logits {tuple(found.shape)}, expected {expected}")
