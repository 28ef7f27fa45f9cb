"""What is learnt after the fact: labels, walk-forward training, calibration, backtest, significance, drift statistics.

Everything here is a function of a panel that already exists and of numbers handed in: no clock, no settings, no
network, no database. Trades are simulated by ``market.barriers`` and decided by ``serving.decision``, never here.
"""
