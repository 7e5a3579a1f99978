"""How long an instance of fuzzy recall takes at a vocabulary of 128, beside mad-lab's generator.

    python experiments/mad_baselines/fuzzy_speed.py

mad-lab writes down every motif of up to three tokens, shuffles them all, and does so for each
instance: 6 s at 128 tokens (FACTS A2; measured on another machine, so that the ratio is of orders
of magnitude).
"""

import time

from star.data.mad import fuzzy_recall

MAD_LAB_SECONDS = 6.0  # an instance
COUNT, REPEATS = 2000, 5


def main() -> None:
    """Print the best of some repeats."""
    seconds = []
    for repeat in range(REPEATS):
        start = time.process_time()
        fuzzy_recall(COUNT, seed=repeat, vocabulary=128, length=128)
        seconds.append((time.process_time() - start) / COUNT)
    best = min(seconds)
    ratio = MAD_LAB_SECONDS / best
    print(
        f"{1e6 * best:.0f} microseconds of one core an instance, {ratio:,.0f} times less than 6 s"
    )


if __name__ == "__main__":
    main()
