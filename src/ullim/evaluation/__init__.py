"""Evaluation: who is tested on whom, what is measured, and how sure the figure is."""
