"""Pruning Explorer's entry: `streamlit run app.py`."""

from ui import shell

page = shell.boot()
shell.model_bar()
page.run()
shell.settle()
