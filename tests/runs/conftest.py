"""Runs that searches with made-up results left."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from star.runs.run import Run
from star.search import EvolveConfig, Search, SearchConfig
from tests.search.made_up import MadeUp


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[Search, Run]]:
    """A finished search in the folder `run`, and what it left; settings are those of `search`."""

    def make(executor: MadeUp | None = None, **settings: Any) -> tuple[Search, Run]:
        given = {
            "objectives": ["validation_loss", "cache_bytes"],
            "population": 8,
            "generations": 3,
            "baselines": ["transformer_pp"],
            **settings,
        }
        config = EvolveConfig(depth=4, run_dir=str(tmp_path / "run"), search=SearchConfig(**given))
        search = Search.from_config(config, executor or MadeUp())
        return search, search.run()

    return make
