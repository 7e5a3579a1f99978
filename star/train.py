"""python -m star.train genome=lfm2 depth=6 width=64 steps=500 run_dir=<folder>: train one genome.

The folder is the checkpoint (`star/models/checkpoint.py`); `star/training/state.py` keeps what is
needed to go on bit for bit. Running the same command again resumes an interrupted training. What a
training is and leaves is in `star.training_runs`.
"""

from star.base.command_line import run_command
from star.base.console import make_console, say
from star.genomes import GenomeError
from star.training_runs import BEGINNING as BEGINNING
from star.training_runs import TrainConfig as TrainConfig
from star.training_runs import finish, opened_training
from star.training_runs import upgrade_settings as upgrade_settings


def main(config: TrainConfig, arguments: list[str]) -> None:
    """Check the settings, train or go on training, evaluate, leave the checkpoint."""
    console = make_console()
    with opened_training(config, arguments) as (training, notices):
        for notice in notices:
            say(console, f"note: {notice}")
        content = training.genome
        say(console, f"training {content.name} ({content.genome.id}) in {training.folder}")
        finish(training, console)


if __name__ == "__main__":
    run_command("train", main, (GenomeError,))
