"""The paper's comparison on this machine: published top-1 against MACs, and against throughput as it is measured here.

In come names of networks, artifacts, runners, precisions and batch sizes; out comes a folder with the document, a page,
a picture, and the graphs, which a second run takes again. A plan is measured by the room above.
"""
