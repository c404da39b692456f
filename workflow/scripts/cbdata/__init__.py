"""Traces to training-ready loss masks: the library behind the workflow's scripts.

Pure and typed: no module here reads Snakemake's state. The scripts beside this package unpack
``snakemake`` and call it.
"""
