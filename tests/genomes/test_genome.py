"""The backbone genome: text and array forms, validity, repair, canonical form."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from star.genomes import (
    ALPHABETS,
    GENE_NAMES,
    Alphabet,
    Featurizer,
    Genome,
    GenomeError,
    Liv,
    OperatorGenome,
    Structure,
    fit_depth,
    get_alphabet,
    random_genome,
    register_class,
    register_structure,
    valid_operators,
)
from star.genomes.operators import PER_CHANNEL, SEMI_SEPARABLE, projections
from tests import registrations
from tests.genomes.definition import (
    allowed_values,
    canonical_livs,
    repair_livs,
    valid_gene_values,
)

SEEDS = st.integers(0, 2**32 - 1)


def sample(seed: int, depth: int = 8, sharing: float = 0.6) -> Genome:
    return random_genome(depth, np.random.default_rng(seed), "extended", sharing)


def raw_genes(seed: int, depth: int = 6, highest: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, highest, size=depth * 5)


def architecture(genome: Genome) -> tuple:
    """Every tie a genome implies, written independently of the canonical form.

    What does not depend on the input, such as a convolution kernel: to borrow it and to tie its
    weights are the same.
    """
    rows = []
    for index, (liv_class, sharing) in enumerate(
        zip(genome.classes(), genome.sharing, strict=True)
    ):
        row: list = [liv_class.id]
        for group in liv_class.operator.groups:
            source = sharing.feature_owner if group.name in sharing.borrowed else index
            weights = genome.sharing[source].weight_owner[group.name]
            row.append(
                (group.name, weights)
                if group.name in liv_class.operator.structure.input_free
                else (group.name, source, weights)
            )
        rows.append(tuple(row))
    return tuple(rows)


def test_example_of_the_paper_shares_weights_and_features() -> None:
    genome = Genome.from_text("21211-31112-21221-32112")
    # LIVs 1 and 3 (class 2) tie weights only when they name the same featurizer group.
    assert genome.validate() == []
    tied = Genome.from_text("21211-31112-21211-31112")
    assert tied.sharing[2].weight_owner == {"C": 0, "B": 0, "V": 0}
    assert tied.sharing[3].borrowed == ("B", "V") and tied.sharing[3].feature_owner == 1


@given(SEEDS, st.integers(1, 30))
def test_text_and_array_forms_round_trip(seed: int, depth: int) -> None:
    genome = sample(seed, depth)
    assert Genome.from_text(genome.to_text(), "extended") == genome
    assert genome.to_array().dtype == np.int64 and genome.to_array().shape == (depth * 5,)
    assert Genome.from_array(genome.to_array(), "extended") == genome


def test_dots_are_written_only_when_needed() -> None:
    assert Genome((Liv(9),), ALPHABETS["star"]).to_text() == "91111"
    assert Genome((Liv(10), Liv(9)), ALPHABETS["star"]).to_text() == "10.1.1.1.1-9.1.1.1.1"


@pytest.mark.parametrize(
    "text", ["", "2121", "21211-", "21211-3111x", "10.1.1.1", "1.1.1.1.1.1", "²1111"]
)
def test_malformed_text_names_the_liv(text: str) -> None:
    with pytest.raises(GenomeError, match="LIV [01] is"):
        Genome.from_text(text)


@pytest.mark.parametrize(
    "array", [np.ones(8, int), np.ones(2, int), np.ones((2, 5), int), np.ones(5), np.ones(0, int)]
)
def test_malformed_array_states_the_expected_shape(array: np.ndarray) -> None:
    with pytest.raises(GenomeError, match=r"shape \(depth \* 5,\)"):
        Genome.from_array(array)


def test_validate_lists_every_problem() -> None:
    problems = Genome.from_text("18.1.3.4.1-9.1.1.1.4-1.1.1.1.2-1.1.1.1.3").validate()
    found = [(p.liv, p.gene, p.value) for p in problems]
    assert found == [
        (0, "liv_class", 18),
        (0, "featurizer_sharing", 3),
        (1, "feature_sharing", 4),
        (3, "feature_sharing", 3),
    ]
    assert problems[3].allowed == (1, 2)
    assert "LIV 0 gene liv_class: 18 is not allowed, expected 1 to 17" in str(problems[0])
    with pytest.raises(GenomeError, match=r"LIV 0 gene liv_class.*LIV 3 gene feature_sharing"):
        Genome.from_text("18.1.3.4.1-9.1.1.1.4-1.1.1.1.2-1.1.1.1.3").check()


@given(SEEDS, st.integers(1, 9))
def test_problems_are_those_of_the_definition(seed: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    alphabet = ALPHABETS["star"]
    livs = rng.integers([0, 0, 0, 0, 0], [20, depth + 2, 4, depth + 2, 6], (depth, 5)).tolist()
    livs = [[max(1, liv_class - 14) if seed % 2 else liv_class, *rest] for liv_class, *rest in livs]
    expected = [
        (liv, GENE_NAMES[gene], value, tuple(allowed_values(livs, liv, gene, alphabet)))
        for liv, genes in enumerate(livs)
        for gene, value in enumerate(genes)
        if gene < 4 or genes[0] in alphabet.by_id
        if value not in allowed_values(livs, liv, gene, alphabet)
    ]
    found = Genome.from_genes(livs).validate()
    assert [(p.liv, p.gene, p.value, tuple(p.allowed)) for p in found] == expected


def test_genomes_of_thousands_of_livs_take_linear_work() -> None:
    def lines(depth: int) -> int:
        """Lines of our code that the two checks run."""
        genome = Genome.from_text("-".join(["1.1.1.2.2", "9.1.1.1.1"] * (depth // 2)))
        wrong = Genome.from_text("-".join(["1.99999.1.99999.1"] * depth))
        count = 0

        def trace(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
            nonlocal count
            count += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            genome.check()
            with pytest.raises(GenomeError) as caught:
                wrong.check()
        finally:
            sys.settrace(before)
        assert f"and {2 * depth - 8} more" in str(caught.value) and len(str(caught.value)) < 2000
        return count

    assert lines(4000) < 10 * lines(500)  # linear: 8 times, quadratic: 64


@pytest.mark.parametrize("depth", [0, -1, 10**9, 10**18])
def test_a_depth_that_no_genome_has(depth: int) -> None:
    with pytest.raises(GenomeError, match=f"depth={depth}: expected 1 to 10,000 LIVs"):
        fit_depth(Genome.from_text("11111"), depth)


def repaired(
    genes: np.ndarray, rng: np.random.Generator, alphabet: Alphabet = ALPHABETS["star"]
) -> Genome:
    livs, _ = repair_livs(genes.reshape(-1, 5).tolist(), rng, alphabet)
    return Genome.from_genes(livs, alphabet)


@given(SEEDS, st.integers(0, 39))
def test_valid_values_are_exactly_those_that_keep_the_genome_valid(
    seed: int, position: int
) -> None:
    genome = sample(seed)
    genes, (liv, gene) = genome.to_array(), divmod(position, 5)
    valid = valid_gene_values(genome.livs, liv, gene, ALPHABETS["extended"])
    for value in range(-1, 25):
        changed = genes.copy()
        changed[position] = value
        assert (Genome.from_array(changed, "extended").validate() == []) == (value in valid)


@given(SEEDS)
def test_canonical_form_is_a_valid_fixed_point_of_the_same_architecture(seed: int) -> None:
    genome = repaired(raw_genes(seed), np.random.default_rng(seed))
    canonical = genome.canonical()
    assert canonical.validate() == [] and canonical.canonical() == canonical
    assert canonical.livs == canonical_livs(genome.livs, genome.alphabet)
    assert architecture(canonical) == architecture(genome)
    assert canonical.id == genome.id


@pytest.mark.slow
def test_canonical_forms_differ_exactly_when_architectures_do() -> None:
    check_canonical_forms([3, 5, 7, 7, 8, 9], ALPHABETS["star"])


@pytest.mark.slow
def test_canonical_forms_of_released_operators_differ_exactly_when_architectures_do() -> None:
    """MLA's maps are weights, and the squared ReLU has one strategy alone."""
    check_canonical_forms([41, 41, 42, 40], ALPHABETS["released"], 3000)


