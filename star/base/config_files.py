"""The user's own configuration files: Hydra finds them, and they are read as all YAML of others."""

import os
from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult

from star.base.errors import UserError
from star.base.reading import expanded, is_folder, list_folder
from star.base.safe_yaml import read_yaml

SCHEME = "star"


class UserFiles(FileConfigSource):
    """A folder of the user's groups; each file is judged before Hydra reads it."""

    @staticmethod
    def scheme() -> str:
        """The beginning of its address in the search path."""
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        """One file. Raises `UserError` for one that `read_yaml` refuses."""
        path = Path(os.path.join(self.path, self._normalize_file_name(config_path)))
        if not isinstance(read_yaml(path), dict | None):
            raise UserError(f"{path}: expected a mapping of settings")
        return super().load_config(config_path)


def search_path(folder: str | Path) -> str:
    """The override that lets Hydra find the files of a folder. Raises `UserError` for none."""
    path = expanded(folder)
    if not is_folder(path, "--config-dir"):
        raise UserError(f"--config-dir={folder}: no such folder")
    list_folder(path, "--config-dir")  # Hydra would find nothing in one that cannot be read
    Plugins.instance().register(UserFiles)
    address = QuotedString(f"{SCHEME}://{path.resolve()}", Quote.single)
    return f"hydra.searchpath=[{address.with_quotes()}]"
