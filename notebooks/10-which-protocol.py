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
#     minutes: 6
#     threads: 1
# ---

# %% [markdown]
# # Which protocol?
#
# The abstract {cite}`kiselev2026` leaves the conventions open, and this book fixed its own beforehand. But the paper's figures constrain
# each other: a grid that gives one $J$ gives the others too. So which conventions do they agree under? This chapter asks that as
# statistics: a space of protocols, a prior that was written down first, simulated answers, a posterior, and controls that could show
# that none of it works. Nothing here changes the chapters before, or their verdicts.
#
# ## The space and the prior
#
# A *protocol* has a value for every open choice. The choices, their values and the prior weights stand in
# `book/protocols/space.yml`. They were committed before any of the paper's numbers was compared with a simulated answer:
# `a5ce6ce`, *The space of protocols and its prior, before any fit*. Two later commits, `fd7016a` and `63690b7`, *A smaller space,
# before any fit*, took values away, since simulating all of them would have cost too much: fewer grids, digits networks that are trained to the end, and
# no folded batch norm before an optimized rounding. They, too, came before the first fit. Where a choice has several groups of claims it is one
# choice, since the author wrote one program.
#
# Two choices are none here. Biases stay in float, since the abstract speaks of weights; and the slices of the digits are planes of
# principal components, since it says so.

# %% tags=["parameters"]
controls: int = 12  # hidden protocols, and as many shuffles [1..1000]
first_seed: int = 0  # of the controls [0..1000000]

# %% tags=["remove-input"]
import pandas as pd
from IPython.display import Markdown, display

from baq.protocols.answers import answers, numbers
from baq.protocols.judging import DECIDED, Inference, control_rows
from baq.protocols.posterior import belief
from baq.protocols.simulation import cost
from baq.protocols.space import GROUPS, folder, space
from baq.report import protocols as report
from baq.report import style, tables
from baq.report.boxes import opening

style.use_style()
known = space()

# %% caption="Every choice, its values with their prior probabilities, and why." tags=["remove-input"]
listed = {
    name: (list(map(str, c.values)), c.prior, c.groups, c.why)
    for name, c in known.choices.items()
}
Markdown(report.space_table(listed))

# %% [markdown]
# ## Simulated answers
#
# What would each protocol have printed? Small networks were trained, or loaded where they ship with this book, and each was quantized
# and read under every combination of choices. Most choices cost no new network: one fine label map is read at every coarser grid, under
# every mask rule and every way of counting; one set of logits gives every band.
#
# `low cells` and `low inputs` are another reading of "boundary": $J$ compares the *sets* of the cells, or inputs, of lowest margin,
#
# $$ J = 1 - \frac{|A \cap B|}{|A \cup B|} = \frac{2 (k - c)}{2k - c}, $$
#
# with $k$ in each set and $c$ in both. It needs no mask, and on inputs no slice.

# %% tags=["remove-input"]
spent = cost(folder())
Markdown(
    f"That took {spent['minutes'].sum():.0f} minutes of one processor core, and is recorded by `python -m baq.protocols`: "
    + "; ".join(
        f"{r.name}: {r.networks} networks, {r.seeds} seeds"
        for r in spent.itertuples(index=False)
    )
    + "."
)

# %% [markdown]
# ## The likelihood
#
# A protocol's runs have mean $m$, standard deviation $s$ and number $n$. A mean of $r$ new runs, as many as the paper averaged, follows
# Student's distribution of $n - 1$ degrees of freedom around $m$ with scale $s\sqrt{1/r + 1/n}$, the same that the prediction
# intervals of [the claims](claims.ipynb) come from. Its density, times the width that a printed number covers, is the likelihood.
# With a probability that the prior fixes the number has nothing to do with the protocol and may lie anywhere, so that a
# single odd number cannot overrule all others. Given a protocol, numbers are taken as independent.
#
# The posterior follows by Bayes' rule, exactly: all protocols are summed over, by variable elimination. By hand, for
# one number: which grid do the 8 bits on digits (D2) speak for, when everything else is averaged over?

