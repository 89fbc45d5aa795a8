"""The claims of Smooth InfoMax (Denoodt et al., 2024), checked on synthetic and real speech."""
