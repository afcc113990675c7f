"""Figures of trainings and models: learning curves, evaluations, sweeps, and their pictures.

Computes from records; sends nothing, and knows neither Redis nor the command line. Only the
pictures need a library: matplotlib, from the extra `plots`, imported with the first of them.
"""
