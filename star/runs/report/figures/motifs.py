"""What designs are made of: operators by generation and by depth, sequences that the front has more
often than the rest, and how far apart LIVs lie that share."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from scipy.stats import false_discovery_control, fisher_exact

from star.evaluation.result import OK, STOPPED
from star.runs.names import BASELINE
from star.runs.report.content import FRONT, Content, visible
from star.runs.report.families import FAMILIES, liv_family
from star.runs.report.figures.base import Figure, Row, rounded, tooltip
from star.runs.report.figures.progress import GENERATION
from star.runs.run import RunCandidate

LONGEST = 3  # LIVs of a sequence
LEAST = 3  # designs that have a sequence, for it to be tested
SHOWN = 40  # sequences of a table
MOST_DEPTHS = 64  # places of the map by depth
COLOURS = {
    "domain": [family.name for family in FAMILIES],
    "range": [family.colour for family in FAMILIES],
}


@dataclass(frozen=True)
class Motif:
    """A sequence of classes, and how many designs of the front and of the rest have it."""

    classes: tuple[str, ...]
    front: int
    rest: int
    front_share: float
    rest_share: float
    p_value: float  # of Fisher's exact test, two-sided
    q_value: float  # with the false discovery rate controlled over all that were tested

    @property
    def text(self) -> str:
        """Its classes in order."""
        return " ".join(self.classes)


def _names(candidate: RunCandidate) -> list[str]:
    return [visible(liv_class.name) for liv_class in candidate.genome.classes()]


def sequences(names: Sequence[str], longest: int = LONGEST) -> set[tuple[str, ...]]:
    """All runs of 1 to `longest` neighbours."""
    return {
        tuple(names[start : start + length])
        for length in range(1, longest + 1)
        for start in range(len(names) - length + 1)
    }


def motifs(content: Content) -> list[Motif]:
    """Sequences that differ most between the front and the rest, by p-value.

    The rest is what was trained at all and is not on the front; baselines are left out, since
    nobody chose them by their quality. Source of the correction: Benjamini and Hochberg 1995.
    """
    found = [c for c in content.candidates if c.origin != BASELINE and c.status in (OK, STOPPED)]
    front = [c for c in found if c.genome_id in content.front_ids]
    rest = [c for c in found if c.genome_id not in content.front_ids]
    if not front or not rest:
        return []
    on, off = _counts(front), _counts(rest)
    tested = sorted(motif for motif in {*on, *off} if on[motif] + off[motif] >= LEAST)

    @cache  # many sequences have the same counts
    def p_value(of_front: int, of_rest: int) -> float:
        table = [[of_front, len(front) - of_front], [of_rest, len(rest) - of_rest]]
        return float(fisher_exact(table)[1])  # type: ignore[arg-type]

    p_values = [p_value(on[motif], off[motif]) for motif in tested]
    q_values = false_discovery_control(p_values).tolist() if p_values else []
    made = [
        Motif(m, on[m], off[m], on[m] / len(front), off[m] / len(rest), p, q)
        for m, p, q in zip(tested, p_values, q_values, strict=True)
    ]
    return sorted(made, key=lambda motif: (motif.p_value, -motif.front_share, motif.classes))


def _counts(candidates: Iterable[RunCandidate]) -> Counter[tuple[str, ...]]:
    return Counter(motif for c in candidates for motif in sequences(_names(c)))


def operators(content: Content) -> Figure:
    """How often each family is used, by generation."""
    counts: Counter[tuple[int, str]] = Counter()
    livs: Counter[int] = Counter()
    for candidate in content.candidates:
        if candidate.origin != BASELINE:
            for liv_class in candidate.genome.classes():
                counts[candidate.generation, liv_family(liv_class).name] += 1
                livs[candidate.generation] += 1
    rows: list[Row] = [
        {
            "generation": generation,
            "family": family,
            "LIVs": count,
            "share": rounded(count / livs[generation], 3),
        }
        for (generation, family), count in sorted(counts.items())
    ]
    return Figure(
        "operators",
        "Operators by generation",
        "Share of all LIVs that were proposed, by the family of their operator.",
        {
            "mark": "bar",
            "encoding": {
                "x": GENERATION,
                "y": {"field": "share", "type": "quantitative", "title": "share of LIVs",
                      "axis": {"format": "%"}, "scale": {"domain": [0, 1]}},
                "color": {"field": "family", "type": "nominal", "title": None, "scale": COLOURS},
                "tooltip": tooltip("generation", "family", "LIVs", "share"),
            },
        },
        rows,
    )  # fmt: skip


def by_depth(content: Content) -> list[Figure]:
    """Which operators stand where, in the designs of the front and in the rest of the trained."""
    trained = [c for c in content.candidates if c.status in (OK, STOPPED)]
    on_front = [c for c in trained if c.genome_id in content.front_ids]
    rest = [c for c in trained if c.genome_id not in content.front_ids]
    return [
        _by_depth("operators_by_depth", "on the front", on_front),
        _by_depth("operators_by_depth_rest", "in the rest", rest),
    ]


def _by_depth(name: str, where: str, designs: Sequence[RunCandidate]) -> Figure:
    """A map of classes by place.

    Args:
        name: of the figure.
        where: the designs are, for its title.
        designs: whose LIVs are counted.
    """
    counts = Counter(
        place_and_class
        for candidate in designs
        for place_and_class in enumerate(_names(candidate)[:MOST_DEPTHS])
    )
    rows: list[Row] = [
        {
            "LIV": place,
            "class": liv_class,
            "designs": count,
            "share": rounded(count / len(designs), 3),
        }
        for (place, liv_class), count in sorted(counts.items())
    ]
    classes = len({row["class"] for row in rows})
    return Figure(
        name,
        f"Operators by depth, {where}",
        f"Share of {len(designs)} designs that were trained with a class at a place. LIV 0 is the "
        f"first; at most {MOST_DEPTHS} are shown.",
        {
            "mark": "rect",
            "encoding": {
                "x": {"field": "LIV", "type": "ordinal", "axis": {"labelAngle": 0}},
                "y": {"field": "class", "type": "nominal", "title": None},
                "color": {
                    "field": "share",
                    "type": "quantitative",
                    "scale": {"scheme": "blues", "domain": [0, 1]},
                    "legend": {"orient": "bottom", "format": "%", "gradientLength": 160},
                },
                "tooltip": tooltip("LIV", "class", "designs", "share"),
            },
        },
        rows,
        height=max(120, 18 * classes),
    )


def motif_figure(found: Sequence[Motif]) -> Figure:
    """The first sequences of the table as bars."""
    rows: list[Row] = [
        {
            "sequence": motif.text,
            "where": where,
            "share": rounded(share, 3),
            "designs": count,
            "q": rounded(motif.q_value, 3),
        }
        for motif in found[:12]
        for where, share, count in (
            ("front", motif.front_share, motif.front),
            ("rest", motif.rest_share, motif.rest),
        )
    ]
    return Figure(
        "motifs",
        "Sequences of the front against the rest",
        f"Share of designs that have each run of up to {LONGEST} neighbouring classes, for the "
        "twelve that differ most.",
        {
            "mark": {"type": "bar"},
            "encoding": {
                "y": {"field": "sequence", "type": "nominal", "sort": None, "title": None,
                      "axis": {"labelLimit": 190}},
                "yOffset": {"field": "where", "sort": ["front", "rest"]},
                "x": {"field": "share", "type": "quantitative", "axis": {"format": "%"},
                      "title": "share of designs"},
                "color": {"field": "where", "type": "nominal", "title": None,
                          "scale": {"domain": ["front", "rest"], "range": ["#0072b2", "#bdbdbd"]}},
                "tooltip": tooltip("sequence", "where", "designs", "share", ("q", "q-value")),
            },
        },
        rows,
        height=24 * max(3, len(rows) // 2),
    )  # fmt: skip


def sharing(content: Content) -> Figure:
    """How far apart LIVs are that share weights or features."""
    counts: Counter[tuple[int, str, str]] = Counter()
    for candidate in content.candidates:
        if candidate.status not in (OK, STOPPED) or candidate.origin == BASELINE:
            continue
        where = FRONT if candidate.genome_id in content.front_ids else "rest"
        for liv, resolved in enumerate(candidate.genome.sharing):
            if resolved.borrowed:
                counts[liv - resolved.feature_owner, "features", where] += 1
            for owner in resolved.tied(liv):
                counts[liv - owner, "weights", where] += 1
    rows: list[Row] = [
        {"distance": distance, "what": what, "where": where, "pairs": count}
        for (distance, what, where), count in sorted(counts.items())
    ]
    return Figure(
        "sharing",
        "Distance of sharing",
        "LIVs between one that shares and the owner of what it shares: 1 is the neighbour.",
        {
            "mark": "bar",
            "encoding": {
                "x": {"field": "distance", "type": "ordinal", "title": "LIVs apart",
                      "axis": {"labelAngle": 0}},
                "xOffset": {"field": "what"},
                "y": {"field": "pairs", "type": "quantitative", "title": "pairs",
                      "aggregate": "sum"},
                "color": {"field": "what", "type": "nominal", "title": None,
                          "scale": {"domain": ["features", "weights"],
                                    "range": ["#e69f00", "#009e73"]}},
                "tooltip": [
                    {"field": "distance", "title": "LIVs apart"},
                    {"field": "what", "title": "what is shared"},
                    {"field": "pairs", "aggregate": "sum", "title": "pairs"},
                ],
            },
        },
        rows,
    )  # fmt: skip
