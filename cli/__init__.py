"""The ``lockstep`` command: one module per noun, thin over flows. Nothing here computes."""
