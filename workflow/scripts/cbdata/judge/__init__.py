"""What a model's completion is: which tools it calls, and whether that makes it a DS or a DR
trace.
"""
