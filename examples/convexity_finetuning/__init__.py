"""Does fine-tuning make class regions convex? The claims of Tětková et al. 2025, checked."""
