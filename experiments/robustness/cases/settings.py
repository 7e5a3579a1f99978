"""Values that no setting can have: numbers out of range, other kinds, unknown words and keys."""

from collections.abc import Iterator, Mapping, Sequence

from cases.case import (
    Case,
    Expected,
    describe,
    done,
    either,
    generate,
    nothing,
    refused,
    smoke,
    tabular,
    train,
)

HUGE = str(10**18)
COUNT = ("0", "-1", "nan", "1.5", "none_of_it")  # for what is a whole number of at least 1
SHARE = ("nan", "inf", "-0.5", "1.5", "text")  # for what lies between 0 and 1
RATE = ("nan", "inf", "-1", "0", "text")  # for what is positive

TRAIN: Mapping[str, Sequence[str]] = {
    "steps": COUNT,
    "depth": ("0", "-1", "1000000000", "1.5"),
    "width": ("0", "-16", "17", HUGE, "1048576", "nan"),
    "context": ("0", "-1", "nan"),
    "seed": ("-1", str(2**64), "1.5", "text"),
    "checkpoint_every": COUNT,
    "validate_every": COUNT,
    "model.vocabulary": ("0", "-1", HUGE, "nan"),
    "model.window": ("0", "-1", "nan"),
    "model.rope_base": RATE,
    "model.rope_factor": (*RATE, "0.5"),
    "model.rope_low_factor": (*RATE, "4"),
    "model.rope_original_positions": (*COUNT, "8"),
    "model.norm_eps": ("nan", "inf", "-1", "text"),
    "model.tie_embeddings": ("maybe",),
    "cache.batch": ("0", "-1", "nan"),
    "cache.dtype": ("float99", "null"),
    "training.batch_size": (*COUNT, HUGE),
    "training.micro_batch_size": ("0", "-1", "3", "nan"),
    "training.length": (*COUNT, HUGE),
    "training.learning_rate": RATE,
    "training.betas": ("[0.9]", "[nan,0.9]", "[0.9,1]", "[-1,0.9]", "0.9", "[[0.9],0.9]", "[a,b]"),
    "training.weight_decay": ("nan", "inf", "-1", "text"),
    "training.warmup_steps": ("-1", "nan", "1.5"),
    "training.final_fraction": SHARE,
    "training.gradient_clip": ("nan", "-1", "0", "text"),
    "training.validation_batches": COUNT,
    "training.validation_batch_size": (*COUNT, HUGE),
    "training.schedule": ("linear", "null"),
    "training.precision": ("float8", "null"),
    "training.device": ("tpu", "cuda:99", "null"),
    "data.held_out": (*SHARE, "0", "1"),
    "tensorboard": ("maybe",),
}
SEARCH: Mapping[str, Sequence[str]] = {
    "depth": ("0", "-1", "1000000000", "nan"),
    "seed": ("-1", str(2**64), "nan"),
    "search.population": (*COUNT, str(10**12)),
    "search.generations": COUNT,
    "search.objectives": ("[]", "[none_such]", "text", "[[a]]", "[no_module:Name]", "[os:path]"),
    "search.also_measure": ("[none_such]", "[[a]]"),
    "search.baselines": ("[none_such]", "[[lfm2]]", "[/dev/null]"),
    "search.seeds": ("[none_such]", "[[lfm2]]", "[/dev/null]"),
    "search.space.alphabet": ("none_such", "null"),
    "search.space.classes": ("[none_such]", "[[SA-1]]", "[SA-1,none_such]"),
    "search.space.motif": ("0", "-1", "99", "nan"),
    "search.space.depths": ("[1]", "[0,3]", "[4,2]", "[a,b]", "[nan,3]", "[1,1000000000]"),
    "search.variation.crossover_points": ("0", "-1", "nan"),
    "search.variation.crossover_probability": SHARE,
    "search.variation.mutation_probability": SHARE,
    "search.variation.sharing_probability": SHARE,
    "search.variation.operator_probability": SHARE,
    "search.stop.evaluations": ("0", "-1", "nan"),
    "search.stop.patience": ("0", "-1"),
    "search.stop.wall_time": ("0", "-1", "nan", "inf", "2parsecs", "'1h 30'", "[1]"),
    "search.stop.training_tokens": ("0", "-1", "nan", "inf", "5apples", "true"),
    "search.halving.rungs": ("[0]", "[-1]", "[80]", "[40,20]", "[20,20]", "[nan]", "20"),
    "search.halving.keep": (*SHARE, "0", "1"),
    "search.algorithm._target_": ("none", "os.system", "no_module.Name", "star.search.loop", "7"),
    "search.algorithm.none_such": ("1",),
    "constraints.cache_bytes": ("0", "-1", "nan", "inf", "4apples", "[1]", "true"),
    "constraints.none_such": ("1",),
    "limits.seconds": ("0", "-1", "nan", "inf", "2parsecs"),
    "limits.memory": ("0", "-1", "nan", "inf", "4apples", "[1]"),
    "limits.retries": ("-1", "nan", "1.5"),
    "executor": ("none_such",),
    "executor.path": ("/dev/null", "/none/such", "."),
    "ledger": ("/dev/null", "/proc/none_such/ledger.sqlite", "."),
    "objectives.none_such": ("{a:1}",),
    "scale": ("none_such",),
    "search": ("none_such",),
    "data": ("none_such",),
}
WORKERS: Mapping[str, Sequence[str]] = {
    "executor.workers": ("0", "-1", "1.5", "many", "nan", "true", "[1]"),
    "executor.threads_per_worker": ("0", "-1", "nan"),
    "executor.workers_per_gpu": ("0", "-1"),
    "training.steps": ("0", "-1"),
    "model.search_width": ("0", "-1", "17", "nan"),
}
DESCRIBE: Mapping[str, Sequence[str]] = {
    "width": ("0", "17", "nan", "-64"),
    "depth": ("0", "-1", "1000000000"),
    "context": ("0", "-1", "nan"),
    "batch": ("0", "-1"),
    "dtype": ("float99",),
    "format": ("xml",),
    "alphabet": ("none_such",),
    "genome": ("none_such", "''", "1-2-3", "11111-", "99.1.1.1.1", "-", "null"),
    "plugins": ("[no_module]", "[/dev/null]", "[none/such.py]", "text"),
    "library": ("[none/such]", "[/dev/null]"),
    "lineage": ("maybe", "true"),
    "model.rope_base": ("nan",),
    "model.norm_eps": ("nan", "-1"),
}
GENERATE: Mapping[str, Sequence[str]] = {
    "tokens": ("0", "-1", "nan"),
    "context": ("0", "-1"),
    "temperature": ("nan", "inf", "-1", "text"),
    "top_k": ("0", "-1", "nan"),
    "top_p": ("0", "-1", "nan", "1.5"),
    "seed": ("-1", str(2**64)),
    "dtype": ("float99",),
    "device": ("tpu",),
    "format": ("xml",),
    "stop": ("",),
}
# Overrides that cannot be read, or name what is not there; and what the line must hold.
MALFORMED: Mapping[str, tuple[str, str]] = {
    "without a value": ("steps", "steps"),
    "without a key": ("=5", "=5"),
    "an open bracket": ("training.betas=[0.9", "training.betas"),
    "an open quote": ("run_dir='abc", "run_dir"),
    "an unknown key": ("stepz=5", "stepz"),
    "an unknown nested key": ("training.stepz=5", "training.stepz"),
    "an added key": ("+mine=5", "mine"),
    "an added nested key": ("+training.mine=5", "training.mine"),
    "a removed key": ("~training.steps", "training.steps"),
    "a group as a value": ("training=5", "training"),
    "a value as a group": ("steps.more=5", "steps"),
    "a missing interpolation": ("width=${none_such}", "none_such"),
    "an interpolation of itself": ("width=${width}", "width"),
    "an unknown resolver": ("width=${none_such:1}", "none_such"),
    "an environment variable": ("width=${oc.env:NONE_SUCH}", "NONE_SUCH"),
    "Hydra's own": ("hydra.run.dir=x", "hydra.run.dir"),
    "a question mark": ("genome=???", "genome"),
    "a sweep without -m": ("seed=1,2", "seed"),
    "a NUL character": ("genome=a\\0b", "genome"),
    "an unknown option": ("--none-such", "--none-such"),
    "a folder of settings that is not there": ("--config-dir=none/such", "none/such"),
    "a control character": ("genome=\x1b[31mred", "genome"),
    "a right-to-left mark": ("genome=\u202eabc", "genome"),
}
# What works, and must go on to.
UNITS: Mapping[str, Expected] = {
    "limits.seconds=1m": done(),
    "limits.seconds=1h30m": done(),
    "limits.seconds=90": done(),
    "search.stop.wall_time=1h30m": done(),
    "search.stop.wall_time=2h": done(),
    "search.stop.training_tokens=350e6": done(),
    "search.stop.training_tokens=350M": done(),
    "constraints.cache_bytes=1MiB": done(),
    "constraints.cache_bytes=1e6": done(),
    "constraints.parameters=1M": done(),
    "limits.memory=4GB": done(),
    "limits.memory=1e10": done(),
}


