"""Smooth InfoMax (Denoodt, de Boer, Oramas 2024, arXiv 2408.12936): training, probing, decoding."""
