"""Decision points: real agent transcripts cut at the moment the injection is read, the goals that
attacks have, and the clean twin of a cut.
"""
