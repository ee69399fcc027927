"""From rows to a page: statistics over seeds, claims and verdicts, tables, figures."""

from baq.report.stats import correlation, paired_difference, summarize

__all__ = ["correlation", "paired_difference", "summarize"]
