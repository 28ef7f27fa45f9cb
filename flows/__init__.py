"""The stories, as Prefect flows: each reads top to bottom, takes typed parameters and is safe to run twice.

Flows call tasks and each other; they hold no rule and open no store.
"""
