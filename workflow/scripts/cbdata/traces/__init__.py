"""What several stages read from a trace or its render: facts, injection spans, content flags, the
last turn.
"""
