"""The built-in analyses. They import only from `actlas`, as a stranger's would."""
