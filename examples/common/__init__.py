"""What the examples share: verdicts and the page."""
