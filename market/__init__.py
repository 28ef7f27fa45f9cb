"""Pure values and rules of the market: bars, timeframes, candle arrays, funding, costs, barrier exits.

No I/O, no clock, no settings: everything here is a function of its arguments.
"""
