"""Do independent axes show a universal geometry? The claims of Yamagiwa et al. 2023, checked."""
