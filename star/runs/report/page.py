"""The page: one HTML file with everything in it, written whole.

What a browser shows of a run goes through JSON in a script that is not run, whose `<` are escaped,
and reaches the page as text; the rest is jinja2 with autoescape. A policy in the page forbids every
request.
"""

import base64
import json
import math
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from star.base import files
from star.base.errors import UserError
from star.base.reading import is_file, kind_of
from star.evaluation.recipe import SearchModelConfig
from star.genomes import CacheSetting, ModelConfig
from star.runs.lineage import Lineage, variation_text
from star.runs.names import BASELINE
from star.runs.origin import Origin, configured, read_run_origin
from star.runs.report import pictures, vega, words
from star.runs.report.cards import card_rows, card_specification
from star.runs.report.content import FRONT, SEED, Content, Quantity, visible
from star.runs.report.families import FAMILIES
from star.runs.report.figures import compare, front, motifs, progress, trust
from star.runs.report.figures.base import Figure, thinned
from star.runs.run import RunCandidate

HERE = Path(__file__).parent
MARK = '<meta name="generator" content="star.report">'  # how a page of ours is known
MOST = 1500  # candidates of a page; others are thinned, and it says so
REFRESH_SECONDS = 5  # of a page whose search goes on
BYTES, COUNT, NUMBER = "bytes", "count", "number"  # how a page writes a value


@dataclass(frozen=True)
class Section:
    """A part of a page."""

    name: str
    title: str
    figures: Sequence[Figure]
    sentences: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """All of a report, before it is written."""

    contents: Sequence[Content]
    sections: Sequence[Section]
    sequences: Sequence[motifs.Motif] = ()

    @property
    def figures(self) -> list[Figure]:
        """Those with something to draw."""
        return [f for section in self.sections for f in section.figures if not f.is_empty]


def make_report(contents: Sequence[Content]) -> Report:
    """The figures of a run, or of several beside each other. Raises `UserError` for runs that
    cannot be compared."""
    if len(contents) > 1:
        contents = compare.by_common_objectives(contents)
        common = ", ".join(o.name.replace("_", " ") for o in contents[0].minimised)
        note = (
            f"The fronts are over what all these runs minimised: {common}. Runs that "
            "differ in nothing but the seed are one group."
        )
        notes, different = [note], compare.other_questions(contents)
        if different:
            notes.append(
                "These runs asked different questions, so that their numbers differ by more than "
                f"their designs: {visible('; '.join(different))}."
            )
        parts = [Section("compare", "Compare", compare.hypervolumes(contents), notes)]
        return Report(contents, parts)
    content = contents[0]
    found = motifs.motifs(content)
    parts = [
        Section(
            "progress",
            "Progress",
            [
                *progress.hypervolumes(content),
                progress.losses(content),
                progress.outcomes(content),
                progress.failures(content),
                progress.validity(content),
                progress.time(content),
            ],
        ),
        Section(
            "motifs",
            "Motifs",
            [
                motifs.operators(content),
                *motifs.by_depth(content),
                motifs.motif_figure(found),
                motifs.sharing(content),
            ],
            [
                "Sequences are tested one by one by Fisher's exact test, and the false discovery "
                "rate over all of them is controlled (Benjamini and Hochberg): of all with a "
                "q-value up to .05, at most about one in twenty does not differ, on average. "
                "Candidates descend from each other, so that these tests are too sure of "
                "themselves; where depths vary, deeper designs have more of every sequence."
            ],
        ),
        Section("trust", "Trust", trust.trust(content), words.trust(content)),
    ]
    return Report(contents, parts, found[: motifs.SHOWN])


def write_page(report: Report, path: Path, is_running: bool = False) -> None:
    """Write the page in the place of the one before; raises `OSError` where it cannot be written.

    Args:
        report: what it shows.
        path: of the file.
        is_running: the search goes on, so that the page reads itself again.
    """
    files.write_text(path, page(report, is_running))


