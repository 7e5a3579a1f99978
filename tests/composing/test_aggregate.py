"""Aggregation: clusters, votes worked by hand, sharing that stays valid, and the command."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import silhouette_score

from star.base.errors import UserError
from star.composing.aggregate import BEST, RULES, aggregate, clusters, knee
from star.evaluation.pareto import pareto_ranks
from star.genomes import Genome, random_genome, read_genome_file
from star.search import EvolveConfig, Search, SearchConfig
from tests.conftest import Result
from tests.search.made_up import MadeUp

Command = Callable[..., Result]


def drawn(seed: int, depth: int) -> Genome:
    return random_genome(depth, np.random.default_rng(seed), "extended", 0.5)


def made(texts: list[str], rule: str) -> str:
    genomes = [Genome.from_text(text) for text in texts]
    return aggregate(genomes, [0] * len(texts), [*range(len(texts))], rule).genome.to_text()


@given(
    seed=st.integers(0, 10**6), depth=st.integers(1, 10), count=st.integers(1, 5),
    rule=st.sampled_from(RULES),
)  # fmt: skip
def test_identical_genomes_give_that_genome(seed: int, depth: int, count: int, rule: str) -> None:
    genome = drawn(seed, depth)
    found = aggregate([genome] * count, [0] * count, [1.0] * count, rule)
    assert found.genome == genome.canonical()


@given(
    seed=st.integers(0, 10**6), depth=st.integers(1, 10), count=st.integers(1, 12),
    rule=st.sampled_from(RULES),
)  # fmt: skip
def test_votes_add_up_and_the_result_is_valid(seed: int, depth: int, count: int, rule: str) -> None:
    genomes = [drawn(seed + n, depth) for n in range(count)]
    rng = np.random.default_rng(seed)
    labels = [0, *rng.integers(0, 2, count - 1)]
    found = aggregate(genomes, labels, rng.random(count).tolist(), rule)
    assert not found.genome.validate() and found.genome == found.genome.canonical()
    assert [c.name for c in found.genome.classes()] == [vote.chosen for vote in found.votes]
    assert len(found.members) == (1 if rule == "best" else sum(label == 0 for label in labels))
    for vote in found.votes:
        assert sum(vote.counts.values()) == vote.voters <= len(found.members)
        assert vote.counts[vote.chosen] == max(vote.counts.values())
    if rule == "0":
        assert all(vote.voters == len(found.members) for vote in found.votes)


def test_rules_worked_by_hand() -> None:
    """Three begin with 1, of which two go on with 9; two begin with 7 and go on with 5."""
    texts = ["11111-91111", "71111-51111", "71111-51111", "11111-91111", "11111-51111"]
    assert made(texts, "0") == "11111-51111"  # 1 by 3 to 2, then 5 by 3 to 2
    assert made(texts, "1") == "11111-91111"  # among those with 1: 9 by 2 to 1
    assert made(texts, "best") == "11111-91111"
    assert made(["71111", "11111"], "0") == "71111"  # equal counts: the better one's


def test_two_before_count_where_anybody_agrees() -> None:
    texts = ["11111-71111-91111", "11111-71111-91111", "51111-71111-31111", "51111-71111-31111",
             "51111-71111-31111"]  # fmt: skip
    assert made(texts, "1") == "51111-71111-31111"
    assert made([*texts[:2], *texts[:1], *texts[2:4]], "2") == "11111-71111-91111"


def test_sharing_that_does_not_fit_is_left_out() -> None:
    """The second LIV's owner was voted out: it shares with nobody then."""
    texts = ["31112-31112-91111", "71111-31112-31112", "71111-31112-31112"]
    assert made(texts, "0") == "71111-31112-31112"
    alone = made(["31112-31112", "71111-31111", "71111-31111", "31112-31112", "71111-91111"], "0")
    assert alone == "71111-31111"


def test_depths_and_alphabets_must_agree() -> None:
    genomes = [Genome.from_text("11111"), Genome.from_text("11111-91111")]
    with pytest.raises(UserError, match="genomes have 1 to 2 LIVs; expected one depth"):
        aggregate(genomes, [0, 0], [0.0, 0.0])
    genomes = [Genome.from_text("11111"), Genome.from_text("11111", "extended")]
    with pytest.raises(UserError, match="expected one alphabet, found extended and star"):
        aggregate(genomes, [0, 0], [0.0, 0.0])


