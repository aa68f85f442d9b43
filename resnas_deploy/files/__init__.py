"""Files that are read with bounds and written whole or not at all: text, JSON, records, SQLite, locks, scratch folders.

In come paths and plain data; out come the same, checked, or one line on what is wrong. What a file means to networks
does not belong here.
"""
