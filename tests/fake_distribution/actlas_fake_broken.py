"""A module that does not import."""

raise RuntimeError("this plugin\nis broken")
