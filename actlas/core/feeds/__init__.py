"""How models are given samples: texts, images, recordings, or what a factory's collate makes."""

from .audio import AudioFeed
from .base import LENGTH_LIMIT, Batch, Encoded, Feed
from .factory import TorchFeed
from .image import ImageFeed
from .text import TextFeed

__all__ = [
    "LENGTH_LIMIT",
    "AudioFeed",
    "Batch",
    "Encoded",
    "Feed",
    "ImageFeed",
    "TextFeed",
    "TorchFeed",
]
