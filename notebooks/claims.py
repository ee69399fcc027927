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
# Every number of the paper's abstract {cite}`kiselev2026`, and two that a reader of its full text told us (O1, O2, a private report that
# nothing published can be cited for), beside what this book finds. This page is written anew by every build from the tables of the
# chapters, and so is the file `book/results/claims/verdicts.csv`.

# %% tags=["parameters", "remove-cell"]
most: int = 5  # claims in the list of the largest disagreements [0..]

# %% tags=["remove-cell"]
from IPython.display import Markdown

from baq.report import answers, charts, protocols, style, tables
from baq.report.excerpts import results

style.use_style()
found = answers.collect(results())
experiments = answers.collect(results(), "experiments")
table = answers.judged(found)
tables.save(table, "verdicts")

# %% tags=["remove-input"]
Markdown(f"{answers.counts_line(table)} {answers.chance_sentence(table)}")

# %% mystnb={"image": {"classes": "narrow", "alt": "A row for each claim: our mean as a multiple of the paper's value on a logarithmic axis, with its prediction interval, and shape and colour by verdict; a line marks one. Claims without a multiple have a hollow mark at the left."}} caption="Ours as a multiple of the paper's value, with the interval that the claim is judged by." tags=["remove-input"]
fig = charts.claims_overview(table)

# %% [markdown]
# The bar says where the mean of as many new runs of ours as the paper averaged would lie. It is cut at a tenth and
# at tenfold. Claims in words, and those of which the paper's value is 0 or a range, have no multiple: their marks are
# hollow. A mean of ours is that of the seeds with a value: where half of them have none, as with C1, the claim is not
# reproduced whatever its multiple.
#
# ## Every claim
#
# *Ours* is the mean over seeds (chapters tell medians) with the interval of the figure, or for a claim in words the mean (paired) value with its
# confidence interval. *Ratio* is ours to the paper's. *Sign*: where the paper states a sign, a statement or the order of two
# claims, ✓ says that ours is the same beyond the chance of our few seeds, and ✗ that it is not; an order stands with both
# its claims. A heading sorts, the ratio by its distance from 1; *why* leads to the experiment that tries the suspected
# reason, and says whether it refutes that reason.

# %% caption="Every claim: the paper's value, ours, and the verdict." tags=["remove-input"]
Markdown(answers.claims_table(table, experiments))

# %% [markdown]
# ## Under the inferred protocol
#
# The chapter [Which protocol?](10-which-protocol.ipynb) infers from the paper's own numbers the conventions that they are compatible
# with. The last two columns have what the most probable protocol of each group of claims answers. They were fitted to these numbers, so
# they are no evidence for them, and no verdict of this page comes from them. Where a number lies inside there though [an experiment
# below](#why-we-differ) refutes a single reason, as another way to count (T2), other conventions change there as well, and the
# intervals of few small runs are wide.

# %% caption="The paper's numbers beside ours as chosen beforehand, and under the inferred protocol." tags=["remove-input"]
inferred = results() / "10-which-protocol" / "answers.csv"
Markdown(protocols.beside(table, inferred))

# %% [markdown]
# ## The largest disagreements
#
# %% tags=["remove-input"]
text = f"Of the claims whose number lies outside, at most {most}, by ratio:"
Markdown(f"{text}\n\n{answers.disagreement_list(table, most)}")

# %% [markdown]
# ## Why we differ
#
# For each value outside, and for some inside, the chapter names the reason that is suspected and tries it by an experiment
# that could refute it. *Refuted* is the reason, and not the paper: the paper's number lies outside our prediction interval
# though the reason is removed, or what the result says speaks against it. Where a path of settings ends while it still
# moves towards the number, nothing is refuted. What is not refuted is possible, and not shown. Where a reason is
# refuted, other conventions that the abstract leaves open may still differ: the table [above](#under-the-inferred-protocol) has some under
# which nearly every number lies inside.

# %% caption="Experiments on why a value is not the paper's." tags=["remove-input"]
Markdown(answers.experiments_table(experiments))

# %% tags=["remove-input"]
Markdown(answers.agreement(experiments))

# %% [markdown]
# ## What the verdicts mean
#
# They follow from the numbers by these rules, tried in this order.

# %% tags=["remove-input"]
Markdown(answers.rules_list())

# %% [markdown]
# A number of the paper is one run or the mean of a few, so it should lie where new runs of ours would. The
# quantiles of our seeds do not tell that: the central 90 % of three seeds hold one new run in 46 % of the
# cases, those of ten in 76 % and those of twenty in 82 %. A prediction interval does, by Student's distribution on the measure's own scale: the mean of $n$
# seeds $\pm\, t_{n-1}\, s\, \sqrt{1/m + 1/n}$, with $s$ their standard deviation and $m$ the runs of the paper:
# one on digits, five splits for the stopping rules, three on CIFAR-10. With three seeds it is wide, as it
# should be. The interval of P1, where the paper gives a range, and those around medians
# elsewhere hold the central 90 % of ten networks or more and are the whole range of fewer; those around differences are Student's.
#
# ## Claims with several settings
#
# Where the abstract leaves a convention open, a chapter may answer a claim in several settings. One of them
# stands for the claim in the table above. It was named, with its reason, apart from the results; here are
# all of them, each with the verdict that it would give.

# %% caption="Claims with several settings." tags=["remove-input"]
text = f"::::{{dropdown}} All settings\n{answers.settings_table(found)}\n::::"
Markdown(text)
