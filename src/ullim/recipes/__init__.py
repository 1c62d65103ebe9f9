"""Recipes are data: one YAML file per system, read by the models in ``schema``."""
