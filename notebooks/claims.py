# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   baq:
#     requires: []
#     minutes: 0.1
#     threads: 1
#     reads: tables
# ---

# %% [markdown]
# # Claims
#
# Every number of the paper's abstract {cite}`kiselev2026`, and two that a reader of the full text reported
# (O1, O2), beside what this book finds. The table is written anew by every build from the tables of the
# chapters, and so is the file `book/results/claims/verdicts.csv`.

# %% tags=["parameters", "remove-cell"]
most: int = 3  # claims in the list of the largest disagreements [0..]

# %% tags=["remove-cell"]
from IPython.display import Markdown

from baq.report import answers, tables
from baq.report.excerpts import results

found = answers.collect(results())
table = answers.judged(found)
tables.save(table, "verdicts")

# %% tags=["remove-input"]
Markdown(answers.counts_line(table))

# %% [markdown]
# The claims whose paper's value lies farthest outside our interval, measured in widths of that interval:

# %% tags=["remove-input"]
Markdown(answers.disagreement_list(table, most))

# %% [markdown]
# A bar is our 90 % interval over seeds, the tick in it the median, the diamond the paper's value. Where the
# paper says that something falls or rises, the dashed line is zero and the bar holds the paired differences
# of the seeds.

# %% tags=["remove-input"]
Markdown(answers.claims_table(table))

# %% [markdown]
# ## What the verdicts mean
#
# They follow from the numbers by these rules, tried in this order.

# %% tags=["remove-input"]
Markdown(answers.rules_list())

# %% [markdown]
# The interval is that of single seeds, not of their mean. A claim of the paper is one run, or a mean over
# few; so it should lie where single runs lie. With few seeds the interval is narrow by chance, which makes
# *inside* harder to get, not easier.
#
# ## Claims with several settings
#
# Where the abstract leaves a convention open, a chapter may answer a claim in several settings. One of them
# stands for the claim in the table above. It was named, with its reason, apart from the results; here are
# all of them, each with the verdict that it would give.

# %% tags=["remove-input"]
Markdown(answers.settings_table(found))
