"""The definitions, a folder for each group of the graph."""
