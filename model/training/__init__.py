"""Corpus, training and evaluation of the adapter. Not installed with the server."""
