"""Pruning Explorer's entry: `streamlit run app.py`.

Streamlit imports this file once, for the server in `app`, and then runs it for every visitor, as `__main__`.
"""

if __name__ == "__main__":
    from ui import shell

    page = shell.boot()
    shell.model_bar()
    page.run()
    shell.settle()
else:
    from streamlit.starlette import App

    from ui.preload import preloading

    app = App(__file__, lifespan=preloading)
