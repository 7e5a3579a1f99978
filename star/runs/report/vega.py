"""Vega-Lite through vl-convert: the script of a page, and pictures without a browser.

vl-convert is imported when it is needed. Where it is not installed a page has matplotlib's pictures
instead (`pictures.py`). Source of the grammar: Satyanarayan et al. 2017, vega.github.io.
"""

import os
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import platformdirs

from star.base import files
from star.base.errors import UserError

DISTRIBUTION = "vl-convert-python"
SCALE = 2.0  # of a PNG: pixels of it for one of the figure
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
# Colours of a figure on a light and on a dark page.
THEMES: dict[str, dict[str, str]] = {
    "light": {"ink": "#1b1f24", "muted": "#57606a", "grid": "#e4e7eb", "page": "#ffffff"},
    "dark": {"ink": "#e6edf3", "muted": "#9aa5b1", "grid": "#2d333b", "page": "#14181d"},
}


def is_installed() -> bool:
    """Whether vl-convert is there."""
    return _version() is not None


@cache
def _version() -> str | None:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return None


@cache
def script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, about 0.9 MB, which needs no network.

    It takes seconds to put together, so that a copy is kept in the cache folder.
    """
    path = _cache_folder() / f"vega-{_version()}.js"
    with suppress(OSError, UnicodeDecodeError):
        text = path.read_text(encoding="utf-8")
        if text.endswith(END):
            return text
    import vl_convert

    text = vl_convert.javascript_bundle() + END  # type: ignore[call-arg]
    with suppress(OSError):  # it is made again the next time
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, text)
    return text


END = "\n//end of the bundle\n"


def _cache_folder() -> Path:
    return Path(os.environ.get("STAR_CACHE_DIR") or platformdirs.user_cache_dir("star")) / "report"


def configuration(theme: str = "light") -> dict[str, Any]:
    """How every figure looks. theme: a key of `THEMES`."""
    colours = THEMES[theme]
    return {
        "background": None,
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": colours["muted"],
            "titleColor": colours["ink"],
            "titleFontWeight": "normal",
            "titleFontSize": 12,
            "labelFontSize": 11,
            "gridColor": colours["grid"],
            "domainColor": colours["muted"],
            "tickColor": colours["muted"],
        },
        "legend": {
            "labelColor": colours["ink"],
            "titleColor": colours["ink"],
            "titleFontWeight": "normal",
            "labelFontSize": 11,
            "titleFontSize": 12,
            "orient": "bottom",
            "columns": 3,
            "layout": {"bottom": {"direction": "vertical", "anchor": "start"}},
            "symbolBaseFillColor": colours["muted"],
            "symbolBaseStrokeColor": colours["muted"],
        },
        "header": {"labelColor": colours["ink"], "titleColor": colours["ink"]},
        "text": {"color": colours["ink"]},
        "rule": {"color": colours["muted"]},
        "title": {"color": colours["ink"]},
    }


def picture(specification: dict[str, Any], kind: str) -> bytes:
    """A figure as a file of its own, on white.

    Args:
        specification: of Vega-Lite, with its data.
        kind: `svg` or `png`.

    Raises:
        UserError: where vl-convert is not installed.
    """
    if not is_installed():
        raise UserError(f"a {kind} picture needs {DISTRIBUTION}: pip install {DISTRIBUTION}")
    import vl_convert

    config = {**configuration(), "background": THEMES["light"]["page"], "padding": 8}
    whole = {**specification, "config": config}
    if kind == "svg":
        return vl_convert.vegalite_to_svg(whole).encode()
    return vl_convert.vegalite_to_png(whole, scale=SCALE)
