"""Keras files: weights and models, in and out."""
