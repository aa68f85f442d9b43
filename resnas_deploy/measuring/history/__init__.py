"""What the gate found, commit by commit: a record a line in a file, and the page that draws them.

In comes what the gate found; out come a file and charts. Measuring and judging do not belong here.
"""
