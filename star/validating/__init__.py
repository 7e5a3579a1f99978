"""Validation: what a search found, trained again for longer, with other seeds, on other text.

`designs.py` says which designs, `validation.py` trains them, `results.py` says how far to believe
the search, `table.py` shows it. `star/validate.py` is the command.
"""

from .config import ValidateConfig as ValidateConfig
from .config import ValidationConfig as ValidationConfig
from .results import Results as Results
from .validation import Validation as Validation
