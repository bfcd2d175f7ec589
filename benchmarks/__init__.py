"""Benchmarks: one package or module a question, all run by ``python -m benchmarks``."""