def check_canonical_forms(classes: list[int], alphabet: Alphabet, genomes: int = 6000) -> None:
    rng = np.random.default_rng(0)
    by_architecture: dict[tuple, set[str]] = {}
    for _ in range(genomes):
        depth = int(rng.integers(2, 6))
        livs = np.ones((depth, 5), dtype=np.int64)
        livs[:, 0] = rng.choice(classes)
        livs[:, 1::2] = rng.integers(1, 3, size=(depth, 2))
        livs[:, 2] = rng.integers(1, 3, size=depth)
        livs[:, 4] = np.where(rng.random(depth) < 0.6, rng.integers(2, 6), 1)
        genome = repaired(livs, rng, alphabet)
        canonical = genome.canonical()
        assert canonical.livs == canonical_livs(genome.livs, alphabet)
        by_architecture.setdefault(architecture(genome), set()).add(canonical.to_text())
    assert len(by_architecture) > genomes / 6
    assert all(len(forms) == 1 for forms in by_architecture.values())
    texts = [next(iter(forms)) for forms in by_architecture.values()]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    "sharing",
    [
        {2: ("C",), 3: ("A", "B"), 4: ("C", "A", "B"), 5: ("V",)},
        {2: ("A", "B"), 3: ("V", "A", "B"), 5: ("C",)},  # no strategy borrows V alone
        {4: ("A", "B", "V"), 5: ("V",)},  # none borrows A and B alone
    ],
    ids=str,
)
def test_groups_of_users_that_do_not_depend_on_the_input_have_one_form_too(sharing: dict) -> None:
    # A linear time-invariant state space: A and B are weights.
    structure = Structure(
        "time-invariant",
        SEMI_SEPARABLE,
        PER_CHANNEL,
        groups=("A", "B", "C", "V"),
        sharing=sharing,
        featurizers={100: Featurizer(projections("ABCV"))},
        cache=lambda *arguments: 0,
        input_free=("A", "B"),
    )
    with registrations.temporary():
        register_structure(structure)
        register_class("LTI", "100.4.1.1.1", "", 10_000)
        check_canonical_forms([10_000], get_alphabet("extended"), 1500)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("12222-92222", "11111-91111"),  # groups of one are inert
        ("12212-13221-12212-13221", "11212-12211-11212-12211"),  # renumbered by first appearance
        ("71213-71213", "71211-71211"),  # K borrowed under tied weights is tied already
        ("71214-71214", "71212-71212"),
    ],
)
def test_canonical_examples(text: str, canonical: str) -> None:
    assert Genome.from_text(text).canonical().to_text() == canonical


