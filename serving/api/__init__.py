"""The HTTP interface: what is true right now, the signals as they are said, and the halt switch.

An app is made by ``serving.api.app.create_api`` from plain arguments and run by ``serving.api.server``. Reads
answer from stored rows, or by doing the thing (the champion is loaded and predicts); nothing here decides, invents or
keeps state of its own. No MLflow and no Prefect: what starts a training is handed in.
"""

__all__: list[str] = []
