"""Readers of data sets, one file a kind; each makes one pass and keeps places, not texts."""
