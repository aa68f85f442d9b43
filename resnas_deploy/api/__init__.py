"""The Python API: a function for each thing that people do, with the defaults of the command line.

In come plain values and paths; out come typed results. Each function puts rooms together and decides nothing that a
room could. `resnas_deploy` names all of them, and loads each when it is asked for.
"""
