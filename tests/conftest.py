"""One thread and the same drawn examples on every run, so that equal code gives equal results."""

import torch
from hypothesis import settings
from tiny_project import project, root  # noqa: F401

torch.set_num_threads(1)
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")
