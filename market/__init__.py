"""Pure values and rules of the market: bars, timeframes, candles, funding, basis, taker flow, costs, barrier exits.

No I/O, no clock, no settings: everything here is a function of its arguments.
"""