# %%
simulated = answers(folder())
inference = Inference(known, simulated, numbers())
grid = belief(inference.factors(["D2"]), ("digits_n",))
pd.DataFrame([grid.round(3)], columns=known.choices["digits_n"].values)

# %% [markdown]
# ## What the figures decide
#
# Each choice's posterior, from the numbers of its group, and from all together where several groups share it.

# %% mystnb={"image": {"alt": "A bar for each open choice, divided by the posterior probability of its values, with the prior as a thin bar below it."}} caption="Posterior of every choice; a choice that groups share has the posterior from all numbers." data=["posterior"] tags=["remove-input"]
posterior = inference.posterior()
tables.save(posterior, "posterior")
own = {
    n: c.groups[0] if len(c.groups) == 1 else "together"
    for n, c in known.choices.items()
}
shown = posterior[posterior["group"] == posterior["choice"].map(own)]
fig = report.posterior_bars(shown)

# %% tags=["remove-input"]
gained = report.decided(posterior)
tables.save(gained, "decided")
lines = [
    f"* **{g}**: {report.decided_line(gained, g)}." for g in (*GROUPS, "together")
]
Markdown(
    f"With at least {DECIDED:.0%}, and where that says more than the prior, the numbers decide:\n\n"
    + "\n".join(lines)
)

# %% [markdown]
# ## The best protocol beside the paper
#
# The most probable protocol of each group, and one for all groups, judged as the page of claims judges: is the paper's number in
# the 90 % prediction interval?

# %% caption="The most probable protocol of each group, and the one for all." tags=["remove-input"]
tops = {g: inference.best(g) for g in (*GROUPS, "together")}
values = pd.DataFrame(
    [
        (g, n, v)
        for g, top in tops.items()
        for n, v in inference.values(top).items()
    ],
    columns=["group", "choice", "value"],
)
tables.save(values, "best")
wide = values.pivot(index="choice", columns="group", values="value")
wide = wide.reindex(index=list(known.choices), columns=list(tops)).fillna("–")
wide.index = [report.WORDS[name] for name in wide.index]
tables.styled(wide.rename_axis("choice").reset_index(), "shown-best")

# %% caption="Every number of the paper beside what the most probable protocols answer." tags=["remove-input"]
judged = pd.concat(
    inference.judged(tops[g], inference.of(g)).assign(group=g) for g in GROUPS
)
together = inference.judged(tops["together"], judged["number"])
judged["together"] = together["inside"].to_numpy()
tables.save(judged, "answers")
tables.styled(report.numbers_table(judged, together), "shown-answers")

# %% mystnb={"image": {"alt": "A row for each number of the paper: where it lies in the interval of the best protocol of its group, in half widths; the band from minus one to one is inside."}} caption="The paper's numbers in the intervals of the most probable protocol of each group." data=["answers"] tags=["remove-input"]
fig = report.against_best(report.placed(judged))

# %% tags=["remove-input"]
hits, of = int(judged["inside"].sum()), len(judged)
outside = judged[~judged["inside"]]
target = f"{'reaches' if hits >= known.found else 'misses'} the {known.found} that were asked for beforehand"
text = f"**{hits} of {of}** numbers lie inside under one protocol for each group, which {target}; {int(judged['together'].sum())} under a single one for all."
if len(outside):
    text += " Outside stay " + ", ".join(outside["number"]) + "."
Markdown(text)

# %% [markdown]
# ## Do any protocols reconcile the rest?
#
# For a number outside: is there any protocol in the whole space that has it inside, whatever it does to the others? And what is the posterior
# probability that it lies inside, when the numbers of its group choose the protocol?

# %% caption="Numbers that the best protocol leaves outside." tags=["remove-input"]
reached = {name: inference.reached(name) for name in outside["number"]}
if len(outside):
    display(tables.styled(report.rest_table(outside, reached), "shown-rest"))
else:
    display(Markdown("*None is left outside.*"))

# %% [markdown]
# ## Held out
#
# A space this large can fit many numbers by chance. So half of the numbers of each group, fixed beforehand, choose
# the protocol, and the other half is predicted, both ways: by the mixture of all protocols with their posterior probabilities, and by the
# most probable one alone. A wide interval is easily hit. So the prior's own mixture, which knows none of the numbers, is judged too, and
# *bits gained* says by how much the fitted half $A$ makes a held-out number $y$ more probable:
#
# $$ \log_2 p(y \mid A) - \log_2 p(y). $$

