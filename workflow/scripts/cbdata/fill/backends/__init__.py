"""The backends: vLLM, and transformers for machines without it, behind one interface."""
