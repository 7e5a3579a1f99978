"""What a report says in sentences: what was searched, how far to believe it, and with what."""

import shlex
from collections import Counter
from collections.abc import Iterator

from star.genomes import GenomeError
from star.runs.names import BASELINE, alphabet_of, letters_in_words
from star.runs.recall import RECALL
from star.runs.report.content import FRONT, TRAINED, Content, visible
from star.runs.report.figures.trust import correlation, is_on_front, validated_names

# How well short trainings ordered 32 designs that were trained for 4,000 steps: settings of
# `training`, and Spearman's correlation with its 95% interval (experiments/proxy_validity).
VALIDITY: tuple[tuple[dict[str, object], str], ...] = (
    (
        {"steps": 160, "batch_size": 8, "length": 256, "optimizer": "adamw", "learning_rate": 3e-3},
        ".83 [.64, .92] over all of them, .88 [.70, .96] among the 21 that recall",
    ),
    (
        {"steps": 80, "batch_size": 8, "length": 128, "optimizer": "adamw", "learning_rate": 3e-3},
        ".84 [.65, .94] over all of them, .88 [.65, .97] among the 21 that recall",
    ),
)


def summary(content: Content) -> str:
    """What was evaluated, in a sentence."""
    states = Counter(row["state"] for row in content.rows)
    origins = Counter(row["origin"] for row in content.rows)
    generations = len({c.generation for c in content.candidates if c.origin != BASELINE})
    parts = [f"{len(content.rows):,} architectures"]
    if origins[BASELINE]:
        parts.append(f"{origins[BASELINE]} of them known designs")
    parts.append(f"in {generations} generations")
    trained = states[FRONT] + states[TRAINED]
    what = [f"{states[FRONT]} on the front", f"{trained:,} trained to the end"]
    what += [
        f"{count:,} {state}" for state, count in states.items() if state not in (FRONT, TRAINED)
    ]
    minimised = ", ".join(o.name.replace("_", " ") for o in content.minimised)
    text = f"{', '.join(parts)}: {', '.join(what)}. Objectives: {minimised or 'none'}."
    text += _letters(content)
    if content.unknown:
        text += (
            f" Not known here: {', '.join(content.unknown)} (plugins, or a module that cannot be "
            "imported); the front is the one that the search ranked, and no hypervolume is shown."
        )
    return text


def _letters(content: Content) -> str:
    try:
        words = letters_in_words(alphabet_of(content.settings))
    except GenomeError:  # the hybrid is gone
        return ""
    return f" Letters {visible(words)}." if words else ""


def trust(content: Content) -> list[str]:
    """How far to believe the front, in sentences; the first says whether it was validated."""
    if content.is_tabular:
        lines = ["Evaluations are looked up in a table of trained architectures, none was trained."]
    elif content.has_validation:
        lines = [_validated(content)]
    else:
        lines = [_not_validated(content)]
    lines += _proxy(content)
    made = dict(made_with(content))
    lines.append(f"Measured on {made['device']}; seed {made['seed']}.")
    if RECALL not in content.run.metrics:
        lines.append("Recall was not measured: these losses do not show who can look things up.")
    return lines


def _validated(content: Content) -> str:
    rows = list(content.validated.values())
    steps = sorted({int(number) for number in content.validated_numbers("steps")})
    seeds = int(max(content.validated_numbers("seeds"), default=0))
    measured = [row for row in rows if row.get("status") == "ok"]
    failed = len(rows) - len(measured)
    found = [
        genome_id
        for genome_id, row in content.validated.items()
        if row.get("role") == FRONT and row.get("origin") != BASELINE
    ]
    kept = sum(is_on_front(content, genome_id) for genome_id in found)
    trained = " to ".join(f"{step:,}" for step in steps) or "more"
    said = [
        f"Validated: designs were trained again for {trained} steps with {seeds} fresh "
        f"{'seed' if seeds == 1 else 'seeds'}, on text that the search never used. {kept} of the "
        f"{len(found)} designs of the front that the search found stay non-dominated among the "
        f"{len(measured)} validated{f' ({failed} others failed)' if failed else ''}."
    ]
    chosen = {o.name for o in content.minimised}
    for name in (name for name in validated_names(content) if name in chosen):
        value, count = correlation(content, name)
        label = name.replace("_", " ")
        said.append(
            f"Rank correlation (Spearman) with the search: {label} {value} over {count} designs."
        )
    if seeds == 1:
        said.append("One seed tells no spread: near neighbours may change places.")
    return " ".join(said)


def _not_validated(content: Content) -> str:
    path = shlex.quote(str(content.run.path))
    command = f"python -m star.validate run={path} training.steps={10 * max(content.steps, 1)}"
    return (
        "This front was not validated: its numbers are of the search's own short trainings "
        f"({content.steps:,} steps), which find the better half of a space but do not order "
        f"neighbours. {visible(command, None)} trains these designs longer."
    )


def _proxy(content: Content) -> Iterator[str]:
    """How well trainings of this kind predicted long ones where that was measured."""
    training, settings = content.section("training"), content.settings
    is_alike = (
        content.section("model").get("width") == 64
        and settings.get("depth") == 8
        and content.section("data").get("kind") == "stdlib"
    )
    for known, found in VALIDITY:
        if is_alike and all(training.get(key) == value for key, value in known.items()):
            yield (
                "Losses of this recipe, at eight LIVs of width 64 on the standard library, against "
                f"trainings of 4,000 steps, Spearman over 32 designs with one seed each: {found} "
                "(experiments/proxy_validity of the project, in progress)."
            )
            return
    if not content.is_tabular:
        yield "How well this recipe predicts longer trainings has not been measured."


def made_with(content: Content) -> list[tuple[str, str]]:
    """Device, seeds, versions and settings, as pairs of a word and what it is."""
    environment, settings = content.environment, content.settings
    training = content.section("training")
    listed = environment.get("gpus")
    gpus = [visible(name) for name in listed] if isinstance(listed, list) else []
    device = ", ".join(gpus) if gpus else f"CPU, {environment.get('cores', '?')} cores"
    replicated = content.section("search").get("replication")
    replication = replicated.get("most", 0) if isinstance(replicated, dict) else 0
    seeds = f"{settings.get('seed', '?')}"
    if replication:
        seeds += f", and up to {replication} more for uncertain candidates"
    listed = environment.get("packages")
    packages = listed if isinstance(listed, dict) else {}
    known = ", ".join(
        f"{name} {packages[name]}" for name in ("torch", "pymoo") if packages.get(name)
    )
    pairs = [
        ("command", content.run.command or "started from Python"),
        ("device", f"{device}, {environment.get('platform', '')}".rstrip(", ")),
        ("seed", seeds),
        (
            "training",
            f"{training.get('steps', '?')} steps of {training.get('batch_size', '?')} x "
            f"{training.get('length', '?')} tokens, {training.get('optimizer', '?')}",
        ),
        ("width", str(content.section("model").get("width", "?"))),
        ("context of the cache", str(content.section("cache").get("context", "?"))),
        ("versions", f"star {environment.get('star', '?')}, {known}"),
        ("commit", str(environment.get("git_commit") or "unknown")),
        ("folder", str(content.run.path)),
    ]
    return [(word, visible(text, None)) for word, text in pairs]
