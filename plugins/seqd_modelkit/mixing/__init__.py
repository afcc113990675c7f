"""A model of characters that mixes the predictions of 16 kinds of contexts.

    kernels   what it reads, counts, mixes and learns, compiled by Numba
    model     a model in memory: learnt, stored, read with

Importing either imports Numba.
"""
