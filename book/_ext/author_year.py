"""Labels of the bibliography in the form in which the text cites: author and year."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style
from pybtex.style.labels import BaseLabelStyle
from sphinx.application import Sphinx


class _Labels(BaseLabelStyle):
    def format_labels(self, sorted_entries: Iterable[Entry]) -> Iterator[str]:
        for entry in sorted_entries:
            names = [" ".join(person.last_names) for person in entry.persons["author"]]
            who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
            yield f"{who.translate({ord('{'): None, ord('}'): None})}, {entry.fields['year']}"


class _AuthorYear(Style):
    default_label_style = "author_year"
    default_sorting_style = "author_year_title"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the styles, of labels and of the list."""
    register_plugin("pybtex.style.labels", "author_year", _Labels)
    register_plugin("pybtex.style.formatting", "author_year", _AuthorYear)
    app.config["bibtex_default_style"] = "author_year"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
