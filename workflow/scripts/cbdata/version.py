"""The version that reports and exports name.

A module of its own: in the package's ``__init__``, which every module runs, a new version would
re-run every rule (see ``code_digest``).
"""

__version__ = "0.1.0"
