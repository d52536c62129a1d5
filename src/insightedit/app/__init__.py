"""What people touch: the command line and the web pages. Imports all, imported by none."""
