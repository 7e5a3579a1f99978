"""What users add without editing the package: modules with operators, and folders of designs."""

from collections.abc import Sequence

from star.base.imports import import_plugins
from star.base.reading import expanded
from star.genomes import add_library


def use_extensions(plugins: Sequence[str], library: Sequence[str]) -> None:
    """Import modules and add folders of designs, for this process.

    Args:
        plugins: dotted names of modules or paths of `.py` files, which register operators.
        library: folders of genome files, whose designs are known by file name then.

    Raises:
        UserError: for a module that cannot be imported.
        GenomeError: for a folder without designs, or a design whose name is taken.
    """
    import_plugins(plugins)
    for folder in library:
        add_library(expanded(folder))