def check_free(path: Path, figures: Path | None = None) -> None:
    """Raise `UserError` where something lies that no report left.

    Args:
        path: of the page.
        figures: of the folder of its figures, if they are written.
    """
    if figures is not None and figures.exists() and not path.exists():
        raise UserError(
            f"{figures}: is there already without a report; choose another folder with to=, or "
            "figures=false"
        )
    if not kind_of(path, "to"):
        return
    try:
        is_ours = is_file(path, "to") and _is_ours(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    if not is_ours:
        raise UserError(f"{path}: is there already and is no report; choose another name with to=")


def _is_ours(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as stream:
        return MARK in stream.read(2000)


def write_figures(report: Report, folder: Path) -> int:
    """Write each figure as CSV and, where vl-convert is there, SVG and PNG; gives their number.

    Raises `OSError` where it cannot write."""
    folder.mkdir(parents=True, exist_ok=True)
    files.remove_leftovers(folder, r"\w+\.(?:csv|svg|png)")
    first, several = report.contents[0], len(report.contents) > 1
    of_front = front.front_figure(first, _rows(report.contents), several)
    drawn = [figure for figure in (of_front, *report.figures) if not figure.is_empty]
    for figure in drawn:
        files.write_text(folder / f"{figure.name}.csv", figure.csv())
        if vega.is_installed():
            whole = figure.whole()
            for kind in ("svg", "png"):
                files.write_bytes(folder / f"{figure.name}.{kind}", vega.picture(whole, kind))
    if not vega.is_installed():
        for name, drawing in pictures.drawings(report.contents).items():
            for kind, content in drawing.items():
                files.write_bytes(folder / f"{name}.{kind}", content)
    return len(drawn)


def page(report: Report, is_running: bool = False) -> str:
    """The page as text."""
    contents = report.contents
    has_vega = vega.is_installed()
    images = {} if has_vega else pictures.drawings(contents)
    encoded = {name: base64.b64encode(drawing["png"]).decode() for name, drawing in images.items()}
    first = contents[0]
    sentences = {section.name: section.sentences for section in report.sections}
    title = " and ".join(content.label for content in contents)
    experiment = visible(first.settings.get("experiment_name", "search"))
    return _template().render(
        mark=Markup(MARK),
        title=f"{experiment}: {title}",
        experiment=experiment if len(contents) == 1 else "Comparison",
        label=title,
        summaries=[words.summary(content) for content in contents],
        labels=[content.label for content in contents],
        trust=sentences.get("trust", [])[:1],
        is_validated=len(contents) == 1 and first.has_validation,
        sections=report.sections,
        motifs=report.sequences,
        made_with=[(content.label, words.made_with(content)) for content in contents],
        families=FAMILIES,
        images=encoded,
        has_vega=has_vega,
        is_running=is_running,
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z"),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        behaviour=Markup((HERE / "page.js").read_text(encoding="utf-8")),
        vega=Markup(_as_script(vega.script())) if has_vega else "",
        data=Markup(_as_json(_data(report, is_running))),
    )


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _as_script(text: str) -> str:
    """A script within a page: nothing in it ends the element that holds it."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _as_json(data: Any) -> str:
    """Data within a page: no character of it is read as markup."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, default=_plain)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _plain(value: Any) -> Any:
    """What JSON has no form for: numbers of numpy."""
    number = value.item() if hasattr(value, "item") else str(value)
    return None if isinstance(number, float) and not math.isfinite(number) else number


def _data(report: Report, is_running: bool) -> dict[str, Any]:
    """What the page's script works with."""
    contents = report.contents
    several = len(contents) > 1
    rows = _rows(contents)
    kept = kept_rows(rows)
    quantities = _common_quantities(contents)
    along, up = front.axes(contents[0])
    colours = {**({front.RUN: front.RUNS} if several else {}), **front.COLOURS}
    return {
        "running": is_running,
        "written": round(1000 * time.time()),
        "refresh": REFRESH_SECONDS,
        "rows": [rows[place] for place in kept],
        "total": len(rows),
        "generations": max((row["generation"] for row in rows), default=0),
        "quantities": [_quantity(quantity, contents[0]) for quantity in quantities],
        "minimised": [o.name for o in contents[0].minimised],
        "axes": [along.name, up.name],
        "colours": colours,
        "line": front.RUN if several else "state",
        "template": front.TEMPLATE,
        "figures": [
            {
                "name": figure.name,
                "title": figure.title,
                "spec": figure.specification,
                "rows": figure.rows,
                "height": figure.height,
            }
            for figure in report.figures
        ],
        "themes": {theme: vega.configuration(theme) for theme in vega.THEMES},
        **_cards(contents, {rows[place]["key"] for place in kept}),
    }


def _rows(contents: Sequence[Content]) -> list[Mapping[str, Any]]:
    """Candidates of all runs, each with a key that no other one has."""
    if len(contents) > 1:
        return compare.labelled(contents)
    return [{**row, "key": row["id"]} for row in contents[0].rows]


def kept_rows(rows: Sequence[Mapping[str, Any]], most: int = MOST) -> list[int]:
    """Places of the candidates that a page holds: who is or was on a front, known designs and what
    was validated, and of the others as many as there is room for, evenly.

    Args:
        rows: of all candidates.
        most: how many a page holds.
    """
    first = [
        place
        for place, row in enumerate(rows)
        if row["state"] == FRONT
        or row.get("dominated", row["generation"]) > row["generation"]
        or row["origin"] in (BASELINE, SEED)
        or any(name.startswith("validated_") for name in row)
    ]
    chosen = {first[place] for place in thinned(len(first), most)}
    rest = [place for place in range(len(rows)) if place not in chosen]
    room = most - len(chosen)
    added = {rest[place] for place in thinned(len(rest), room)} if room > 1 else set()
    return sorted(chosen | added)


def _common_quantities(contents: Sequence[Content]) -> list[Quantity]:
    """Those that all runs recorded."""
    first, *others = contents
    known = [{quantity.name for quantity in other.quantities} for other in others]
    return [q for q in first.quantities if all(q.name in names for names in known)]


def _quantity(quantity: Quantity, content: Content) -> dict[str, Any]:
    """A quantity as the page's script chooses it."""
    objective = content.objectives.get(quantity.name)
    kind = BYTES if objective is not None and objective.unit == "bytes" else NUMBER
    if quantity.name in ("parameters", "train_tokens"):
        kind = COUNT
    return {
        **asdict(quantity),
        "kind": kind,
        "across": front.across(quantity),
        "upwards": front.upwards(quantity),
    }


def _cards(contents: Sequence[Content], wanted: set[str]) -> dict[str, Any]:
    """Cards by key, and what they have in common: classes, specifications by depth."""
    prefixes = [f"{label}/" for label in compare.labels(contents)] if len(contents) > 1 else [""]
    classes: dict[str, Any] = {}
    cards: dict[str, Any] = {}
    depths: set[int] = set()
    for prefix, content in zip(prefixes, contents, strict=True):
        sizes = _Sizes(content)
        lineage = Lineage(content.run)
        for candidate in content.candidates:
            key = f"{prefix}{visible(candidate.genome_id)}"
            if key not in wanted:
                continue
            rows = card_rows(candidate.genome, *sizes.of(candidate))
            livs = [row for row in rows if row["kind"] == "liv"]
            classes |= {row["class"]: [row["family"], row["what"]] for row in livs}
            depths.add(len(livs))
            cards[key] = {
                "livs": [[row["class"], row["parameters"], row["cache"]] for row in livs],
                "arcs": [
                    [row["kind"], row["owner"], row["liv"], row["what"]]
                    for row in rows
                    if row["kind"] != "liv"
                ],
                "genome": visible(candidate.genome.to_text(), None),
                "alphabet": visible(candidate.genome.alphabet.name),
                "made": visible(variation_text(candidate.variation)),
                "parents": _parents(content, candidate, lineage),
                "commands": _commands(content, candidate),
            }
    return {
        "classes": classes,
        "cards": cards,
        "card": {depth: card_specification(depth) for depth in sorted(depths)},
    }


def _parents(content: Content, candidate: RunCandidate, lineage: Lineage) -> list[dict[str, str]]:
    """Each parent, with what the step from it changed and gained."""
    found = []
    for genome_id in dict.fromkeys(candidate.parents):
        parent = content.run.candidates.get(genome_id)
        step = "not among the candidates of this run"
        if parent is not None:
            step = lineage.step(candidate, parent)
        found.append({"id": visible(genome_id), "step": visible(step)})
    return found


def _commands(content: Content, candidate: RunCandidate) -> list[list[str]]:
    """What to do with a design: a word and a command each."""
    reference, genome = f"{content.run.path}/{candidate.genome_id}", candidate.genome
    steps = 10 * max(content.steps, 1)
    experiment = "cache_frontier" if genome.alphabet.hybrid is None else "hybrid_frontier"
    arguments = {
        "train": ("train", f"genome={reference}", f"steps={steps}"),
        "describe": ("describe", f"genome={reference}", "lineage=true"),
        "draw": ("describe", f"genome={reference}", "picture=card.svg"),
        "seed a search": (
            "evolve",
            f"+experiment={experiment}",
            f"depth={genome.depth}",
            f"search.space.alphabet={genome.alphabet.name}",
            f"search.seeds=[{genome.to_text()}]",
        ),
    }
    return [
        [word, visible(shlex.join(["python", "-m", f"star.{verb}", *rest]), None)]
        for word, (verb, *rest) in arguments.items()
    ]


class _Sizes:
    """Sizes that a run's costs were counted at."""

    def __init__(self, content: Content) -> None:
        self._match = content.section("model").get("match")
        self._model: ModelConfig | None = None
        self._cache: CacheSetting | None = None
        try:
            origin: Origin = read_run_origin(str(content.run.path))
            self._model = configured(ModelConfig(), origin, "model")
            self._cache = configured(CacheSetting(), origin, "cache")
        except (UserError, ValueError):
            return

    def of(self, candidate: RunCandidate) -> tuple[ModelConfig | None, CacheSetting | None]:
        """Those of a candidate; None where they are not known."""
        if self._match is None or self._model is None or self._cache is None:
            return self._model, self._cache
        try:
            sizes = SearchModelConfig(**{**asdict(self._model), "match": self._match})
            return sizes.matched(candidate.genome, self._cache.context), self._cache
        except ValueError:  # of GenomeError: no width comes near
            return None, None
