"""Step 6: tokenizers and the sequence that the frozen language model reads."""