def test_id_is_stable_across_versions_and_alphabets() -> None:
    assert Genome.from_text("11111-91111").id == Genome.from_text("11111-91111", "extended").id
    assert Genome.from_text("11111-91111").id == "ada095119eb9"


@given(SEEDS, st.integers(1, 20))
def test_fit_depth_keeps_classes_and_stays_valid(seed: int, depth: int) -> None:
    genome = sample(seed, 6)
    fitted = fit_depth(genome, depth)
    assert fitted.depth == depth and fitted.validate() == []
    assert [liv.liv_class for liv in fitted.livs] == [
        genome.livs[n % 6].liv_class for n in range(depth)
    ]


def test_repetitions_share_within_themselves_only() -> None:
    assert fit_depth(Genome.from_text("71211-71211"), 4).to_text() == "71211-71211-72211-72211"


def test_operator_codes_are_read_back() -> None:
    for operator in valid_operators():
        assert OperatorGenome.from_code(operator.code) == operator
    assert OperatorGenome.from_code("1.2.1.2.3").code == "12123"
    assert (
        OperatorGenome(10, 4, 1, 1, 3).code == "10.4.1.1.3"
        and ALPHABETS["extended"].by_id[22].operator.state == 0
    )


@pytest.mark.parametrize("code", ["1212", "1212x", "10.4.1.1", "", "²2123"])
def test_malformed_operator_codes_are_refused(code: str) -> None:
    with pytest.raises(GenomeError, match="expected five digits such as 12123, or five numbers"):
        OperatorGenome.from_code(code)
