"""What longer trainings say of a search, against the same numbers by other ways."""

import csv
import io
from collections.abc import Callable

import numpy as np
import pytest
from pymoo.util.nds.fast_non_dominated_sort import fast_non_dominated_sort
from rich.console import Console
from scipy import stats

from star.evaluation import Evaluation
from star.evaluation.executors import Task
from star.evaluation.statistics import fit_seeds, front_probabilities
from star.runs.run import Run
from star.validating import Results, Validation
from star.validating.table import ValidationTable
from tests.search.made_up import MadeUp, infeasible
from tests.validating.conftest import STEPS, trained


@pytest.fixture
def results(searched: Callable[..., Run], validation: Callable[..., Validation]) -> Results:
    searched()
    return validation(sample=6).run()


def losses(results: Results) -> np.ndarray:
    """(designs, seeds), as the executor gave them."""
    steps = results.budget.recipe.training.steps
    return np.array([
        [trained(Task(d.candidate.genome, steps, seed=s)).metrics["validation_loss"]
         for s in results.seeds] for d in results.designs
    ])  # fmt: skip


def test_means_deviations_and_intervals(results: Results) -> None:
    table, rows = losses(results), results.rows()
    count, seeds = table.shape
    assert count == len(rows) > 8 and seeds == 3
    within = np.sqrt(table.var(axis=1, ddof=1).mean())  # equal counts: the mean variance
    half = stats.t.ppf(0.975, count * (seeds - 1)) * within / np.sqrt(seeds)
    for row, values in zip(rows, table, strict=True):
        assert row["validation_loss"] == pytest.approx(values.mean())
        assert row["validation_loss_deviation"] == pytest.approx(values.std(ddof=1))
        assert row["validation_loss_low"] == pytest.approx(values.mean() - half)
        assert row["validation_loss_high"] == pytest.approx(values.mean() + half)
        assert row["bits_per_byte"] == pytest.approx(2 * row["validation_loss"])


def test_the_front_and_the_probability_to_be_on_it(results: Results) -> None:
    table, rows = losses(results), results.rows()
    caches = [design.candidate.metrics["cache_bytes"] for design in results.designs]
    values = np.column_stack([table.mean(axis=1), caches])
    assert {n for n, row in enumerate(rows) if row["on_front"]} == {
        *fast_non_dominated_sort(values)[0]
    }
    spread = fit_seeds([dict(enumerate(row)) for row in table]).spread
    errors = np.column_stack([np.full(len(rows), spread.deviation / np.sqrt(3)), 0 * table[:, 0]])
    expected = front_probabilities(values, errors, [spread.degrees, 1])
    assert [row["front_probability"] for row in rows] == pytest.approx(expected)
    kept = sum(row["on_front"] and row["role"] == "front" for row in rows)
    assert len(results.kept) == kept < len(results.searched_front)


def test_rank_correlations_are_those_of_scipy(results: Results) -> None:
    table = losses(results).mean(axis=1)
    before = [design.candidate.metrics["validation_loss"] for design in results.designs]
    spearman, kendall, count = results.correlations("validation_loss")
    assert spearman.value == pytest.approx(stats.spearmanr(before, table)[0])
    assert kendall.value == pytest.approx(stats.kendalltau(before, table)[0])
    assert count == len(results.designs) and spearman.low < spearman.value < spearman.high
    assert spearman.value < 0.99  # the search's noise is seen


def test_the_file_has_a_row_each_and_says_what_the_search_said(results: Results) -> None:
    rows = list(csv.DictReader(io.StringIO(results.csv())))
    assert list(rows[0])[-2:] == ["front_probability", "on_front"]
    for row, design in zip(rows, results.designs, strict=True):
        assert row["genome_id"] == design.genome_id and row["role"] == design.role
        assert row["genome"] == design.candidate.genome.to_text()
        assert float(row["search_validation_loss"]) == design.candidate.metrics["validation_loss"]
        assert int(row["cache_bytes"]) == design.candidate.metrics["cache_bytes"]
        assert (row["seeds"], row["steps"], row["status"]) == ("3", str(2 * STEPS), "ok")
        assert row["search_rank"] == ("" if design.candidate.rank is None else
                                      str(design.candidate.rank))  # fmt: skip


def test_one_seed_has_means_and_a_front_but_nothing_of_spread(
    searched: Callable[..., Run], validation: Callable[..., Validation]
) -> None:
    searched()
    results = validation(seeds=1).run()
    for row in results.rows():
        assert row["validation_loss"] is not None and row["front_probability"] is None
        assert row["validation_loss_low"] is None and row["validation_loss_deviation"] is None
    assert results.front
    assert any("one seed tells no spread" in line for line in ValidationTable(results).lines())


@pytest.mark.slow
def test_who_fails_with_one_seed_is_not_judged_by_the_others(
    searched: Callable[..., Run], validation: Callable[..., Validation]
) -> None:
    run = searched()
    best = run.front["genome_id"].iloc[-1]  # of the smallest loss

    def fragile(task: Task) -> Evaluation:
        if task.genome.id == best and task.seed == 10_004:
            return infeasible("diverged", "loss is nan at step 150")
        return trained(task)

    results = validation(MadeUp(fragile)).run()
    (row,) = [row for row in results.rows() if row["genome_id"] == best]
    assert row["status"] == "infeasible" and row["seeds"] == 2 and not row["on_front"]
    assert "validation_loss" not in row and row["front_probability"] is None
    lines = ValidationTable(results).lines()
    assert f"{best}: diverged: loss is nan at step 150" in lines
    assert results.correlations("validation_loss")[2] == len(results.designs) - 1


def test_who_breaks_a_constraint_here_takes_no_place_on_the_front(
    searched: Callable[..., Run], validation: Callable[..., Validation]
) -> None:
    searched(whole={"constraints": {"validation_loss": 2.0}})
    results = validation(sample=50).run()
    means = [results.means(n)["validation_loss"] for n in range(len(results.designs))]
    above = {n for n, mean in enumerate(means) if mean > 2.0}
    assert above and above.isdisjoint(results.competing)
    assert {results.rows()[n]["on_front"] for n in above} == {False}
    assert any(results.designs[n].candidate.status == "ok" for n in above)  # kept it in the search


def printed(results: Results) -> str:
    stream = io.StringIO()
    ValidationTable(results).print(Console(file=stream, width=100))
    return stream.getvalue()


def test_the_table_shows_all_and_says_that_recall_was_not_measured(results: Results) -> None:
    text = printed(results)
    for design in results.designs:
        assert design.name in text
    assert f"{len(results.kept)} of the {len(results.searched_front)} designs on the" in text
    assert "Spearman" in text and "recall was not measured" in text