def test_cluster_0_is_the_best() -> None:
    values = np.array([[3.0], [1.0], [3.1], [1.1], [2.0], [2.1]])
    assert clusters(values, 3) == [2, 0, 2, 0, 1, 1]
    assert clusters(values, None) == [2, 0, 2, 0, 1, 1]  # as the silhouette says


def test_the_silhouette_chooses() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(m, 0.05, (12, 2)) for m in (0, 2, 4, 6)])
    labels = np.array(clusters(values, None))
    assert len({*labels}) == 4
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    for count in (2, 3, 5):
        other = np.array(clusters(values, count))
        assert silhouette_score(scaled, labels) > silhouette_score(scaled, other)


@pytest.mark.parametrize("count", [3, None])
def test_too_few_candidates_are_refused(count: int | None) -> None:
    values = np.array([[1.0], [1.0]]) if count is None else np.array([[1.0], [2.0], [2.0]])
    with pytest.raises(UserError, match="expected at most as many as there are candidates of diff"):
        clusters(values, count)


def test_the_knee_is_farthest_below_the_line_through_the_extremes() -> None:
    values = np.array([[0.0, 1.0], [0.1, 0.2], [0.5, 0.15], [1.0, 0.0], [0.9, 0.9]])
    assert knee(values) == 1
    assert pareto_ranks(values)[1] == 0
    assert knee(np.array([[1.0, 2.0]])) == 0


@pytest.fixture
def run(tmp_path: Path) -> Path:
    search = SearchConfig(
        objectives=["validation_loss", "cache_bytes"], population=10, generations=4,
        baselines=["transformer_pp"],
    )  # fmt: skip
    config = EvolveConfig(depth=4, run_dir=str(tmp_path / "run"), search=search)
    return Search.from_config(config, MadeUp()).run().path


def test_the_command_writes_what_was_voted(run: Path, command: Command) -> None:
    result = command("aggregate", f"run={run}", "to=best.yaml")
    assert result.returncode == 0, result.stderr
    assert "the cluster of the front's knee" in result.stdout
    content = read_genome_file(run.parent / "best.yaml")
    assert content.genome.id in result.stdout and content.notes in result.stdout
    assert content.parents and content.settings["model"]["width"] == 64
    described = command("describe", "genome=best.yaml", "format=json")
    assert content.genome.to_text() in described.stdout
    grown = command("extrapolate", "genome=best.yaml", "depth=8")
    assert grown.returncode == 0, grown.stderr


def test_one_objective_a_budget_and_several_runs(run: Path, command: Command) -> None:
    arguments = ("by=validation_loss", "constraints.cache_bytes=2MB", "clusters=null", "rule=1")
    result = command("aggregate", f"run={run}", *arguments)
    assert result.returncode == 0 and "the best cluster by validation_loss" in result.stdout
    best = command("aggregate", f"run={run}", "by=validation_loss", "rule=best")
    assert "it is one of the candidates" in best.stdout
    (run.parent / "copy").symlink_to(run)
    both = command("aggregate", f"run=[{run},copy]", "by=validation_loss")
    assert "of 2 runs" in both.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "run=[]: expected the folder of a search"),
        (["run=nowhere"], "nowhere: not a run"),
        (["run=run", "rule=3"], "rule=3: expected one of 0, 1, 2, best"),
        (["run=run", "clusters=1"], "clusters=1: expected a number from 2 to 1000, or null"),
        (["run=run", "clusters=500"], "clusters=500: expected at most as many as there are"),
        (["run=run", "by=nothing"], "by=nothing: expected what run measured: validation_loss,"),
        (["run=run", "by=recall_error"], "by=recall_error: expected what run measured"),
        (["run=run", "constraints.cache_bytes=1"], "constraints.cache_bytes=1: the least"),
        (["run=run", "to=there.yaml"], "to=there.yaml: is a file already"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], expected: str, run: Path, command: Command
) -> None:
    (run.parent / "there.yaml").write_text("mine")
    result = command("aggregate", *arguments)
    assert result.returncode == 2 and expected in result.stderr, result.stderr
    assert result.stderr.count("\n") == 1
    assert (run.parent / "there.yaml").read_text() == "mine"


def test_each_gene_of_the_backbone_is_voted_for() -> None:
    """By all members; of equal counts that of the better ones."""
    texts = ["11111-91111-41", "11111-91111-13", "11111-91111-43", "11111-91111-31"]
    assert made(texts, "0") == "11111-91111-41"
    assert made(texts[1:], "0") == "11111-91111-13"
    assert made(texts[2:], BEST) == "11111-91111-43"
