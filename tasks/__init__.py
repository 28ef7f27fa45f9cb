"""One step of a story each: read from a store, call a pure function, write the result.

Every task takes the home and plain values, opens what it needs, and can be run again without doing harm. Rules of
the trade live in the rooms below; nothing here decides.
"""
