"""`python -m grader site`: the notebooks as pages to look at."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from core.command import EXIT_OK
from grader.course_folder import add_course_options, course_with
from grader.site.build import build_site


def add_site_parser(commands: Any, root: Path) -> None:
    """The sub-command and its options."""
    site = commands.add_parser(
        "site",
        help="the notebooks as linked pages, run, without any solution",
        description="Write the notebooks as HTML pages for any static host.",
    )
    site.add_argument("names", nargs="*", help="how file names begin, e.g. 04")
    site.add_argument("--out", type=Path, required=True, help="new folder")
    site.add_argument(
        "--repository",
        default="",
        metavar="ADDRESS",
        help="where the students' version is published, for the Colab badges",
    )
    add_course_options(site)
    site.set_defaults(run=partial(run_site, root))


def run_site(root: Path, options: argparse.Namespace) -> int:
    """Write the pages and say where."""
    with course_with(root, options.course_dir) as course:
        pages = build_site(
            course,
            options.out,
            repository=options.repository,
            parts=tuple(options.parts or ()),
            names=tuple(options.names),
        )
    print(f"{options.out / 'index.html'}: {len(pages)} notebooks, without solutions")
    return EXIT_OK
