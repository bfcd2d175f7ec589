"""Benchmarks, one package for each question; all are run by ``python -m benchmarks``."""
