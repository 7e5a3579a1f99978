"""One thread for torch: the models of the tests are too small for more, and CI has two cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
