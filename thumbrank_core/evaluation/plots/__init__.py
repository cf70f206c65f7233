"""Plots of an evaluation, and of what is stored before it, as small PNGs: one function a plot, one module a subject. What is
seen on them in words, and which of them a page has, is evaluation/pictures.py. matplotlib is imported when a plot is drawn.

Nothing is imported here: an asset that counts videos by week wants one module, and not torch and scipy, which others bring.
"""
