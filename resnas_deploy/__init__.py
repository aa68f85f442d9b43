"""resnas: export, verify, measure and search ViT-ResNAS networks (arXiv 2109.00642) for deployment.

Data flows one way: arch -> weights -> graph -> artifact -> engine -> measurement -> search.
"""

__version__ = "0.1.0"
