"""Pruning Explorer's entry: `streamlit run app.py`."""

import gc

gc.disable()  # collecting garbage while torch is imported makes the first page half a second later
from ui import shell  # noqa: E402

gc.enable()

page = shell.boot()
shell.model_bar()
page.run()
shell.settle()