def _named(verb: str, command: Sequence[str], table: Mapping[str, Sequence[str]]) -> Iterator[Case]:
    """A case for each value of each key: refused, with the last part of the key in the line."""
    for key, values in table.items():
        for value in values:
            word = key.rpartition(".")[2]
            opened = "+" if key.startswith("search.algorithm.none") else ""
            words = (*command, f"{opened}{key}={value}")
            yield Case(f"settings/{verb} {key}={value}", words, refused(word))


def _generate() -> Iterator[Case]:
    for case in _named("generate", generate("checkpoint=training"), GENERATE):
        yield Case(case.name, case.command, case.expected, lambda place: place.copy("training"))


def _open() -> Iterator[Case]:
    """What the issue does not decide: large sizes may be refused or may work."""
    commands = {
        f"describe context={HUGE}": describe("genome=lfm2", f"context={HUGE}"),
        f"describe width={2**40}": ("describe", "genome=lfm2", f"width={2**40}"),
        f"describe batch={HUGE}": describe("genome=lfm2", f"batch={HUGE}"),
        f"train context={HUGE}": train(f"context={HUGE}", "run_dir=run"),
        f"train model.window={HUGE}": train(f"model.window={HUGE}", "run_dir=run"),
        "train model.norm_eps=0": train("model.norm_eps=0", "run_dir=run"),
        "evolve width=1048576": tabular("width=1048576"),
        "evolve search.algorithm.weights=[nan]": tabular(
            "search=ga", "search.algorithm.weights=[nan]"
        ),
    }
    for name, command in commands.items():
        yield Case(f"settings/{name}", command, either())


CASES = (
    *_named("train", train("run_dir=run"), TRAIN),
    *_named("evolve", tabular("run_dir=run"), SEARCH),
    *_named("evolve", smoke("run_dir=run"), WORKERS),
    *_named("describe", describe(), DESCRIBE),
    *_generate(),
    *_open(),
    *(
        Case(f"settings/{name}", train("run_dir=run", text), refused(word), nothing)
        for name, (text, word) in MALFORMED.items()
    ),
    *(
        Case(f"settings/{setting}", tabular("run_dir=run", setting), expected)
        for setting, expected in UNITS.items()
    ),
)
