"""Parts of `describe`: reading in one pass, measuring a sample, advice, text, picture."""
