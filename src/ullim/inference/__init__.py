"""Inference: a bundle and a recording in, an answer with a timeline out. No torch here."""