# %% caption="Held-out numbers in their 90 % intervals." tags=["remove-input"]
held = inference.held_out()
held["prior"] = [inference.predicted([], name)[1] for name in held["number"]]
tables.save(held, "held-out")
tables.styled(report.hits_table(held), "shown-held-out")

# %% tags=["remove-input"]
mixed, alone, total = int(held["hit"].sum()), int(held["best"].sum()), len(held)
blind, bits = int(held["prior"].sum()), held["gain"].sum()
missed = ", ".join(dict.fromkeys(held.loc[~held["hit"], "number"])) or "none"
Markdown(
    f"Of {total} held-out numbers {mixed} ({mixed / total:.0%}) lie in the mixture's interval and {alone} "
    f"({alone / total:.0%}) in that of the most probable protocol; the prior alone has {blind}, since "
    f"what it expects is wide: a hit says little by itself. The fitted halves gain {bits:z.1f} bits on "
    f"the held-out ones. Missed by the mixture: {missed}."
)

# %% [markdown]
# ## Controls
#
# *Hidden*: the paper's numbers are replaced by those that new runs of one of our protocols, drawn from the prior, would have printed. The
# method must find it again. *Shuffled*: the paper's numbers are permuted among numbers of their kind. No protocol should fit them. What the
# paper's own numbers reach counts for something only where shuffled ones do not reach it.

# %% mystnb={"image": {"alt": "Four panels: how many numbers lie inside, how many held-out ones lie inside the mixture or the best protocol, and bits gained; in each the hidden protocols, the paper's numbers and the shuffles, a dot each."}} caption="The paper's numbers between the controls: hidden protocols of ours, and the paper's numbers shuffled." data=["compared"] tags=["remove-input"]
rows = [
    row
    for hidden in (True, False)
    for seed in range(first_seed, first_seed + controls)
    for row in control_rows(inference, hidden, seed)
]
tried = pd.DataFrame(rows)
tables.save(tried, "controls")
compared = report.compared(judged, held, tried)
tables.save(compared, "compared")
fig = report.controls_figure(compared)

# %% caption="The same by group; of the controls mean, least and largest." tags=["remove-input"]
tables.styled(report.controls_table(compared), "shown-controls")

# %% tags=["remove-input"]
controls_told = report.controls_line(tried, compared, known.found)
Markdown(controls_told)

# %% [markdown]
# ## What the author most likely did

# %% tags=["remove-input"]
likely = report.likely(gained)
Markdown(f"{likely} {report.how_sure(gained, tried)}")

# %% [markdown]
# ## What to take along

# %% tags=["remove-input"]
open_ones = report.open_ones(gained, own)
Markdown(
    f"* {hits} of {of} numbers agree under one protocol for each group, and {mixed / total:.0%} of the held-out ones.\n"
    f"* The numbers leave open: {open_ones}. Whoever repeats the work has to state these.\n"
    "* A figure that depends on a grid, a mask or a band says little without them."
)

# %% [markdown]
# ## Exercises
#
# ```{include} exercises/10-which-protocol.md
# ```

# %% tags=["opening", "remove-input"]
shuffled = compared[(compared["group"] == "all") & (compared["kind"] == "shuffled")]
opening(
    "Under which conventions do the paper's figures agree with one another?",
    f"{hits} of the paper's {of} numbers lie inside under one protocol for each group of claims, and {mixed} of {total} held-out "
    f"numbers; shuffled ones reach {shuffled['inside'].min()} to {shuffled['inside'].max()}, and {shuffled['hit'].min()} to "
    f"{shuffled['hit'].max()} held out. {likely}",
    "The protocols of one space, small networks, "
    + ", ".join(
        f"{r.seeds} seeds ({r.name})" for r in spent.itertuples(index=False)
    )
    + f": intervals are wide, and the prior alone has {blind} of {total} held-out numbers inside. "
    "What the author did may lie outside the space.",
)
