"""How the documentation is built: `make docs`, offline, every warning an error."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gallery  # noqa: E402

import multidd  # noqa: E402

project = "multidd"
author = "the multidd authors"
version = release = multidd.__version__
html_title = f"multidd {version}"
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "api_pages",
    "benchmark_tables",
    "docstrings",
    "llms",
    "mathml",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = [
    "_ext",
    "_static",
    "benchmarks/tables",
    "gallery/*.py",
    "gallery/*.ipynb",
]
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3
nitpicky = True
# Types of other libraries cannot be linked to without a network, and shapes such as
# Float[Tensor, "n d"] are no names.
nitpick_ignore_regex = [("py:.*", ".*")]
# One heading may stand on two pages: links name the page too.
suppress_warnings = ["config.cache", "misc.highlighting_failure"]

default_role = "literal"
add_module_names = False
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 70
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Reference", "References"), ("Shapes", "notes_style")]
napoleon_use_ivar = True
viewcode_follow_imported_members = True
html_math_renderer = "mathml"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["multidd.css"]
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {
        "text": html_title,
        "image_light": "_static/icon.svg",
        "image_dark": "_static/icon.svg",
        "alt_text": "multidd",
    },
    "navigation_depth": 2,
    "show_nav_level": 2,
    "show_toc_level": 2,
    "collapse_navigation": True,
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "back_to_top_button": True,
    "search_bar_text": "Search these pages",
    "use_edit_page_button": False,
}
PAGES = "changelog choose-a-method citation installation quickstart troubleshooting"
html_sidebars = {name: [] for name in PAGES.split()}
project_copyright = "the multidd authors, Apache-2.0"

sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples" / "gallery"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"__init__\.py",
    "show_memory": gallery.peak_memory,
    # Its own first: pyplot's closes what it has saved.
    "image_scrapers": (gallery.library_figures, "matplotlib"),
    "min_reported_time": 0,
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_signature": False,
    # Its table of times fetches a script from elsewhere.
    "write_computation_times": False,
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": ("matplotlib",),
}
