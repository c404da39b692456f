"""The notations in which models write tool calls: one module each, and the registry that names
them.
"""
