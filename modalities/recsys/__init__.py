"""Recommender systems: interaction logs and their distilled users."""
